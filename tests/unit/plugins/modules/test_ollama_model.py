# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules of the registry make of their options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    Definition,
    DefinitionError,
    define,
    encode,
)
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import (
    RegisteredModel,
    seeded_mark,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Outcome
from ansible_collections.pasture.ollama.plugins.modules.ollama_model import definitions, unlisted, unseeded
from ansible_collections.pasture.ollama.plugins.modules.ollama_model_info import (
    catalogue_line,
    catalogue_row,
    stored,
    stored_line,
)
from ansible_collections.pasture.ollama.plugins.modules.ollama_model_seed import pending

NONE: dict[str, Any] = dict.fromkeys(
    (
        "name",
        "tag",
        "inputs",
        "outputs",
        "capabilities",
        "context_length",
        "size",
        "options",
        "from",
        "digest",
        "modelfile",
        "models",
    )
)
REGISTRY = "/pasture/docs"


class Registry:
    """Parameters by name, and the tags of all."""

    def __init__(self, tags: dict[str, str] | None = None, **values: str) -> None:
        self.values = {f"{REGISTRY}/models/{name}": value for name, value in values.items()}
        self.tags = [{"Key": key, "Value": value} for key, value in (tags or {}).items()]

    def pages(self, *_arguments: Any, **_options: Any) -> Any:
        return ({"Name": name, "Value": value} for name, value in self.values.items())

    def call(self, operation: str, /, **_options: Any) -> Any:
        assert operation == "list_tags_for_resource"
        return {"TagList": self.tags}


def params(**given: Any) -> dict[str, Any]:
    return {**NONE, "state": "present", **given}


def test_one_model_by_its_options_or_several_by_a_list() -> None:
    assert definitions(params(name="llava", tag="13b", options={"seed": 1})) == [
        define({"name": "llava", "tag": "13b", "options": {"seed": 1}})
    ]
    assert definitions(params(models=["llava:13b", {"name": "mistral"}])) == [
        define("llava:13b"),
        define("mistral"),
    ]
    assert definitions(params(models=[])) == []


def test_the_same_model_twice_is_once_and_never_in_two_ways() -> None:
    assert len(definitions(params(models=["llava", "llava:latest"]))) == 1
    with pytest.raises(DefinitionError, match="Model llava:latest is listed twice, and not the same way"):
        definitions(params(models=["llava", {"name": "llava", "options": {"seed": 1}}]))


def test_removing_needs_nothing_but_the_name() -> None:
    (found,) = definitions(params(state="absent", name="no-one-knows-it:v1"))
    assert found.parameter(REGISTRY) == "/pasture/docs/models/no-one-knows-it/v1"


def test_what_is_not_listed_is_found_whatever_it_is() -> None:
    api: Any = Registry(**{"llava/latest": "{}", "mistral/latest": "{}", "odd": "?"})
    left = unlisted(api, REGISTRY, [define("llava")])
    assert [resource.parameter for resource in left] == [
        f"{REGISTRY}/models/mistral/latest",
        f"{REGISTRY}/models/odd",
    ]


def test_models_of_a_registry_are_listed_and_broken_ones_say_so() -> None:
    api: Any = Registry(**{"llava/13b": encode(define("llava:13b")), "mistral/latest": "{"})
    good, broken = stored(api, REGISTRY, "", None)
    assert stored_line(good) == "llava:13b  [completion, vision]  reads image/png, image/jpeg, image/webp"
    assert "is broken" in stored_line(broken)
    assert [row["name"] for row in stored(api, REGISTRY, "VISION", None)] == ["llava"]
    assert [row["name"] for row in stored(api, REGISTRY, "", "embedding")] == []


def test_a_line_of_the_catalogue_is_for_people() -> None:
    model = _catalogue.find("smollm2")
    assert model
    assert catalogue_line(catalogue_row(model)) == (
        "smollm2  [completion, tools]  latest 1.8 GB, 1.7b 1.8 GB, 135m 271 MB, 360m 726 MB"
    )


def test_only_what_the_cache_lacks_is_brought() -> None:
    lacking: Any = Registry()
    found = pending(lacking, REGISTRY, ["llava", "mistral"], "fs-1")
    assert sorted(found) == ["llava:latest", "mistral:latest"]
    parameter, mark = found["llava:latest"]
    assert parameter == "/pasture/docs/models/llava/latest"
    having: Any = Registry({"pasture:seeded": mark})
    assert sorted(pending(having, REGISTRY, ["llava", "mistral"], "fs-1")) == ["mistral:latest"]
    assert pending(having, REGISTRY, ["llava"], "(known after deploy: EFS file system)")


def test_what_the_cache_lacks_is_told_by_the_definitions_tags() -> None:
    api: Any = Registry()

    def outcome(definition: Definition, **tags: str) -> Outcome:
        return Outcome(RegisteredModel(api, REGISTRY, definition), False, None, {"tags": tags})

    here, elsewhere, new = define("llava"), define("mistral"), define("phi3")
    outcomes = [
        outcome(new),
        outcome(here, **{"pasture:seeded": seeded_mark(here, "fs-1"), "team": "docs"}),
        outcome(elsewhere, **{"pasture:seeded": seeded_mark(elsewhere, "fs-2")}),
        Outcome(RegisteredModel(api, REGISTRY, define("qwen2.5")), True, None, None),
    ]
    assert unseeded(outcomes, "fs-1") == ["mistral:latest", "phi3:latest", "qwen2.5:latest"]


def test_the_page_of_models_is_what_the_catalogue_says() -> None:
    page = (Path(_catalogue.__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    listed = [
        line.split("`")[1] for line in page.splitlines() if line.startswith("| `") and line.count("|") == 6
    ]
    assert listed == _catalogue.names()
