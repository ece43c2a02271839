# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ``ansible-test`` on the built collection: ``python tools/run_ansible_test.py sanity`` (or ``units``).

It hands ansible-test a home folder of its own, for two reasons. To fill its environments it downloads a
bootstrap script for pip from a server of its own, unless the script lies in that home already; ensurepip,
which is on every machine that has come this far, does the same without a download. And it passes no ``PIP_*``
variable on, so that index, proxy and certificates have to stand in a pip.conf.
"""

from __future__ import annotations

import ast
import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import collection

HOME = collection.BUILD / "home"
BOOTSTRAP = "import ensurepip; ensurepip.bootstrap(upgrade=True, default_pip=True)\n"
# Python distributions and tools of their own, with gates of their own (ruff, mypy --strict): the rules of plugins, such
# as the one against the name "_", are not theirs.
OTHER_CODE = (
    "benchmarks/",
    "extensions/",
    "image/",
    "local/",
    "tests/image/",
    "tests/iam/",
    "tests/integration/",
    "tools/",
)
ARGUMENTS = {
    "sanity": ["sanity", "--local", *(f"--exclude={folder}" for folder in OTHER_CODE)],
    "units": ["units", "--local", "--num-workers", "2"],
}


def pip_version(source: str) -> str:
    """Return the version of pip that ansible-test wants, read from its own source."""
    match = re.search(r"default_packages = dict\(\s*pip='([^']+)'", source)
    if match is None:
        raise SystemExit("tools/run_ansible_test.py does not find which pip this ansible-test wants.")
    return match.group(1)


def pip_settings(listing: Iterable[str]) -> dict[str, str]:
    """Read the output of ``pip config list``; what comes later (the environment) wins."""
    result = {}
    for line in listing:
        name, separator, value = line.partition("=")
        if separator:
            result[name.rsplit(".", 1)[-1]] = str(ast.literal_eval(value))
    return result


def write_pip_configuration(target: Path) -> None:
    """Write the settings of pip that hold here into a file, with the proxy of the environment."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings = pip_settings(listing.splitlines())
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        settings.setdefault("proxy", proxy)
    configuration = configparser.RawConfigParser()
    configuration["global"] = settings
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w") as stream:
        configuration.write(stream)


def main() -> int:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in ARGUMENTS:
        print(f"Name one of: {', '.join(ARGUMENTS)}.", file=sys.stderr)
        return 2
    wanted = pip_version(files("ansible_test").joinpath("_internal/python_requirements.py").read_text())
    script = HOME / ".ansible/test/cache" / f"get_pip_{wanted.replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text(BOOTSTRAP)
    write_pip_configuration(HOME / ".config/pip/pip.conf")
    command = [
        str(Path(sys.executable).with_name("ansible-test")),
        *ARGUMENTS[name],
        f"--python={sys.version_info.major}.{sys.version_info.minor}",
        *sys.argv[2:],
    ]
    # The interpreter's folder comes first: ansible-test looks for Python on the PATH, and a shim may not run.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"HOME": str(HOME), "PATH": path}
    return subprocess.run(command, cwd=collection.sanity(), env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
