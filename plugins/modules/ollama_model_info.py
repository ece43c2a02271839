#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model_info
version_added: 1.0.0
short_description: Search the catalogue of models, and list those that a stack has
description:
  - Searches the catalogue, for which it asks no one, and lists the models of a registry, when one is named.
options:
  registry:
    description: The path of a registry, such as C(/pasture/docs), whose models are to be listed.
    type: str
  search:
    description: Only models with this text in their name, family or capabilities.
    type: str
    default: ""
  capability:
    description: Only models that can do this.
    type: str
    choices: [completion, embedding, insert, thinking, tools, vision]
  max_size_gb:
    description: Only models with a tag whose weights take at most this many gigabytes (10^9 bytes).
    type: float
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common.info
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Find models that see
  pasture.ollama.ollama_model_info:
    capability: vision
    max_size_gb: 14
  register: found

- name: List the models of a stack
  pasture.ollama.ollama_model_info:
    registry: /pasture/docs
  register: found
"""

RETURN = r"""
catalogue:
  description: The models of the catalogue that were asked for, sorted by name.
  returned: always
  type: list
  elements: dict
  sample:
    - name: smollm2
      family: llama
      capabilities: [completion, tools]
      inputs: [text/plain]
      outputs: [text/plain]
      default_tag: latest
      tags:
        - {name: 135m, size: 270885952, context_length: 8192}
models:
  description:
    - The models of the registry that were asked for, as M(pasture.ollama.ollama_model) returns them.
    - One whose definition is broken has C(broken) instead, which says how.
  returned: always
  type: list
  elements: dict
  sample:
    - name: smollm2
      tag: 135m
      parameter: /pasture/docs/models/smollm2/135m
lines:
  description:
    - One line for people on each model, of the registry when O(registry) is given and of the catalogue otherwise.
  returned: always
  type: list
  elements: str
  sample:
    - "smollm2  [completion, tools]  135m 271 MB, 360m 726 MB"
"""

from collections.abc import Iterator
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    CAPABILITIES,
    DefinitionError,
    check_registry,
    decode,
)
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import (
    definition_state,
    reference_of,
    registered,
)


def catalogue_row(model: _catalogue.Model) -> dict[str, Any]:
    """A model of the catalogue as it is returned."""
    return {
        "name": model.name,
        "family": model.family,
        "capabilities": list(model.capabilities),
        "inputs": list(model.inputs),
        "outputs": list(model.outputs),
        "default_tag": model.default_tag,
        "tags": [
            {"name": tag.name, "size": tag.size, "context_length": tag.context_length}
            for tag in model.tags.values()
        ],
    }


def stored(api: Api, registry: str, search: str, capability: str | None) -> Iterator[dict[str, Any]]:
    """The definitions of a registry that were asked for."""
    for parameter, value in registered(api, registry):
        reference = reference_of(parameter, registry)
        try:
            state = {"parameter": parameter, **definition_state(decode(value, parameter))}
        except DefinitionError as error:
            name, _colon, tag = reference.rpartition(":")
            state = {"parameter": parameter, "name": name, "tag": tag, "broken": str(error)}
        fields = (reference, state.get("family", ""), *state.get("capabilities", ()))
        if not any(search.lower() in field.lower() for field in fields):
            continue
        if capability is None or capability in state.get("capabilities", ()):
            yield state


def catalogue_line(row: dict[str, Any]) -> str:
    """A model of the catalogue, for people."""
    tags = ", ".join(f"{tag['name']} {size_text(tag['size'])}" for tag in row["tags"])
    return f"{row['name']}  [{', '.join(row['capabilities'])}]  {tags}"


def stored_line(state: dict[str, Any]) -> str:
    """A model of the registry, for people."""
    if "broken" in state:
        return str(state["broken"])
    where = f"  from {state['from']}" if state["from"] else ""
    return (
        f"{state['name']}:{state['tag']}  [{', '.join(state['capabilities'])}]  "
        f"reads {', '.join(state['inputs'])}{where}"
    )


def size_text(size: int) -> str:
    """Bytes as Ollama writes them."""
    return f"{size / 1e9:.1f} GB" if size >= 10**9 else f"{size / 1e6:.0f} MB"


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "registry": {"type": "str"},
            "search": {"type": "str", "default": ""},
            "capability": {"type": "str", "choices": list(CAPABILITIES)},
            "max_size_gb": {"type": "float"},
        },
        supports_check_mode=True,
    )
    params = module.params
    largest = None if params["max_size_gb"] is None else int(params["max_size_gb"] * 1e9)
    found = _catalogue.search(params["search"], params["capability"] or "", largest)
    models: list[dict[str, Any]] = []
    if params["registry"]:
        try:
            registry = check_registry(params["registry"])
            models = list(stored(Api(module, "ssm"), registry, params["search"], params["capability"]))
        except DefinitionError as error:
            module.fail_json(msg=str(error))
        except AwsError as error:
            module.fail_json(
                msg=f"The registry {params['registry']} could not be read: {error}.", error_code=error.code
            )
    rows = [catalogue_row(model) for model in found]
    lines = [stored_line(m) for m in models] if params["registry"] else [catalogue_line(row) for row in rows]
    module.exit_json(changed=False, catalogue=rows, models=models, lines=lines)


if __name__ == "__main__":
    main()
