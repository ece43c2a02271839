# SPDX-License-Identifier: GPL-3.0-or-later
"""Running the collection's own playbook, and telling how it goes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pasture_local import processes
from pasture_local.demo.errors import DemoError
from pasture_local.home import Home

_TASK = re.compile(r"^TASK \[(?:[\w.]+\.)?(?P<role>\w+) : (?P<task>.+?)\] \**$")
_FATAL = re.compile(r"^fatal: \[localhost\]: \w+! => (?P<result>\{.*)$", re.MULTILINE)
_MESSAGE = re.compile(r'"msg": "((?:[^"\\]|\\.)*)"')
_ERROR = re.compile(r"^(?:\[ERROR\]|ERROR!): *(?P<message>.+)$", re.MULTILINE)
_RECAP = re.compile(r"^localhost\s+: ok=(?P<ok>\d+)\s+changed=(?P<changed>\d+)", re.MULTILINE)
_STOP_GRACE = 3.0


def environment(inherited: Mapping[str, str], home: Home) -> dict[str, str]:
    """What Ansible is run with: nothing of the user's own AWS account, and no colours in the log."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("AWS_")}
    binaries = str(Path(sys.executable).parent)
    return {
        "LC_ALL": "C.UTF-8",  # Ansible insists on UTF-8
        **kept,
        "PATH": f"{binaries}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PASTURE_LOCAL_HOME": str(home.path),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "PYTHONUNBUFFERED": "1",
    }


def as_yaml(value: Any, indent: str = "") -> str:
    """Variables for Ansible whose texts are taken as they are: a prompt may hold braces that are not a template's."""
    if isinstance(value, str):
        return f"!unsafe {json.dumps(value)}"
    deeper = f"{indent}  "
    if isinstance(value, Mapping) and value:
        return "".join(f"\n{indent}{json.dumps(key)}: {as_yaml(item, deeper)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"\n{indent}- {as_yaml(item, deeper).lstrip()}" for item in value)
    return json.dumps(value)


def run(
    home: Home, variables: Mapping[str, Any], progress: Callable[[str, str], None], poll: Callable[[], None]
) -> tuple[int, int]:
    """Run ``pasture.ollama.local`` and return how many of its tasks were done and how many changed something.

    ``progress`` is told role and task; ``poll`` is called often, and may raise. Raises DemoError with Ansible's own
    message when the playbook fails. Whatever ends this function ends the playbook.
    """
    given = home.path / "demo.yml"
    given.write_text(as_yaml(variables) + "\n")
    log = home.logs / "deploy.log"
    command: list[str | Path] = [Path(sys.executable).parent / "ansible-playbook", "pasture.ollama.local"]
    with log.open("wb") as output:
        process = processes.start(
            [*command, "-i", "localhost,", "-c", "local", "--extra-vars", f"@{given}"],
            env=environment(os.environ, home),
            cwd=Path.cwd(),
            stdout=output,
        )
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            while process.poll() is None:
                poll()
                for line in lines:
                    if match := _TASK.match(line.rstrip()):
                        progress(match["role"], match["task"])
    finally:
        processes.stop(process, _STOP_GRACE)
    text = log.read_text(encoding="utf-8", errors="replace")
    recap = _RECAP.search(text)
    if process.returncode or recap is None:
        raise DemoError(f"The deployment failed: {reason(text)} The whole of it is in {log}.")
    return int(recap["ok"]), int(recap["changed"])


def reason(text: str) -> str:
    """What a failed playbook says is wrong, as one paragraph that ends with a full stop."""
    found = ""
    if match := _FATAL.search(text):
        try:
            found = str(json.loads(match["result"]).get("msg", ""))
        except ValueError:
            message = _MESSAGE.search(match["result"])
            found = message.group(1) if message else match["result"][:500]
    elif match := _ERROR.search(text):
        found = match["message"]
    else:
        lines = [line for line in text.splitlines() if line.strip()]
        found = lines[-1] if lines else "Ansible said nothing"
    return " ".join(found.split()).rstrip(".") + "."
