# SPDX-License-Identifier: GPL-3.0-or-later
"""Lay the collection out the way Ansible's tools want it, wherever the repository was cloned to.

``build``   builds the tarball and installs it into .build/collections, when a source has changed since.
``dev``     makes .build/dev, a tree of links in which playbooks and tests see the sources as they stand.
``sanity``  makes .build/sanity, the built collection in a git tree of its own: ``ansible-test`` wants both.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
NAMESPACE, NAME = "pasture", "ollama"
# Without these the collection would still be itself: a change in one is no reason to build again.
NOT_SHIPPED = (".git", ".ci", ".venv", ".build", "__pycache__", "*.pyc")


def place(tree: Path) -> Path:
    """Return the collection's folder in a tree of collections."""
    return tree / "ansible_collections" / NAMESPACE / NAME


def ignored(relative: str, patterns: Sequence[str]) -> bool:
    """Tell whether ``ansible-galaxy collection build`` leaves a path out, by all of it or its last part."""
    name = relative.rsplit("/", 1)[-1]
    return any(fnmatch.fnmatch(relative, pattern) or fnmatch.fnmatch(name, pattern) for pattern in patterns)


def sources(root: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """Yield the files that go into the collection, in a stable order."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(
            name for name in folders if not ignored((here / name).relative_to(root).as_posix(), patterns)
        )
        for name in sorted(files):
            if not ignored((here / name).relative_to(root).as_posix(), patterns):
                yield here / name


def digest(root: Path, patterns: Sequence[str]) -> str:
    """Return a digest of the names and contents of everything that goes into the collection."""
    result = hashlib.sha256()
    for path in sources(root, patterns):
        content = path.read_bytes()
        result.update(f"{path.relative_to(root)}\0{len(content)}\0".encode() + content)
    return result.hexdigest()


def run(command: Sequence[str | Path], cwd: Path = ROOT) -> None:
    """Run a tool quietly; show what it said when it fails."""
    arguments = [str(part) for part in command]
    result = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False)
    if result.returncode:
        print(result.stdout + result.stderr, file=sys.stderr)
        raise SystemExit(f"'{' '.join(arguments)}' failed.")


def galaxy() -> Path:
    """Return the ``ansible-galaxy`` that belongs to the interpreter that runs this."""
    return Path(sys.executable).with_name("ansible-galaxy")


def build() -> Path:
    """Build and install the collection, unless what is installed is already that. Return the tarball."""
    description = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    tarball = BUILD / f"{NAMESPACE}-{NAME}-{description['version']}.tar.gz"
    stamp = BUILD / "collections.digest"
    current = digest(ROOT, [*NOT_SHIPPED, *description["build_ignore"]])
    if tarball.exists() and stamp.exists() and stamp.read_text() == current:
        return tarball
    BUILD.mkdir(exist_ok=True)
    stamp.unlink(missing_ok=True)
    run([galaxy(), "collection", "build", "--force", "--output-path", BUILD, ROOT])
    shutil.rmtree(place(BUILD / "collections"), ignore_errors=True)
    # The AWS collections come with the ansible package, and there may be no Galaxy server to reach.
    run(
        [
            galaxy(), "collection", "install", "--offline", "--no-deps", "--force",
            "-p", BUILD / "collections", tarball,
        ]
    )  # fmt: skip
    stamp.write_text(current)
    return tarball


def link(links: Mapping[Path, Path]) -> None:
    """Make symbolic links (link -> target), or mend them."""
    for name, target in links.items():
        name.parent.mkdir(parents=True, exist_ok=True)
        if name.is_symlink() and name.resolve() == target.resolve():
            continue
        name.unlink(missing_ok=True)
        name.symlink_to(target)


def aws_collections(tree: Path) -> dict[Path, Path]:
    """Return the links that put the AWS collections of the ansible package into a tree of collections."""
    packages = Path(sysconfig.get_path("purelib")) / "ansible_collections"
    return {place(tree).parents[1] / namespace: packages / namespace for namespace in ("amazon", "community")}


def dev() -> Path:
    """Link the sources, and the AWS collections beside them, into a tree of collections. Return the tree."""
    tree = BUILD / "dev"
    link({place(tree): ROOT, **aws_collections(tree)})
    return tree


def sanity() -> Path:
    """Put the built collection into a git tree. Return the collection's folder."""
    build()
    tree = BUILD / "sanity"
    target = place(tree)
    # The environments that ansible-test made under tests/output are kept: they take longest to make.
    output = target / "tests" / "output"
    kept = BUILD / "sanity-output"
    if output.exists():
        shutil.rmtree(kept, ignore_errors=True)
        output.rename(kept)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(place(BUILD / "collections"), target)
    shutil.copy(ROOT / ".gitignore", target)
    link(aws_collections(tree))
    if kept.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        kept.rename(output)
    git = shutil.which("git")
    if git is None:
        raise SystemExit("ansible-test needs git: install it (as root: apt-get install git).")
    run([git, "init", "-q"], target)
    run([git, "add", "-A"], target)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    commands: dict[str, Callable[[], Path]] = {"build": build, "dev": dev, "sanity": sanity}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=sorted(commands))
    print(commands[parser.parse_args(arguments).command]().relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
