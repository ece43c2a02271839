# SPDX-License-Identifier: GPL-3.0-or-later
"""The bases, copied to a registry of one's own: from then on a build needs no other."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import machine

BIN = Path(sys.executable).parent
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: pasture.ollama.image
        tasks_from: mirror
    - ansible.builtin.debug:
        msg: "copies {{ image__mirrored | to_json | b64encode }}"
"""


def mirror(folder: Path, options: dict[str, Any]) -> tuple[int, dict[str, str]]:
    """Run the role's mirroring: how many tasks changed something, and what the bases are called then."""
    (folder / "play.yml").write_text(PLAY)
    variables = {
        "ansible_python_interpreter": sys.executable,
        "image_stack": {"prefix": "pasture-docs", "tags": {}, "processors": []},
        "image_options": options,
    }
    result = subprocess.run(
        [BIN / "ansible-playbook", folder / "play.yml", "-e", json.dumps(variables)],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(machine.ROOT / ".build" / "dev"),
            "AWS_REGION": "eu-west-1",
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    (changed,) = re.findall(r"changed=(\d+)", result.stdout)
    (copies,) = re.findall(r"copies (\S+)\"", result.stdout)
    value: dict[str, str] = json.loads(base64.b64decode(copies))
    return int(changed), value


def test_bases_are_copied_once_and_needed_no_more(registry: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "mirror_bases": True,
        "insecure": True,
        "repository": f"{registry}/team/worker",
    }
    with machine.registry(tmp_path / "public") as public:
        for name, key in (("ollama", "ollama_image"), ("python", "python_image")):
            original = f"{public}/{name}:1"
            machine.load(original, machine.archive({name: name.encode()}))
            digest = tmp_path / name
            machine.podman("push", "--quiet", "--tls-verify=false", f"--digestfile={digest}", original)
            options[key] = f"{public}/{name}@{digest.read_text()}"
        changed, copies = mirror(tmp_path, options)
    # One task, for all of them.
    assert changed == 1
    assert set(copies) == {"OLLAMA_IMAGE", "PYTHON_IMAGE", "RUNTIME_IMAGE"}
    assert copies["PYTHON_IMAGE"] == copies["RUNTIME_IMAGE"] != copies["OLLAMA_IMAGE"]
    for copy in copies.values():
        assert copy.startswith(f"{registry}/team/worker-bases@sha256:")
        machine.podman("pull", "--quiet", "--tls-verify=false", copy)
    # The registry that they come from is gone.
    assert mirror(tmp_path, options) == (0, copies)
