# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the suites of ``make test`` and end with what became of each.

    python tools/suites.py --first lint types --beside integration molecule --last iam

``--first`` and ``--last`` run one after the other and print as they go. Those of ``--beside`` run two at a time in
between, and each prints when it is done. All are run, whatever fails; the last lines are a table, with what the suites
that failed said themselves, so that the end of a log is enough to know. The whole output of each is in
``.build/suites/``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build" / "suites"
_AT_A_TIME = 2
# What is told again at the end of a suite that failed.
_TELLING = re.compile(
    r"^(FAILED |ERROR |ERROR: |E  |fatal: |make.*: \*\*\* |\S+:\d+:(\d+:)? .*error)", re.IGNORECASE
)
_TOLD = 30
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_lock = threading.Lock()


@dataclass(frozen=True)
class Ended:
    """How a suite ended."""

    suite: str
    status: int
    seconds: float
    lines: Sequence[str]

    @property
    def closing_line(self) -> str:
        """Its last line that says something."""
        said = [line.strip(" =") for line in self.lines if line.strip(" =")]
        return said[-1] if said else ""

    @property
    def complaints(self) -> list[str]:
        """The lines that say what failed; its last ones where there are none."""
        found = [line for line in self.lines if _TELLING.match(line)]
        return (found or [line for line in self.lines if line.strip()])[-_TOLD:]

    def __str__(self) -> str:
        verdict = "passed" if self.status == 0 else f"FAILED ({self.status})"
        return f"  {self.suite:16} {verdict:14}{self.seconds:6.0f} s  {self.closing_line[:100]}"


def run(suite: str, command: Sequence[str], aloud: bool) -> Ended:
    """Run one suite to its end.

    :param aloud: print each line at once; otherwise all of them, when it has ended.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    lines: list[str] = []
    with (
        (LOGS / f"{suite}.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            [*command, suite],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            log.write(line)
            log.flush()
            lines.append(_COLOURS.sub("", line.rstrip("\n")))
            if aloud:
                print(line, end="", flush=True)
    if not aloud:
        with _lock:
            print((LOGS / f"{suite}.log").read_text(encoding="utf-8"), end="", flush=True)
    return Ended(suite, process.returncode, time.monotonic() - started, lines)


def summary(ended: Sequence[Ended]) -> str:
    """What became of each suite, those that failed with what they said."""
    failed = [one for one in ended if one.status != 0]
    lines = ["", "Suites:", *map(str, ended)]
    for one in failed:
        lines += ["", f"{one.suite} failed (all of it: {LOGS.relative_to(ROOT) / one.suite}.log):"]
        lines += [f"  {line}" for line in one.complaints]
    names = " ".join(one.suite for one in failed or ended)
    return "\n".join(
        [*lines, "", f"Suites that failed: {names}." if failed else f"All suites passed: {names}."]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run all, tell, and return 1 when one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for group in ("first", "beside", "last"):
        parser.add_argument(f"--{group}", nargs="*", default=[], metavar="SUITE")
    parser.add_argument("--command", nargs="+", default=["make"], help="what runs a suite, before its name")
    options = parser.parse_args(argv)
    ended = [run(suite, options.command, aloud=True) for suite in options.first]
    if options.beside:
        print(
            f"Now, {_AT_A_TIME} at a time: {' '.join(options.beside)}. Each prints when it is done; together they take "
            "about half an hour.",
            flush=True,
        )
        with ThreadPoolExecutor(_AT_A_TIME) as pool:
            ended += pool.map(lambda suite: run(suite, options.command, aloud=False), options.beside)
    ended += [run(suite, options.command, aloud=True) for suite in options.last]
    print(summary(ended), flush=True)
    return int(any(one.status != 0 for one in ended))


if __name__ == "__main__":
    sys.exit(main())
