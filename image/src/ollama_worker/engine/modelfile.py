# SPDX-License-Identifier: GPL-3.0-or-later
"""Modelfiles: what Ollama is told to make of weights.

Read as Ollama's own command line reads them, which has its server make models of the fields alone.
https://github.com/ollama/ollama/blob/main/parser/parser.go
https://github.com/ollama/ollama/blob/main/docs/api.md#create-a-model
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ollama_worker.errors import PermanentError

_INSTRUCTION = re.compile(r"([A-Za-z]+)[ \t]+(.*)", re.DOTALL)
_TEXTS = {"template", "system", "renderer", "parser", "requires"}
_REFUSED = {
    "adapter": "Ollama runs no LoRA adapters any more; merge it into the weights",
    "draft": "a draft model cannot be brought",
}
_ROLES = {"system", "user", "assistant"}


def _truth(text: str) -> bool:
    # What Go's strconv.ParseBool takes.
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise ValueError(text)


#: The parameters and what each is: the options of Ollama's API. ``stop`` may be given several times.
PARAMETERS: dict[str, Callable[[str], Any]] = {
    "draft_num_predict": int,
    "frequency_penalty": float,
    "main_gpu": int,
    "min_p": float,
    "num_batch": int,
    "num_ctx": int,
    "num_gpu": int,
    "num_keep": int,
    "num_predict": int,
    "num_thread": int,
    "presence_penalty": float,
    "repeat_last_n": int,
    "repeat_penalty": float,
    "seed": int,
    "stop": str,
    "temperature": float,
    "top_k": int,
    "top_p": float,
    "typical_p": float,
    "use_mmap": _truth,
}
# Ollama only warns of these, which it had once.
_FORMER_PARAMETERS = {
    "f16_kv",
    "logits_all",
    "low_vram",
    "mirostat",
    "mirostat_eta",
    "mirostat_tau",
    "penalize_newline",
    "use_mlock",
    "vocab_only",
}


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile says.

    :ivar weights: what its FROM lines name, as it is written there.
    :ivar fields: of ``/api/create``: template, system, license, parameters, messages and so on.
    """

    weights: list[str]
    fields: dict[str, Any]


def parse(text: str, place: str) -> Modelfile:
    """Read a Modelfile.

    :param place: where it is, for messages.
    :raises PermanentError: with the line, when Ollama would refuse it or it asks for what cannot be brought.
    """
    modelfile = Modelfile([], {})
    for line, name, value in _instructions(text.removeprefix("\ufeff"), place):
        try:
            _apply(modelfile, name, value)
        except ValueError as error:
            raise _error(place, line, f"{name.upper()}: {error}") from error
    if not modelfile.weights:
        raise PermanentError(f"{place} has no FROM line.", slug="broken-modelfile")
    return modelfile


def _apply(modelfile: Modelfile, name: str, value: str) -> None:
    """Take one instruction; a ValueError says why it cannot be taken."""
    fields = modelfile.fields
    if name == "from":
        modelfile.weights.append(value)
    elif name in _TEXTS:
        fields[name] = value
    elif name == "license":
        fields.setdefault("license", []).append(value)
    elif name == "parameter":
        _parameter(fields, value)
    elif name == "message":
        fields.setdefault("messages", []).append(_message(value))
    else:
        raise ValueError(_REFUSED.get(name, "Ollama has no such instruction"))


def _instructions(text: str, place: str) -> Iterator[tuple[int, str, str]]:
    """Line, name in lower case and value of each instruction; a quoted value may go over several lines."""
    # Each with its end, which belongs to a value that goes on.
    lines = iter(enumerate(re.findall(r"([^\r\n]*)(\r\n|\r|\n|\Z)", text), 1))
    for number, (line, end) in lines:
        content = line.lstrip(" \t")
        if not content or content.startswith("#"):
            continue
        found = _INSTRUCTION.fullmatch(content)
        if found is None:
            raise _error(place, number, f"'{content[:40]}' is not an instruction with a value")
        name, value = found[1].lower(), found[2]
        # The quotes of a parameter or message come after its first word.
        head, quoted = "", value
        if name in {"parameter", "message"}:
            word, quoted = _split(value)
            if word == value:
                raise _error(place, number, f"{name.upper()} {word} has no value")
            head = f"{word} "
        pending = end
        while (unquoted := _unquoted(quoted.strip())) is None:
            following = next(lines, None)
            if following is None:
                raise _error(place, number, f"the quotes of {name.upper()} are never closed")
            line_after, end_after = following[1]
            quoted += pending + line_after
            pending = end_after
        yield number, name, head + unquoted


def _unquoted(text: str) -> str | None:
    """A value without its quotes; None when they are not closed yet."""
    for quotes in ('"""', '"'):
        if text.startswith(quotes):
            closed = len(text) >= 2 * len(quotes) and text.endswith(quotes)
            return text[len(quotes) : -len(quotes)] if closed else None
    return text


def _split(value: str) -> tuple[str, str]:
    """The first word of a value, and what follows it."""
    word, *rest = re.split(r"[ \t]", value, maxsplit=1)
    return word, "".join(rest)


def _parameter(fields: dict[str, Any], value: str) -> None:
    name, text = _split(value)
    if name in _FORMER_PARAMETERS:
        return
    kind = PARAMETERS.get(name)
    if kind is None:
        raise ValueError(f"'{name}' is not a parameter of Ollama's")
    try:
        parsed = kind(text)
    except ValueError:
        raise ValueError(f"'{text}' is no value of {name}") from None
    parameters = fields.setdefault("parameters", {})
    if name == "stop":
        parameters.setdefault(name, []).append(parsed)
    else:
        parameters[name] = parsed


def _message(value: str) -> dict[str, str]:
    role, content = _split(value)
    if role not in _ROLES:
        raise ValueError(f"'{role}' is not system, user or assistant")
    return {"role": role, "content": content}


def _error(place: str, line: int, reason: str) -> PermanentError:
    return PermanentError(f"{place}, line {line}: {reason}.", slug="broken-modelfile")
