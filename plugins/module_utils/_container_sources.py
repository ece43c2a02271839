# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container image is made from, as one short name: the same sources and arguments, the same tag.

For internal use of this collection only.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

#: The file that podman, buildah and docker all read.
IGNORE_FILE = ".dockerignore"

# Enough not to meet, short enough to be read: 64 bits.
_TAG_LENGTH = 16


def read_ignore(folder: Path) -> list[str]:
    """The patterns of a folder's ignore file, in its order; none when it has no such file."""
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def ignored(relative: str, patterns: Sequence[str]) -> bool:
    """Whether a path is kept out of the build: the last pattern that matches it, or a folder above, decides.

    https://docs.docker.com/build/concepts/context/#dockerignore-files. Of its syntax this knows C(*), C(?), a
    leading C(**/) and C(!).
    """
    parts = relative.split("/")
    above = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    result = False
    for pattern in patterns:
        body = pattern.removeprefix("!").strip("/")
        if any(_matches(path, body) for path in above):
            result = not pattern.startswith("!")
    return result


def _matches(path: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        parts = path.split("/")
        return any(_matches("/".join(parts[start:]), pattern[3:]) for start in range(len(parts)))
    # A star does not cross a slash, so that both are compared part by part.
    names, wanted = path.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))


def context_files(folder: Path) -> Iterator[Path]:
    """The files of a folder that a build sees, in a stable order."""
    patterns = read_ignore(folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not ignored(path.relative_to(folder).as_posix(), patterns):
            yield path


def content_tag(folder: Path, arguments: Mapping[str, str], platform: str) -> str:
    """A tag that is the same exactly when the sources, the arguments and the platform are.

    Neither times nor the place of the folder count, nor the bits of the files' modes but the one that makes
    them executable: another checkout of the same sources gives the same tag.
    """
    digest = hashlib.sha256(json.dumps([platform, sorted(arguments.items())]).encode())
    for path in context_files(folder):
        content = path.read_bytes()
        executable = bool(path.stat().st_mode & 0o100)
        header = json.dumps([path.relative_to(folder).as_posix(), len(content), executable])
        digest.update(header.encode() + content)
    return digest.hexdigest()[:_TAG_LENGTH]
