# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role offers, a user of the playbooks gets: with the same default, and described in one place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Undefined, UndefinedError
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"
# The image on a machine of one's own, and the tests' own.
OTHER = {"pasture_local"}


def roles_of_deploy() -> list[tuple[str, dict[str, Any]]]:
    """Each role of deploy.yml with the variables that it is given."""
    (play,) = yaml.safe_load((PLAYBOOKS / "deploy.yml").read_text(encoding="utf-8"))
    return [(entry["role"].rsplit(".", 1)[-1], entry["vars"]) for entry in play["roles"]]


def options_of(role: str) -> dict[str, Any]:
    path = ROOT / "roles" / role / "meta" / "argument_specs.yml"
    options: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"]["main"][
        "options"
    ]
    return options


@pytest.mark.parametrize(("role", "given"), roles_of_deploy())
def test_deploy_reaches_every_option_of_a_role(role: str, given: dict[str, Any]) -> None:
    assert sorted(given) == sorted(options_of(role))


def default_of(expression: str) -> Any:
    """What a role is given when the user says nothing; undefined when it comes from the role before it."""
    environment = NativeEnvironment()
    environment.filters["bool"] = bool
    try:
        return environment.from_string(expression).render()
    except UndefinedError as error:
        return Undefined(str(error))


@pytest.mark.parametrize(("role", "given"), roles_of_deploy())
def test_a_default_is_the_same_in_the_playbook_and_in_the_role(role: str, given: dict[str, Any]) -> None:
    for name, option in options_of(role).items():
        value = default_of(given[name])
        if not isinstance(value, Undefined):
            assert (value or "") == (option.get("default") or ""), name


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bpasture_[a-z_]+", text)) - OTHER


def test_every_variable_of_the_playbooks_is_described_and_none_that_is_not() -> None:
    used = {name for path in PLAYBOOKS.glob("*.yml") for name in names_in(path.read_text(encoding="utf-8"))}
    assert names_in((ROOT / "docs" / "variables.md").read_text(encoding="utf-8")) == used


@pytest.mark.parametrize("playbook", ["bake", "deploy", "destroy", "redrive", "status", "submit"])
def test_a_stack_without_a_name_is_refused_first(playbook: str) -> None:
    (play,) = yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text(encoding="utf-8"))
    (first,) = play["pre_tasks"]
    assert first["ansible.builtin.import_role"] == {"name": "pasture.ollama.preflight", "tasks_from": "named"}
