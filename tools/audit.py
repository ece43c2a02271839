# SPDX-License-Identifier: GPL-3.0-or-later
"""Look for known vulnerabilities in the Python packages of the container image.

``python tools/audit.py`` asks pip-audit about ``image/requirements.txt``. The exit status is 1 when a vulnerability is
known, and 0 when none is; also where the database cannot be reached, which one line then says.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "image" / "requirements.txt"
# With hashes, every version is known, so that nothing is resolved or installed.
COMMAND = ["tool", "run", "pip-audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]


def verdict(code: int, output: str) -> tuple[int, str]:
    """What the scanner's end means: an exit status and a line.

    It ends with 1 both when it found something and when it could not ask; only in the first case it says how much.
    """
    if code == 0:
        return 0, "No known vulnerabilities in the image's Python packages."
    if "known vulnerabilit" in output and "Found" in output:
        return 1, output.strip()
    reason = (output.strip().splitlines() or ["it said nothing"])[-1]
    return 0, f"Known vulnerabilities of the image's Python packages were not checked: {reason}"


def main() -> int:
    uv = Path(sys.executable).with_name("uv")
    result = subprocess.run(
        [str(uv), *COMMAND, "--requirement", str(REQUIREMENTS)], capture_output=True, text=True, check=False
    )
    status, line = verdict(result.returncode, result.stdout + result.stderr)
    print(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
