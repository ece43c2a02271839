# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The definition of a model: what the registry stores and worker, filters and seeding read.

For internal use of this collection only.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue
from ansible_collections.pasture.ollama.plugins.module_utils._mime_types import check_mime_type

#: Readers take any definition of this major version, whatever keys they do not know; later ones they refuse.
SCHEMA_VERSION = 1

# A standard parameter, which costs nothing, holds 4 KB.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
MAX_BYTES = 4096

CAPABILITIES = ("completion", "embedding", "insert", "thinking", "tools", "vision")

# The parts of a name as Ollama takes them (types/model/name.go: 80 characters each, the first a letter, a
# digit or "_"), less what a parameter's name may not have (":" of a host's port).
_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$")
_MAX_PARTS = 3  # host/namespace/model

# The options of Ollama's API (https://github.com/ollama/ollama/blob/main/api/types.go: Options, Runner), and
# those of earlier releases that it still takes. Ollama itself only logs a warning for an option that it does not know.
OPTIONS: dict[str, tuple[type, ...]] = {
    "draft_num_predict": (int,),
    "frequency_penalty": (int, float),
    "main_gpu": (int,),
    "min_p": (int, float),
    "num_batch": (int,),
    "num_ctx": (int,),
    "num_gpu": (int,),
    "num_keep": (int,),
    "num_predict": (int,),
    "num_thread": (int,),
    "presence_penalty": (int, float),
    "repeat_last_n": (int,),
    "repeat_penalty": (int, float),
    "seed": (int,),
    "stop": (list,),
    "temperature": (int, float),
    "top_k": (int,),
    "top_p": (int, float),
    "typical_p": (int, float),
    "use_mmap": (bool,),
}

_S3_URL = re.compile(r"^s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<key>[^\s]{1,1024})$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
_REGISTRY = re.compile(r"^/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")


@dataclass(frozen=True)
class Definition:
    """A model as the workers of a stack see it.

    :ivar context_length: tokens; 0 when it is not known.
    :ivar size: bytes of the weights; 0 when it is not known.
    :ivar origin: C(s3://bucket/key) of weights of the user's own, or None for Ollama's public library.
    :ivar digest: C(sha256:...) that the object at C(origin) must have, or None.
    :ivar modelfile: C(s3://bucket/key) of the Modelfile that goes with a GGUF file at C(origin), or None.
    """

    name: str
    tag: str
    family: str
    capabilities: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    context_length: int = 0
    size: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    origin: str | None = None
    digest: str | None = None
    modelfile: str | None = None

    @property
    def reference(self) -> str:
        """The name that Ollama pulls: C(name:tag)."""
        return f"{self.name}:{self.tag}"

    def parameter(self, registry: str) -> str:
        """The parameter's name in a registry such as C(/pasture/docs)."""
        return f"{registry.rstrip('/')}/models/{self.name}/{self.tag}"

    def as_dict(self) -> dict[str, Any]:
        """The stored form, of the current schema version."""
        stored: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "tag": self.tag,
            "family": self.family,
            "capabilities": list(self.capabilities),
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "context_length": self.context_length,
            "size": self.size,
            "options": dict(self.options),
            "from": self.origin,
        }
        if self.digest:
            stored["digest"] = self.digest
        if self.modelfile:
            stored["modelfile"] = self.modelfile
        return stored


class DefinitionError(ValueError):
    """A model that cannot be registered; the message is a sentence for the user."""


def split_reference(reference: str) -> tuple[str, str | None]:
    """Take C(llama2:13b) apart. Ollama's own namespace, C(library/), is left out as Ollama does.

    :raises DefinitionError: when Ollama or AWS would refuse the name or tag.
    """
    text = reference.strip()
    name, colon, tag = text.partition(":")
    name = name.removeprefix("registry.ollama.ai/").removeprefix("library/")
    parts = name.split("/")
    if len(parts) > _MAX_PARTS or not all(_PART.match(part) for part in parts):
        raise DefinitionError(
            f"'{reference}' is not the name of a model: write 'name', 'name:tag' or 'namespace/name:tag' "
            "with letters, digits, '.', '_' and '-'."
        )
    if colon and not _PART.match(tag):
        raise DefinitionError(
            f"'{tag}' is not a tag that Ollama takes (model {name}): up to 80 letters, digits, '.', '_' and "
            "'-', such as '13b' or 'latest'."
        )
    return name, tag if colon else None


def define(spec: str | Mapping[str, Any]) -> Definition:
    """Make a definition of what a user wrote: a catalogue name, or a mapping that says more.

    Keys of the mapping: C(name), C(tag), C(inputs), C(outputs), C(capabilities), C(context_length),
    C(size), C(options), C(from), C(digest), C(modelfile); all but the name are optional for a model of the catalogue.

    :raises DefinitionError: with a sentence that says what is wrong.
    """
    given: Mapping[str, Any] = {"name": spec} if isinstance(spec, str) else spec
    name, tag_in_name = split_reference(str(given.get("name") or ""))
    tag_given = str(given["tag"]) if given.get("tag") not in (None, "") else None
    if tag_in_name and tag_given and tag_in_name != tag_given:
        raise DefinitionError(f"Model {name} has two tags: '{tag_in_name}' in its name and '{tag_given}'.")
    model = _catalogue.find(name)
    tag = tag_given or tag_in_name or (model.default_tag if model else "latest")
    split_reference(f"{name}:{tag}")
    model = model.at(tag) if model else None

    inputs = _mime_types(given.get("inputs"), name, "inputs")
    outputs = _mime_types(given.get("outputs"), name, "outputs", ranges=False)
    if model is None and not (inputs and outputs):
        raise DefinitionError(_unknown_model(name, bool(inputs), bool(outputs)))
    capabilities = _capabilities(given.get("capabilities"), name)
    if not capabilities:
        capabilities = model.capabilities if model else _guess_capabilities(inputs)
    known = model.tags.get(tag) if model else None
    definition = Definition(
        name=name,
        tag=tag,
        family=model.family if model else "",
        capabilities=capabilities,
        inputs=inputs or (model.inputs if model else ()),
        outputs=outputs or (model.outputs if model else ()),
        context_length=_count(given.get("context_length"), name, "context length", "tokens")
        or (known.context_length if known else 0),
        size=_count(given.get("size"), name, "size", "bytes")
        or _size(model, known, tag, bool(given.get("from"))),
        options=check_options(given.get("options"), f"Model {name}"),
        origin=_s3_url(given.get("from"), f"Model {name} comes from"),
        digest=_digest(given.get("digest"), name),
        modelfile=_s3_url(given.get("modelfile"), f"Model {name} has its Modelfile at"),
    )
    if definition.digest and not definition.origin:
        raise DefinitionError(
            f"Model {name} has a digest but no 'from' whose object it could be checked for."
        )
    if definition.modelfile and not definition.origin:
        raise DefinitionError(f"Model {name} has a Modelfile but no 'from' with the weights that it is for.")
    encode(definition)
    return definition


def encode(definition: Definition) -> str:
    """The definition as the text of a parameter.

    :raises DefinitionError: when it is larger than a standard parameter can be.
    """
    text = json.dumps(definition.as_dict(), separators=(",", ":"), ensure_ascii=False, sort_keys=True)
    size = len(text.encode())
    if size > MAX_BYTES:
        raise DefinitionError(
            f"The definition of model {definition.reference} takes {size} bytes, and a parameter holds "
            f"{MAX_BYTES}: shorten its options, or name a range such as 'image/*' instead of many inputs."
        )
    return text


def decode(text: str, parameter: str) -> Definition:
    """Read a stored definition; keys of later minor versions are ignored.

    :param parameter: the parameter's name, for the message.
    :raises DefinitionError: when it is broken or of a later major version.
    """
    try:
        stored = json.loads(text)
        version = int(stored["schema_version"])
        definition = _from_stored(stored) if version <= SCHEMA_VERSION else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DefinitionError(
            f"The model definition in {parameter} is broken ({type(error).__name__}: {error}): "
            "register the model again."
        ) from error
    if definition is None:
        raise DefinitionError(
            f"The model definition in {parameter} has schema version {version}, and this release reads "
            f"{SCHEMA_VERSION}: install the release of pasture.ollama that wrote it."
        )
    return definition


def _from_stored(stored: Mapping[str, Any]) -> Definition:
    return Definition(
        name=str(stored["name"]),
        tag=str(stored["tag"]),
        family=str(stored.get("family") or ""),
        capabilities=_texts(stored.get("capabilities", ["completion"])),
        inputs=_texts(stored["inputs"]),
        outputs=_texts(stored["outputs"]),
        context_length=int(stored.get("context_length") or 0),
        size=int(stored.get("size") or 0),
        options=dict(stored.get("options") or {}),
        origin=stored.get("from") or None,
        digest=stored.get("digest") or None,
        modelfile=stored.get("modelfile") or None,
    )


def check_registry(registry: str) -> str:
    """A registry's path without a trailing slash.

    :raises DefinitionError: when Parameter Store would refuse it.
    """
    path = registry.rstrip("/")
    if not _REGISTRY.match(path) or path.lower().startswith(("/aws", "/ssm")):
        raise DefinitionError(
            f"'{registry}' is not the path of a registry: it should look like '/pasture/docs', with letters, "
            "digits, '.', '_', '-' and '/'."
        )
    return path


def check_options(options: Any, owner: str) -> dict[str, Any]:
    """Ollama's options, checked by name and type.

    :raises DefinitionError: for an option that Ollama does not have or a value that it would refuse.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise DefinitionError(f"{owner} has options that are not a mapping of names to values.")
    checked: dict[str, Any] = {}
    for key, value in options.items():
        types = OPTIONS.get(str(key))
        if types is None:
            near = difflib.get_close_matches(str(key), OPTIONS, 1)
            hint = f" Did you mean '{near[0]}'?" if near else f" It has: {', '.join(OPTIONS)}."
            raise DefinitionError(f"{owner} sets '{key}', which is not an option of Ollama's.{hint}")
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            kinds = " or ".join(kind.__name__ for kind in types)
            raise DefinitionError(f"{owner} sets the option '{key}' to {value!r}, which is not {kinds}.")
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise DefinitionError(
                f"{owner} sets the option '{key}' to {value!r}, which is not a list of texts."
            )
        checked[str(key)] = list(value) if isinstance(value, list) else value
    return checked


def _unknown_model(name: str, has_inputs: bool, has_outputs: bool) -> str:
    missing = [word for word, there in (("inputs", has_inputs), ("outputs", has_outputs)) if not there]
    near = difflib.get_close_matches(name, _catalogue.names(), 1, 0.75)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return (
        f"Model {name} is not in the catalogue, so its {' and '.join(missing)} must be given, such as "
        f"inputs: [text/plain] and outputs: [text/plain].{hint}"
    )


def _guess_capabilities(inputs: Sequence[str]) -> tuple[str, ...]:
    reads_images = any(mime_type.startswith("image/") for mime_type in inputs)
    return ("completion", "vision") if reads_images else ("completion",)


def _capabilities(given: Any, name: str) -> tuple[str, ...]:
    wanted = _texts(given or [])
    for capability in wanted:
        if capability not in CAPABILITIES:
            raise DefinitionError(
                f"Model {name} has the capability '{capability}', which Ollama does not know; it knows "
                f"{', '.join(CAPABILITIES)}."
            )
    return wanted


def _mime_types(given: Any, name: str, field_name: str, ranges: bool = True) -> tuple[str, ...]:
    checked: list[str] = []
    for text in _texts(given or []):
        try:
            mime_type = check_mime_type(text)
        except ValueError as error:
            raise DefinitionError(f"Model {name}, {field_name}: {error}") from error
        if not ranges and mime_type.endswith("/*"):
            raise DefinitionError(
                f"Model {name}, outputs: '{text}' is a range; name the one type that it writes."
            )
        if mime_type not in checked:
            checked.append(mime_type)
    return tuple(checked)


def _texts(given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, (list, tuple)) or not all(isinstance(item, str) for item in given):
        raise DefinitionError(f"{given!r} is not a list of texts.")
    return tuple(given)


def _count(given: Any, name: str, what: str, unit: str) -> int:
    if given in (None, ""):
        return 0
    try:
        count = int(given)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise DefinitionError(f"Model {name} has the {what} {given!r}, which is no number of {unit}.")
    return count


def _size(model: _catalogue.Model | None, known: _catalogue.Tag | None, tag: str, own: bool) -> int:
    if own or model is None:
        return 0
    return known.size if known else _catalogue.estimate_size(model, tag)


def _s3_url(given: Any, what: str) -> str | None:
    if given in (None, ""):
        return None
    if not _S3_URL.match(str(given)):
        raise DefinitionError(f"{what} '{given}', which is not of the form s3://bucket/key.")
    return str(given)


def _digest(given: Any, name: str) -> str | None:
    if given in (None, ""):
        return None
    digest = str(given).lower()
    digest = digest if digest.startswith("sha256:") else f"sha256:{digest}"
    if not _DIGEST.match(digest):
        raise DefinitionError(
            f"Model {name} has the digest '{given}', which is not a SHA-256 in 64 hex digits."
        )
    return digest
