# SPDX-License-Identifier: GPL-3.0-or-later
"""Take out of Ollama's official image what the container needs: program, CPU libraries, one GPU folder.

Runs while the image is built. Every way in which the image given may be the wrong one ends in a sentence
that says so, since the build fails far from the argument that caused it.
"""

from __future__ import annotations

import argparse
import errno
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PROGRAM = Path("usr/bin/ollama")
LIBRARIES = Path("usr/lib/ollama")
# Since 0.30 models in GGUF format run on it (https://github.com/ollama/ollama/tree/main/llama/server).
RUNNER = "llama-server"


class WrongImageError(Exception):
    """The image given as OLLAMA_IMAGE is not one to make the container from; the message says why."""


def variants(official: Path) -> list[str]:
    """Return the folders of GPU libraries that an image has."""
    return sorted(path.name for path in (official / LIBRARIES).iterdir() if path.is_dir())


def check(official: Path, variant: str) -> None:
    """Check that the image has what will be copied.

    :raises WrongImageError: when it has not.
    """
    if not (official / PROGRAM).is_file():
        raise WrongImageError(
            f"OLLAMA_IMAGE has no /{PROGRAM}: it must be ollama/ollama or an image of the same layout."
        )
    if not (official / LIBRARIES / RUNNER).is_file():
        raise WrongImageError(
            f"OLLAMA_IMAGE has no /{LIBRARIES}/{RUNNER}: it must be ollama/ollama 0.30 or newer."
        )
    known = variants(official)
    if variant != "cpu" and variant not in known:
        raise WrongImageError(
            f"OLLAMA_IMAGE has no /{LIBRARIES}/{variant} for VARIANT={variant}; "
            f"it has {', '.join(known) or 'none'}. cpu takes none of them."
        )


def pick(official: Path, target: Path, variant: str) -> None:
    """Copy the program, the files beside the GPU folders, and that of ``variant`` unless it is cpu."""
    (target / PROGRAM).parent.mkdir(parents=True)
    shutil.copy2(official / PROGRAM, target / PROGRAM)
    (target / LIBRARIES).mkdir(parents=True)
    for path in sorted((official / LIBRARIES).iterdir()):
        # Links between versions of a library are kept, or every library would be there three times.
        if path.is_symlink() or path.is_file():
            shutil.copy2(path, target / LIBRARIES / path.name, follow_symlinks=False)
        elif path.name == variant:
            shutil.copytree(path, target / LIBRARIES / path.name, symlinks=True)


def try_out(target: Path) -> str:
    """Start the program once, which shows a wrong architecture and missing libraries; return its version.

    :raises WrongImageError: when it does not start.
    """
    try:
        result = subprocess.run(
            [str(target / PROGRAM), "--version"], capture_output=True, text=True, check=False, timeout=120
        )
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise WrongImageError(f"OLLAMA_IMAGE's /{PROGRAM} does not start: {error}.") from error
        raise WrongImageError(
            "OLLAMA_IMAGE is for another architecture than the one built for: give the digest of the "
            "multi-architecture index, or the one for this architecture."
        ) from error
    said = (result.stdout + result.stderr).strip()
    if result.returncode:
        raise WrongImageError(
            f"OLLAMA_IMAGE's /{PROGRAM} does not start on this base: {said or result.returncode}"
        )
    return said.splitlines()[-1] if said else ""


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("official", type=Path, help="where the official image's file system is")
    parser.add_argument("target", type=Path, help="the folder to copy to")
    parser.add_argument("--variant", required=True, help="the GPU folder to take, or cpu for none")
    options = parser.parse_args(arguments)
    try:
        check(options.official, options.variant)
        pick(options.official, options.target, options.variant)
        print(try_out(options.target))
    except WrongImageError as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
