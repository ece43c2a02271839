# SPDX-License-Identifier: GPL-3.0-or-later
"""Which tool is taken, what it is told, and what its failures mean."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._container_tool import (
    Tool,
    explain,
    find_tool,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


class Machine:
    """A machine on which commands answer what was prepared; it remembers them, and the logins they were given."""

    def __init__(self, **answers: tuple[int, str, str] | OSError) -> None:
        self.answers = answers
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.logins: list[dict[str, object]] = []

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        self.commands.append(list(command))
        self.environments.append(environment)
        for option, value in pairwise(command):
            if option in ("--authfile", "--config"):
                path = Path(value) if option == "--authfile" else Path(value) / "config.json"
                assert path.stat().st_mode & 0o777 == 0o600
                self.logins.append(json.loads(path.read_text()))
        answer = self.answers.get(f"{command[0]}_{command[1]}", self.answers.get(command[0], (0, "", "")))
        if isinstance(answer, OSError):
            raise answer
        return answer


MISSING = FileNotFoundError(2, "No such file or directory")


def test_podman_comes_first() -> None:
    assert find_tool("auto", Machine().run) == "podman"


def test_docker_is_taken_where_podman_does_not_work() -> None:
    assert find_tool("auto", Machine(podman=MISSING).run) == "docker"
    assert find_tool("auto", Machine(podman=(125, "", "cannot clone")).run) == "docker"


def test_a_docker_without_its_daemon_is_none() -> None:
    machine = Machine(podman=MISSING, docker=(1, "Client:", "Cannot connect to the Docker daemon"))
    with pytest.raises(
        Refusal, match=r"neither podman nor docker works.*Cannot connect to the Docker daemon"
    ):
        find_tool("auto", machine.run)


def test_a_tool_that_was_asked_for_is_not_replaced() -> None:
    with pytest.raises(Refusal, match="podman does not work here"):
        find_tool("podman", Machine(podman=MISSING).run)


def build(tool: Tool, **changes: object) -> None:
    arguments: dict[str, object] = {
        "arguments": {"B": "2", "A": "1"},
        "labels": {"l": "x"},
        "secrets": {"pip.conf": "/etc/pip.conf"},
        **changes,
    }
    tool.build(Path("/src"), "Containerfile", "host/name:tag", "linux/arm64", **arguments)  # type: ignore[arg-type]


def test_podman_builds_in_the_format_that_has_a_health_check() -> None:
    machine = Machine()
    build(Tool("podman", machine.run, {"build": ["--isolation=chroot"]}))
    (command,) = machine.commands
    line = " ".join(command)
    assert "--platform linux/arm64 --tag host/name:tag --file /src/Containerfile --format docker" in line
    assert "--build-arg A=1 --build-arg B=2 --label l=x --secret id=pip.conf,src=/etc/pip.conf" in line
    assert command[-2:] == ["--isolation=chroot", "/src"]


def test_docker_builds_without_attestations() -> None:
    machine = Machine()
    build(Tool("docker", machine.run))
    assert "--format" not in machine.commands[0]
    assert machine.environments[0]["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"


def test_a_password_is_on_no_command_line() -> None:
    login = base64.b64encode(b"AWS:password").decode()
    machine = Machine(docker_context=(0, "unix:///run/user/1000/docker.sock\n", ""))
    for name in ("podman", "docker"):
        Tool(name, machine.run).push("host/name:tag", "host", login)
        build(Tool(name, machine.run), host="host", login=login)
    assert machine.logins == [{"auths": {"host": {"auth": login}}}] * 4
    assert not any("password" in part or login in part for command in machine.commands for part in command)
    pushes = [command for command in machine.commands if "push" in command]
    assert pushes[1][:2] == ["docker", "--config"]
    assert pushes[1][3:6] == ["--host", "unix:///run/user/1000/docker.sock", "push"]


def test_a_login_is_gone_after_the_push() -> None:
    machine = Machine()
    Tool("podman", machine.run).push("host/name:tag", "host", "bG9naW4=")
    command = machine.commands[0]
    assert not Path(command[command.index("--authfile") + 1]).exists()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("Error: writing blob: write /var/tmp/x: no space left on device", "the disk is full"),
        ("denied: User: arn:aws:iam::1:user/x is not authorized to perform: ecr:PutImage", "ECR action"),
        ("unauthorized: authentication required", "refused the push"),
        ("#9 0.41 ERROR: OLLAMA_IMAGE has no x.\nERROR: failed to solve: process", "OLLAMA_IMAGE has no x"),
        (f"failed to solve: host/x@sha256:{'0' * 64}: not found", "does not exist under this name"),
        ("initiating layer upload: StatusCode: 405, Method not allowed.", "it takes none"),
        ("tag invalid: The image tag 'x' already exists in the 'y' repository", "somebody pushed it meanwhile"),
        ("exec container process `/bin/sh`: Exec format error", "qemu-user-static"),
        ("Error: reading manifest sha256:00 in docker.io/x: manifest unknown", "does not exist under this name"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES: Hashes do not match", "not the one that was locked"),
        ("dial tcp 127.0.0.1:1: connect: connection refused", "could not reach"),
        ("something else", "failed:\nsomething else"),
    ],
)  # fmt: skip
def test_a_failure_is_told_in_a_sentence(output: str, expected: str) -> None:
    assert expected in explain("push", output, ECR)


def test_what_the_containerfile_says_itself_is_passed_on() -> None:
    output = "STEP 3/3: RUN x\nERROR: OLLAMA_IMAGE has no /usr/bin/ollama: ...\nError: exit status 1"
    assert explain("build", output) == "OLLAMA_IMAGE has no /usr/bin/ollama: "


def test_the_end_of_a_long_output_is_shown() -> None:
    output = "\n".join(f"line {n}" for n in range(100))
    said = explain("build", output)
    assert "line 99" in said
    assert "line 50" not in said
