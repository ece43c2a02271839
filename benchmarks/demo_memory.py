# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how much memory a command takes at its peak, with all the processes that it starts.

    .venv/bin/python benchmarks/demo_memory.py              # make demo
    .venv/bin/python benchmarks/demo_memory.py make demo DOC=report.md

Prints the seconds it took, the peak of the sum of all proportional set sizes, what made it up, and what was
left running. The exit status is that of the command, or 1 when something was left running.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import marked  # noqa: E402 (lies in tools)

INTERVAL = 0.25  # seconds between two looks
MIB = 1024 * 1024


def main() -> int:
    command = sys.argv[1:] or ["make", "demo"]
    mark = marked.Mark()
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, env=mark.environment())
    peak: list[tuple[marked.Process, int]] = []
    at = 0.0
    while process.poll() is None:
        sample = [(one, marked.pss(one.pid)) for one in mark.look()]
        if sum(size for _one, size in sample) > sum(size for _one, size in peak):
            peak, at = sample, time.monotonic() - start
        time.sleep(INTERVAL)
    seconds = time.monotonic() - start
    total = sum(size for _one, size in peak)
    print(f"\n{' '.join(command)}: {seconds:.0f} s, status {process.returncode}")
    print(f"Peak memory (PSS) of its {len(peak)} processes: {total / MIB:,.0f} MiB, after {at:.0f} s:")
    for one, size in sorted(peak, key=lambda pair: -pair[1]):
        print(f"{size / MIB:8,.0f} MiB  {one.command[:100]}")
    left = mark.look()
    print("Left running: " + ("; ".join(f"{one.pid} {one.command}" for one in left) or "nothing"))
    return process.returncode or bool(left)


if __name__ == "__main__":
    sys.exit(main())
