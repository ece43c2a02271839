# SPDX-License-Identifier: GPL-3.0-or-later
"""The real Containerfile, built with podman on bases that are made here, run against the emulator.

Where podman can neither be found nor installed, or who runs this is not root, one line says that none of this was
checked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import machine
import pytest
from worker_cloud import Cloud, emulator

HERE = Path(__file__).parent
# Why nothing of this was checked, when that is so.
REASON = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these take long."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take out what cannot run here, as a whole: a skip would be a line for each test."""
    mine = [item for item in session.items if "programs" in getattr(item, "fixturenames", ())]
    if not mine or session.config.option.collectonly:
        return
    try:
        machine.ensure_programs()
    except machine.CannotBuildError as error:
        session.config.stash[REASON] = str(error)
        session.items[:] = [item for item in session.items if item not in mine]
        session.config.hook.pytest_deselected(items=mine)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line that, and why, the image was not checked."""
    if reason := config.stash.get(REASON, ""):
        terminalreporter.write_line(f"The container image was not checked: {reason}.", yellow=True)


@pytest.fixture(scope="session")
def programs() -> None:
    """Podman, and what makes bases and a registry: a test that takes this is run only where they are."""


@pytest.fixture(scope="session")
def bases(programs: None) -> dict[str, str]:
    """The build arguments that stand for the images that cannot be pulled here."""
    try:
        return {
            "OLLAMA_IMAGE": machine.official(),
            "PYTHON_IMAGE": machine.base("python", machine.PYTHON_PACKAGES),
            "RUNTIME_IMAGE": machine.base(
                "runtime", machine.RUNTIME_PACKAGES, without=machine.NOT_AT_RUN_TIME
            ),
        }
    except machine.CannotBuildError as error:
        pytest.skip(f"The container image was not checked: {error}.")


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the build may read of this machine's settings."""
    return machine.index_secrets(tmp_path_factory.mktemp("pip"))


@pytest.fixture(scope="session")
def image(bases: dict[str, str], secrets: dict[str, str]) -> str:
    """The image, built from the sources as they stand."""
    name = "localhost/pasture-test/worker:current"
    arguments = [option for key, value in bases.items() for option in ("--build-arg", f"{key}={value}")]
    files = [option for key, path in secrets.items() for option in ("--secret", f"id={key},src={path}")]
    machine.podman(
        *("build", "--isolation", "chroot", "--format", "docker", "--pull=never", "--tag", name),
        *(*arguments, *files, str(machine.SOURCES)),
    )
    return name


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The URL of an AWS emulator of these tests' own."""
    with emulator() as url:
        yield url


@pytest.fixture
def cloud(endpoint: str) -> Cloud:
    """What one processor has in AWS."""
    return Cloud(endpoint)


@pytest.fixture
def registry(programs: None, tmp_path: Path) -> Iterator[str]:
    """A registry on loopback."""
    with machine.registry(tmp_path / "registry") as address:
        yield address


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the account of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "PASTURE_", "OLLAMA_", "ECS_")):
            monkeypatch.delenv(name)
