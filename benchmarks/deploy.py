# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a deploy of two processors on the emulator: fresh, and again when nothing is to be done.

    .venv/bin/python benchmarks/deploy.py

Beside it the same resources are made by one task of amazon.aws or community.aws each (``deploy_baseline.yml``). For
each run: the seconds, those of the processor, the tasks and loop items that were run, the calls of AWS and how many
tasks changed something.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / folder) for folder in ("tools", "tests/integration", "extensions/molecule")]

from trial import Account, Run  # noqa: E402 (lies in tests/integration)

BASELINE = Path(__file__).with_name("deploy_baseline.yml")
THEIRS, OURS = "a task each", "pasture.ollama.deploy"
# Of an unchanged deploy.
AIM_SECONDS = 60.0
AIM_SHARE = 0.5


@dataclass(frozen=True)
class Measured:
    """One run."""

    what: str
    seconds: float
    processor: float  # seconds of processor time, without the emulator's
    tasks: int
    calls: int
    changed: int

    def __str__(self) -> str:
        return f"{self.what:34}{self.seconds:8.1f}{self.processor:10.1f}{self.tasks:8}{self.calls:8}{self.changed:9}"


def processor_time() -> float:
    """Seconds of processor time of all commands that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(what: str, account: Account, record: Path, playbook: str | Path, **variables: Any) -> Measured:
    """Run a playbook to its end.

    :raises SystemExit: when it fails.
    """
    before = len(record.read_text(encoding="utf-8").splitlines())
    start, used = time.monotonic(), processor_time()
    run: Run = account.start(playbook, **variables).wait()
    seconds, used = time.monotonic() - start, processor_time() - used
    if not run.well:
        sys.exit(run.text)
    return Measured(
        what,
        seconds,
        used,
        # Items of a loop are processes as well, and are told one by one.
        len(re.findall(r"^(?:ok|changed): \[localhost\]", run.text, re.MULTILINE)),
        len(record.read_text(encoding="utf-8").splitlines()) - before,
        run.changed,
    )


def main() -> int:
    """Print the table; the exit status is 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="unchanged runs of each (default: %(default)s)")
    parser.add_argument(
        "--latency",
        type=float,
        default=0.0,
        help="seconds that each call of AWS takes longer (default: %(default)s)",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record = folder / "calls.jsonl"
        package = {"baseline_package": str(folder / "wake_up.zip")}
        with zipfile.ZipFile(package["baseline_package"], "w") as archive:
            archive.write(ROOT / "roles/scaling/files/wake_up/wake_up.py", "wake_up.py")
        account = Account.fresh(folder / "account", record=record, latency=arguments.latency)
        kinds: dict[str, tuple[str | Path, dict[str, Any]]] = {
            THEIRS: (BASELINE, package),
            OURS: ("deploy", {}),
        }

        def run(kind: str, state: str) -> Measured:
            playbook, variables = kinds[kind]
            made = measure(f"{kind}, {state}", account, record, playbook, **variables)
            print(made, flush=True)
            return made

        columns = f"{'seconds':>7}{'processor':>10}{'tasks':>8}{'calls':>8}{'changed':>9}"
        print(f"{os.cpu_count()} cores{'':27}{columns}")
        try:
            for kind in kinds:
                run(kind, "fresh")
            # In turn, since a machine is not always as fast.
            turns = [{kind: run(kind, "unchanged") for kind in kinds} for _ in range(arguments.rounds)]
        finally:
            account.end()
    seconds = {kind: statistics.median(turn[kind].seconds for turn in turns) for kind in kinds}
    share = seconds[OURS] / seconds[THEIRS]
    print(
        f"Unchanged, medians: {seconds[OURS]:.1f} s, {share:.2f} of the seconds of a task each "
        f"(aim: {AIM_SHARE}, and under {AIM_SECONDS:.0f} s)."
    )
    changed = any(turn[OURS].changed for turn in turns)
    return int(share > AIM_SHARE or seconds[OURS] >= AIM_SECONDS or changed)


if __name__ == "__main__":
    sys.exit(main())
