#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model
version_added: 1.0.0
short_description: Register models for the workers of a stack
description:
  - Stores the definition of a model in Systems Manager Parameter Store, where workers and the seeding of the
    cache read it.
  - A model of the catalogue (see M(pasture.ollama.ollama_model_info)) needs nothing but its name. Any other
    needs O(inputs) and O(outputs).
  - It exists because nothing else knows what these models are.
options:
  registry:
    description:
      - The path of the registry, C(/pasture/) and the stack's name. Definitions are stored below it, as
        C(models/<name>/<tag>).
    type: str
    required: true
  name:
    description: The model's name in Ollama's library, with or without a tag (C(llama3.1:8b)).
    type: str
  tag:
    description: The model's tag. The catalogue's default, which mostly is V(latest), when none is given.
    type: str
  inputs:
    description: The mime-types that it reads. A range such as V(image/*) is one.
    type: list
    elements: str
  outputs:
    description: The mime-types that it writes.
    type: list
    elements: str
  capabilities:
    description: What it can do.
    type: list
    elements: str
    choices: [completion, embedding, insert, thinking, tools, vision]
  context_length:
    description: The tokens of context that it was trained for.
    type: int
  size:
    description:
      - The bytes of its weights, by which preflight tells whether they fit. What the catalogue knows when not
        given, and unknown for weights of O(from).
    type: int
  options:
    description: Options of Ollama's that always go with it, such as C(temperature).
    type: dict
  from:
    description:
      - Where its weights are when they are not in Ollama's library, as C(s3://bucket/key).
      - The object is a GGUF file; or a tar archive of GGUF files with the C(Modelfile) that is made FROM them; or
        an exported store, as M(pasture.ollama.ollama_model_archive) makes one.
    type: str
  digest:
    description: The SHA-256 of the object of O(from), in hex. The seeding task refuses another one.
    type: str
  modelfile:
    description:
      - The Modelfile that goes with a GGUF file of O(from), as C(s3://bucket/key). Its C(FROM) names that file.
      - Without one, the template is what Ollama finds in the file.
    type: str
  models:
    description:
      - Several models, each a name, or a dictionary of the options above, to register in one process.
    type: list
    elements: raw
  state:
    description: Whether they are to be registered.
    type: str
    choices: [present, absent]
    default: present
  purge:
    description: Remove what the registry has besides O(models).
    type: bool
    default: false
  file_system_id:
    description: The file system that is the stack's cache. With it RV(unseeded) tells what is to be brought into it.
    type: str
  tags:
    description: Tags of the parameters. Not given, they are left alone.
    type: dict
  purge_tags:
    description: Remove tags that are not in O(tags).
    type: bool
    default: true
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: A model of the catalogue
  pasture.ollama.ollama_model:
    registry: /pasture/docs
    name: llama3.1:8b

- name: Any model of Ollama's library
  pasture.ollama.ollama_model:
    registry: /pasture/docs
    name: llava
    tag: latest
    inputs: [image/png, image/jpeg]
    outputs: [text/plain]
    options: {num_ctx: 8192, temperature: 0}

- name: A model of one's own
  pasture.ollama.ollama_model:
    registry: /pasture/docs
    name: contracts
    inputs: [text/plain]
    outputs: [text/plain]
    from: s3://models/contracts-q4_k_m.gguf
    digest: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    modelfile: s3://models/contracts.Modelfile

- name: These and no others
  pasture.ollama.ollama_model:
    registry: /pasture/docs
    models:
      - llama3.1:8b
      - {name: mistral-nemo, options: {temperature: 0}}
    purge: true
"""

RETURN = r"""
models:
  description: The definitions as they are now, or in check mode as they would be. Empty when O(state=absent).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The model's name.
      returned: always
      type: str
      sample: llama3.1
    tag:
      description: Its tag.
      returned: always
      type: str
      sample: 8b
    parameter:
      description: The name of the parameter that has the definition.
      returned: always
      type: str
      sample: /pasture/docs/models/llama3.1/8b
    family:
      description: The architecture, in Ollama's words. Empty when it is not known.
      returned: always
      type: str
      sample: llama
    capabilities:
      description: What it can do.
      returned: always
      type: list
      sample: [completion, tools]
    inputs:
      description: The mime-types that it reads.
      returned: always
      type: list
      sample: [text/plain, text/markdown]
    outputs:
      description: The mime-types that it writes.
      returned: always
      type: list
      sample: [text/plain]
    context_length:
      description: The tokens that it was trained for, 0 when they are not known.
      returned: always
      type: int
      sample: 131072
    size:
      description: The bytes of its weights, 0 when they are not known.
      returned: always
      type: int
      sample: 4920738944
    options:
      description: Options of Ollama's that always go with it.
      returned: always
      type: dict
      sample: {}
    from:
      description: Where its weights are, null for Ollama's library.
      returned: always
      type: str
      sample: null
    digest:
      description: The digest that the object at C(from) must have.
      returned: always
      type: str
      sample: null
    modelfile:
      description: Where the Modelfile is that goes with a GGUF file at C(from).
      returned: always
      type: str
      sample: null
    tags:
      description: The parameter's tags.
      returned: when there are any
      type: dict
      sample: {"pasture:stack": "docs"}
removed:
  description: The models, as C(name:tag), that were removed because of O(purge).
  returned: always
  type: list
  elements: str
unseeded:
  description:
    - The models, as C(name:tag), that M(pasture.ollama.ollama_model_seed) has not brought into the cache yet, or not
      with the weights that they have now.
  returned: when O(file_system_id) is given
  type: list
  elements: str
  sample: ["llama3.1:8b"]
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    CAPABILITIES,
    Definition,
    DefinitionError,
    check_registry,
    define,
)
from ansible_collections.pasture.ollama.plugins.module_utils._model_registry import (
    SEEDED_TAG,
    LeftOver,
    RegisteredModel,
    registered,
    seeded_mark,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Outcome, ensure_all, report

_DEFINITION_OPTIONS = (
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
)
# A parameter's name is all that is needed to remove it.
_ANY = ("application/octet-stream",)


def definitions(params: Mapping[str, Any]) -> list[Definition]:
    """What the module was asked to register or remove.

    :raises DefinitionError: for the first that cannot be.
    """
    specs = params["models"]
    if specs is None:
        specs = [{key: params[key] for key in _DEFINITION_OPTIONS if params[key] is not None}]
    if params["state"] == "absent":
        specs = [_to_remove(spec) for spec in specs]
    found = [define(spec) for spec in specs]
    by_reference: dict[str, Definition] = {}
    for definition in found:
        if by_reference.setdefault(definition.reference, definition) != definition:
            raise DefinitionError(f"Model {definition.reference} is listed twice, and not the same way.")
    return list(by_reference.values())


def _to_remove(spec: Any) -> dict[str, Any]:
    given = spec if isinstance(spec, Mapping) else {"name": spec}
    return {"name": given.get("name"), "tag": given.get("tag"), "inputs": list(_ANY), "outputs": list(_ANY)}


def unlisted(api: Api, registry: str, listed: list[Definition]) -> list[LeftOver]:
    """What the registry has besides C(listed)."""
    wanted = {definition.parameter(registry) for definition in listed}
    return [LeftOver(api, registry, name) for name, _value in registered(api, registry) if name not in wanted]


def unseeded(outcomes: Iterable[Outcome], file_system_id: str) -> list[str]:
    """The registered models that have not been brought into this file system, as C(name:tag)."""
    return sorted(
        outcome.resource.name
        for outcome in outcomes
        if isinstance(outcome.resource, RegisteredModel)
        and ((outcome.after or {}).get("tags") or {}).get(SEEDED_TAG)
        != seeded_mark(outcome.resource.definition, file_system_id)
    )


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "registry": {"type": "str", "required": True},
            "name": {"type": "str"},
            "tag": {"type": "str"},
            "inputs": {"type": "list", "elements": "str"},
            "outputs": {"type": "list", "elements": "str"},
            "capabilities": {"type": "list", "elements": "str", "choices": list(CAPABILITIES)},
            "context_length": {"type": "int"},
            "size": {"type": "int"},
            "options": {"type": "dict"},
            "from": {"type": "str"},
            "digest": {"type": "str"},
            "modelfile": {"type": "str"},
            "models": {"type": "list", "elements": "raw"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "purge": {"type": "bool", "default": False},
            "file_system_id": {"type": "str"},
            "tags": {"type": "dict"},
            "purge_tags": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
        required_one_of=[("name", "models")],
        mutually_exclusive=[("name", "models")],
        required_by={key: "name" for key in _DEFINITION_OPTIONS if key != "name"},
    )
    params = module.params
    try:
        registry = check_registry(params["registry"])
        wanted = definitions(params)
    except DefinitionError as error:
        module.fail_json(msg=str(error))

    api = Api(module, "ssm")
    resources = [RegisteredModel(api, registry, d, params["tags"], params["purge_tags"]) for d in wanted]
    outcomes = ensure_all(module, resources)
    removed = []
    if params["purge"]:
        try:
            left = unlisted(api, registry, wanted)
        except AwsError as error:
            module.fail_json(
                msg=f"The registry {registry} could not be listed: {error}.", error_code=error.code
            )
        removed = ensure_all(module, left, "absent")
    cached = {}
    if params["file_system_id"]:
        cached["unseeded"] = unseeded(outcomes, params["file_system_id"])
    report(
        module,
        "models",
        [*outcomes, *removed],
        many=True,
        removed=sorted(outcome.resource.name for outcome in removed if outcome.changed),
        **cached,
    )


if __name__ == "__main__":
    main()
