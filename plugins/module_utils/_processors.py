# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user wrote about a stack's processors, checked and completed.

C(normalise) is the whole of preflight but for asking AWS: it takes C(pasture_processors) and what
C(account_info) read, and gives either the processors as all other roles read them, or every reason why they
cannot be deployed.

For internal use of this collection only.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils import _catalogue, _routing
from ansible_collections.pasture.ollama.plugins.module_utils._catalogue import EMBEDDING_OUTPUT
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    Definition,
    DefinitionError,
    check_options,
    define,
)
from ansible_collections.pasture.ollama.plugins.module_utils._infrastructure import (
    Infrastructure,
    InfrastructureError,
    check_quotas,
    place,
)
from ansible_collections.pasture.ollama.plugins.module_utils._instances import InstanceType
from ansible_collections.pasture.ollama.plugins.module_utils._memory import Weights

# IAM role names end at 64 characters, and "pasture-<stack>-<processor>-task" has to fit.
_STACK = re.compile(r"^(?=.{1,16}$)[a-z][a-z0-9]*(-[a-z0-9]+)*$")
_PROCESSOR = re.compile(r"^(?=.{1,24}$)[a-z][a-z0-9]*(-[a-z0-9]+)*$")
_RESERVED = "bucket"

_KEYS = frozenset(
    {
        "combine_prompt",
        "documents_per_task",
        "format",
        "idle_minutes",
        "infrastructure",
        "max_instances",
        "max_receives",
        "model",
        "name",
        "num_ctx",
        "on_length",
        "on_overflow",
        "options",
        "prompt",
        "slots",
        "sniff",
        "source",
        "stop_timeout",
        "system",
        "task",
        "think",
    }
)

# Number: (default, least, most). A queue's maxReceiveCount ends at 1,000; an alarm looks back a day at most.
_NUMBERS: dict[str, tuple[int, int, int]] = {
    "max_instances": (5, 1, 1000),
    "idle_minutes": (5, 1, 1440),
    "max_receives": (5, 1, 1000),
    "stop_timeout": (120, 30, 7200),
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "task": ("generate", "embed"),
    "on_overflow": ("combine", "fail"),
    "on_length": ("fail", "accept"),
}


class PreflightError(ValueError):
    """Why a stack cannot be deployed; C(problems) has one sentence for each reason."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True)
class Context:
    """Where the processors are to run.

    :ivar instance_types: the named types and the candidates to propose, by name.
    :ivar quotas: vCPU quotas by market, as C(_instances.vcpu_quotas) makes them; empty where unknown.
    """

    stack: str
    region: str
    source_bucket: str
    instance_types: Mapping[str, InstanceType]
    quotas: Mapping[str, Any]


def normalise(raw: Any, context: Context) -> list[dict[str, Any]]:
    """The processors as C(preflight_result.processors) has them, in the order given.

    :raises PreflightError: with every reason that was found, when they cannot be deployed.
    """
    problems: list[str] = []
    if not _STACK.match(context.stack):
        problems.append(
            f"The stack's name '{context.stack}' is not one that AWS takes everywhere: up to 16 lower-case "
            "letters, digits and single hyphens, beginning with a letter."
        )
    if not isinstance(raw, (list, tuple)) or not raw:
        raise PreflightError([*problems, "pasture_processors is empty: name at least one processor."])

    drafts: list[_Draft] = []
    for index, entry in enumerate(raw):
        try:
            drafts.append(_Draft(entry, index, context))
        except PreflightError as error:
            problems += error.problems
    problems += _check_names(drafts)
    problems += _check_models(drafts)
    if not problems:
        problems += _check_graph(drafts)
    problems += check_quotas(
        [(d.name, d.infrastructure, d.max_instances) for d in drafts], context.quotas, context.region
    )

    processors = []
    for draft in drafts:
        try:
            processors.append(draft.finished(context))
        except _routing.RoutingError as error:
            problems.append(f"Processor {draft.name} can get no documents: {error}.")
    if problems:
        raise PreflightError(problems)
    return processors


class _Draft:
    """One processor, checked by itself."""

    def __init__(self, entry: Any, index: int, context: Context) -> None:
        self._problems: list[str] = []
        if not isinstance(entry, Mapping) or not entry.get("name"):
            raise PreflightError([f"Processor number {index + 1} has no name."])
        self._given = entry
        self.name = str(entry["name"])
        self._check_keys()
        if not _PROCESSOR.match(self.name) or self.name == _RESERVED:
            self._refuse(
                f"'{self.name}' is not a name that AWS takes everywhere: use up to 24 lower-case letters, "
                f"digits "
                f"and single hyphens, beginning with a letter, and not '{_RESERVED}'"
            )
        self.choices = {key: self._choice(key, allowed) for key, allowed in _CHOICES.items()}
        self.max_instances = self._number("max_instances")
        self.sources = self._sources(entry.get("source"))
        self.sniff = self._boolean("sniff")
        self.format = self._format()
        self.think = self._think()
        model = self._model()
        self._check_task(model)
        options = self._options(model)
        slots = self._optional_number("slots", 1, 64)
        num_ctx = self._optional_number("num_ctx", 64, 16_777_216) or options.pop("num_ctx", None)
        options.pop("num_ctx", None)
        infrastructure = self._place(model, context, num_ctx, slots) if model else None
        numbers = {key: self._number(key) for key in _NUMBERS}
        documents_per_task = self._optional_number("documents_per_task", 1, 100_000)
        if self._problems or model is None or infrastructure is None:
            raise PreflightError(self._problems)
        self.model = model
        self.infrastructure = infrastructure
        self.options = options
        self._numbers = numbers
        self._documents_per_task = documents_per_task

    @property
    def output_type(self) -> str:
        """The mime-type of its results."""
        if self.choices["task"] == "embed":
            return EMBEDDING_OUTPUT
        return "application/json" if self.format else self.model.outputs[0]

    @property
    def upstreams(self) -> list[str]:
        return [source.name for source in self.sources if isinstance(source, _routing.Upstream)]

    def finished(self, context: Context) -> dict[str, Any]:
        """:raises RoutingError: when no document can reach it."""
        infrastructure = self.infrastructure
        return {
            "name": self.name,
            **self.choices,
            "model": {
                **{key: value for key, value in self.model.as_dict().items() if key != "schema_version"},
                "parameter": self.model.parameter(f"/pasture/{context.stack}"),
            },
            "prompt": self._text("prompt"),
            "combine_prompt": self._text("combine_prompt"),
            "system": self._text("system"),
            "format": self.format,
            "think": self.think,
            "options": self.options,
            "sniff": self.sniff,
            "sources": [source.as_dict() for source in self.sources],
            "output_type": self.output_type,
            "infrastructure": infrastructure.as_dict(),
            "max_tasks": self.max_instances * infrastructure.tasks_per_instance,
            "slots": infrastructure.slots,
            "num_ctx": infrastructure.num_ctx,
            "documents_per_task": self._documents_per_task or 2 * infrastructure.slots,
            **self._numbers,
            "event_patterns": _routing.event_patterns(
                context.stack, context.source_bucket, self.model.inputs, self.sources, self.sniff
            ),
        }

    def _refuse(self, reason: str) -> None:
        ending = "" if reason.endswith("?") else "."
        self._problems.append(f"Processor {self.name}: {reason}{ending}")

    def _check_keys(self) -> None:
        for key in self._given:
            if key not in _KEYS:
                near = difflib.get_close_matches(str(key), _KEYS, 1)
                self._refuse(f"it has no setting '{key}'" + (f"; did you mean '{near[0]}'?" if near else ""))

    def _text(self, key: str) -> str:
        value = self._given.get(key)
        return "" if value is None else str(value)

    def _choice(self, key: str, allowed: Sequence[str]) -> str:
        value = self._text(key) or allowed[0]
        if value not in allowed:
            self._refuse(f"{key} is '{value}'; it can be {' or '.join(allowed)}")
        return value

    def _number(self, key: str) -> int:
        default, low, high = _NUMBERS[key]
        value = self._optional_number(key, low, high)
        return default if value is None else value

    def _optional_number(self, key: str, low: int, high: int) -> int | None:
        value = self._given.get(key)
        if value in (None, ""):
            return None
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = low - 1
        if not low <= number <= high or isinstance(value, bool):
            self._refuse(f"{key} is {value!r}; it takes a whole number from {low} to {high}")
            return low
        return number

    def _boolean(self, key: str) -> bool:
        value = self._given.get(key, False)
        if isinstance(value, bool):
            return value
        folded = str(value).strip().lower()
        if folded not in {"true", "yes", "false", "no", "none", ""}:
            self._refuse(f"{key} is {value!r}; it takes true or false")
        return folded in {"true", "yes"}

    def _sources(self, given: Any) -> list[_routing.Source]:
        entries = given if isinstance(given, (list, tuple)) else [given]
        sources: list[_routing.Source] = []
        for entry in entries:
            source: _routing.Source
            if entry in (None, "", _RESERVED):
                source = _routing.Bucket()
            elif isinstance(entry, str):
                source = _routing.Upstream(str(entry))
            elif isinstance(entry, Mapping) and set(entry) <= {"prefix", "suffix"}:
                source = _routing.Bucket(str(entry.get("prefix") or ""), str(entry.get("suffix") or ""))
            else:
                self._refuse(
                    f"source {entry!r} is not understood; it is 'bucket', a processor's name, a mapping with "
                    "prefix and suffix for a part of the bucket, or a list of these"
                )
                continue
            if source not in sources:
                sources.append(source)
        return sources

    def _format(self) -> str:
        given = self._given.get("format")
        if given in (None, "", "json"):
            return str(given or "")
        if isinstance(given, str):
            try:
                given = json.loads(given)
            except ValueError:
                given = None
        if not isinstance(given, Mapping):
            self._refuse("format is neither 'json' nor a JSON schema")
            return ""
        return json.dumps(given, sort_keys=True)

    def _think(self) -> str:
        given = self._given.get("think")
        text = "" if given is None else str(given).lower()
        if text not in {"", "true", "false", "low", "medium", "high"}:
            self._refuse(f"think is {given!r}; it can be true, false, low, medium or high")
        return text

    def _model(self) -> Definition | None:
        given = self._given.get("model")
        if not given:
            self._refuse("it has no model; name one, such as llama3.1:8b")
            return None
        if not isinstance(given, (str, Mapping)):
            self._refuse("its model is neither a name nor a mapping with name, tag, inputs and outputs")
            return None
        try:
            return define(given)
        except DefinitionError as error:
            self._refuse(str(error).rstrip("."))
            return None

    def _options(self, model: Definition | None) -> dict[str, Any]:
        try:
            own = check_options(self._given.get("options"), "it")
        except DefinitionError as error:
            self._refuse(str(error).rstrip("."))
            own = {}
        return {**(model.options if model else {}), **own}

    def _check_task(self, model: Definition | None) -> None:
        embeds = self.choices["task"] == "embed"
        if not embeds and not self._text("prompt").strip():
            if model is not None and "completion" not in model.capabilities:
                self._refuse(f"{model.name} makes embeddings, not text; set task: embed")
            else:
                self._refuse("its prompt is empty; say what the model is to do with each document")
        elif model is None:
            return
        elif embeds and "embedding" not in model.capabilities:
            self._refuse(
                f"{model.name} makes no embeddings; take one such as nomic-embed-text, or task: generate"
            )
        elif not embeds and "completion" not in model.capabilities:
            self._refuse(f"{model.name} makes embeddings, not text; set task: embed")
        if model and self.think not in {"", "false"} and "thinking" not in model.capabilities:
            self._refuse(f"think is {self.think}, but {model.name} is not a model that thinks")

    def _place(
        self, model: Definition, context: Context, num_ctx: int | None, slots: int | None
    ) -> Infrastructure | None:
        entry = _catalogue.find(model.name)
        tag = entry.tags.get(model.tag) if entry and not model.origin else None
        weights = Weights(
            size=model.size,
            shape=tag.shape if tag else None,
            context_length=model.context_length,
            family=model.family,
            embeds="embedding" in model.capabilities,
        )
        if num_ctx and model.context_length and num_ctx > model.context_length:
            self._refuse(
                f"num_ctx is {num_ctx}, but {model.reference} was trained for {model.context_length} "
                "tokens, and Ollama goes no further"
            )
            return None
        try:
            return place(
                self._given.get("infrastructure"),
                model.reference,
                weights,
                context.instance_types,
                num_ctx=num_ctx,
                slots=slots,
            )
        except InfrastructureError as error:
            self._problems += [f"Processor {self.name}: {problem}." for problem in error.problems]
            return None


def _check_names(drafts: Iterable[_Draft]) -> list[str]:
    seen: set[str] = set()
    problems = []
    for draft in drafts:
        if draft.name in seen:
            problems.append(f"Two processors are called {draft.name}; a name can be used once.")
        seen.add(draft.name)
    return problems


def _check_models(drafts: Iterable[_Draft]) -> list[str]:
    """The registry has one definition for a name and tag."""
    first: dict[str, _Draft] = {}
    problems = []
    for draft in drafts:
        other = first.setdefault(draft.model.reference, draft)
        if other.model != draft.model:
            problems.append(
                f"Processors {other.name} and {draft.name} define the model {draft.model.reference} "
                f"differently; "
                "write it the same way in both, and put what differs into the processors' own options."
            )
    return problems


def _check_graph(drafts: Sequence[_Draft]) -> list[str]:
    by_name = {draft.name: draft for draft in drafts}
    problems = []
    for draft in drafts:
        for upstream in draft.upstreams:
            writer = by_name.get(upstream)
            if writer is None:
                near = difflib.get_close_matches(upstream, by_name, 1)
                hint = f" Did you mean '{near[0]}'?" if near and near[0] != draft.name else ""
                problems.append(
                    f"Processor {draft.name} has the source '{upstream}', and no processor is called "
                    f"so.{hint}"
                )
            elif not _routing.can_chain([writer.output_type], draft.model.inputs):
                problems.append(
                    f"Processor {draft.name} can get nothing from {upstream}: {upstream} writes "
                    f"{writer.output_type}, "
                    f"and {draft.model.reference} reads {', '.join(draft.model.inputs)}."
                )
    cycle = _routing.find_cycle({d.name: [u for u in d.upstreams if u in by_name] for d in drafts})
    if cycle:
        problems.append(
            f"The sources go round in a circle: {' reads from '.join(cycle)}; let one of them read from the bucket."
        )
    return problems
