# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task definition asks for is what podman is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pasture_local.agent import definition
from pasture_local.agent.podman import PodmanRunner, run_options, runner_for
from pasture_local.agent.runner import ProcessRunner
from pasture_local.home import Home

WORKER: dict[str, Any] = {
    "name": "worker",
    "image": "registry/worker@sha256:1",
    "user": "1000:1000",
    "readonlyRootFilesystem": True,
    "command": ["run"],
    "environment": [{"name": "PASTURE_PROMPT", "value": "two\nlines = one prompt"}],
    "mountPoints": [{"sourceVolume": "models", "containerPath": "/mnt/models"}],
    "linuxParameters": {
        "initProcessEnabled": True,
        "capabilities": {"drop": ["ALL"]},
        "tmpfs": [{"containerPath": "/scratch", "size": 64}],
    },
}


def container(described: dict[str, Any]) -> definition.Container:
    mounts = {"models": Path("/host/models")}
    return definition.container(described, {}, task_id="1", mounts=mounts, secrets={}, injected={})


def test_a_hardened_container_is_as_hard() -> None:
    options = list(run_options(container(WORKER)))
    line = " ".join(options)
    assert "--read-only --read-only-tmpfs=false --user 1000:1000 --init --cap-drop all" in line
    assert "--tmpfs /scratch:rw,size=64m,mode=1777" in line
    assert "--volume /host/models:/mnt/models" in line
    assert "PASTURE_PROMPT=two\nlines = one prompt" in options
    assert options[-2:] == ["--entrypoint", "ollama-worker"]


def test_a_plain_container_gets_nothing_of_it() -> None:
    line = " ".join(run_options(container({"name": "plain", "image": "x"})))
    assert not any(word in line for word in ("--read-only", "--user", "--init", "--cap-drop", "--tmpfs"))


@pytest.mark.parametrize(
    ("user", "owner"),
    [("1000:1000", (1000, 1000)), ("1000", (1000, 1000)), ("ollama:1000", None), ("", None)],
)
def test_the_owner_of_a_store(user: str, owner: tuple[int, int] | None) -> None:
    assert definition.Sandbox.of({"user": user}).owner == owner


def test_containers_only_where_they_are_asked_for(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert isinstance(runner_for(home, {"PATH": ""}), ProcessRunner)
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\n")
    podman.chmod(0o755)
    wanted = {"PASTURE_LOCAL_CONTAINERS": "podman", "PATH": str(tmp_path)}
    assert isinstance(runner_for(home, wanted), PodmanRunner)
    with pytest.raises(ValueError, match="no podman on the PATH"):
        runner_for(home, {**wanted, "PATH": "/nowhere"})
    with pytest.raises(ValueError, match="must be empty or podman"):
        runner_for(home, {"PASTURE_LOCAL_CONTAINERS": "docker"})
