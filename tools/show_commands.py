# SPDX-License-Identifier: GPL-3.0-or-later
"""Write into documents what the commands in them print.

    python tools/show_commands.py docs/simulator.md docs/cost.md

A block of a document that begins with ``$ pasture-local simulate`` under the comment MARK is run, and what
stood below its command is replaced. A test compares, so that no figure in a document is out of date.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path

from pasture_local.cli import main as pasture_local

ROOT = Path(__file__).resolve().parents[1]
MARK = "<!-- printed by the command: python tools/show_commands.py -->"
_BLOCK = re.compile(
    rf"(?P<head>{re.escape(MARK)}\n```console\n\$ (?P<command>(?:[^\n]*\\\n)*[^\n]*)\n).*?(?P<tail>```\n)",
    re.DOTALL,
)
# What rich takes for the size of a terminal that it cannot ask.
_WIDTH = "112"


class CommandError(Exception):
    """A documented command failed; the message says which, and what it printed."""


def printed(command: str) -> str:
    """Run a documented command in the repository's folder and return what it prints.

    :raises CommandError: when it fails, or is not ours.
    """
    program, *arguments = shlex.split(command)
    if program != "pasture-local":
        raise CommandError(f"'{command}' does not begin with pasture-local.")
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.chdir(ROOT):
        before = os.environ.get("COLUMNS")
        os.environ["COLUMNS"] = _WIDTH
        try:
            status = pasture_local(arguments)
        finally:
            if before is None:
                del os.environ["COLUMNS"]
            else:
                os.environ["COLUMNS"] = before
    if status:
        raise CommandError(f"'{command}' ended with {status}: {output.getvalue()}")
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()).strip("\n") + "\n"


def shown(document: str) -> str:
    """Return a document with what its marked commands print."""

    def run(found: re.Match[str]) -> str:
        return f"{found['head']}{printed(found['command'])}{found['tail']}"

    return _BLOCK.sub(run, document)


def main(arguments: list[str]) -> int:
    """Rewrite the named documents."""
    for name in arguments:
        path = Path(name)
        path.write_text(shown(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
