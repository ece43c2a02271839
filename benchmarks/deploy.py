# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a deploy of two processors on the emulator: fresh, and again when nothing is to be done.

    .venv/bin/python benchmarks/deploy.py

Beside it the same resources are made by one task of amazon.aws or community.aws each (``deploy_baseline.yml``). For
each run: the seconds, those of the processor, the tasks and loop items that were run, the calls of AWS and how many
tasks changed something.
"""

from __future__ import annotations

import os
import re
import resource
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
# The last one is what the aims are about.
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
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "calls.jsonl"
        package = Path(folder) / "wake_up.zip"
        with zipfile.ZipFile(package, "w") as archive:
            archive.write(ROOT / "roles/scaling/files/wake_up/wake_up.py", "wake_up.py")
        account = Account.fresh(Path(folder) / "account", record=record)
        rows = []
        columns = f"{'seconds':>7}{'processor':>10}{'tasks':>8}{'calls':>8}{'changed':>9}"
        print(f"{os.cpu_count()} cores{'':27}{columns}")
        try:
            for name, playbook, variables in (
                ("a task each", BASELINE, {"baseline_package": str(package)}),
                ("pasture.ollama.deploy", "deploy", {}),
            ):
                for state in ("fresh", "unchanged"):
                    rows.append(measure(f"{name}, {state}", account, record, playbook, **variables))
                    print(rows[-1], flush=True)
        finally:
            account.end()
    baseline, unchanged = rows[1], rows[3]
    share = unchanged.seconds / baseline.seconds
    print(
        f"Unchanged: {share:.2f} of the seconds of a task each (aim: {AIM_SHARE}, and under {AIM_SECONDS:.0f} s)."
    )
    return int(share > AIM_SHARE or unchanged.seconds >= AIM_SECONDS or unchanged.changed > 0)


if __name__ == "__main__":
    sys.exit(main())
