# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of Ollama's prompt templates that a ``template`` of one's own usually needs.

``{{ .System }}``, ``{{ .Prompt }}``, ``{{ .Response }}`` and ``{{ if .X }} ... {{ else }} ... {{ end }}``,
with the trimming ``{{-`` and ``-}}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

_FIELDS = {"System", "Prompt", "Response"}
_ACTION = re.compile(r"(\s*)\{\{(-?)\s*(.*?)\s*(-?)\}\}(\s*)", re.DOTALL)


class TemplateError(ValueError):
    """The template has a part that is not known here, or is not balanced."""


def render_chat(template: str, messages: Iterable[Mapping[str, str]]) -> str:
    """The prompt of a conversation: the template once for each turn, as Ollama fills one without ``.Messages``.

    https://github.com/ollama/ollama/blob/main/template/template.go (Execute)

    :raises TemplateError: when it cannot be filled.
    """
    output: list[str] = []
    turn: dict[str, str] = {}
    before = {"system": ("Prompt", "Response"), "user": ("Response",), "assistant": ()}
    for message in messages:
        role = message["role"]
        if any(turn.get(field) for field in before.get(role, ())):
            output.append(render(template, turn, whole=True))
            turn = {}
        turn[{"system": "System", "user": "Prompt"}.get(role, "Response")] = message["content"]
    return "".join([*output, render(template, turn)])


def render(template: str, values: Mapping[str, str], *, whole: bool = False) -> str:
    """Fill a template.

    :param whole: also what comes after the answer; else it ends where ``{{ .Response }}`` is.
    :raises TemplateError: when it cannot be filled.
    """
    output: list[str] = []
    # Whether the text at each depth of "if" is wanted.
    wanted = [True]
    for kind, text in _parts(template):
        if kind == "text":
            if all(wanted):
                output.append(text)
        elif match := re.fullmatch(r"if \.(\w+)", text):
            wanted.append(bool(values.get(match[1])))
        elif text == "else" and len(wanted) > 1:
            wanted[-1] = not wanted[-1]
        elif text == "end" and len(wanted) > 1:
            wanted.pop()
        elif match := re.fullmatch(r"\.(\w+)", text):
            if match[1] == "Response" and all(wanted) and not whole:
                return "".join([*output, values.get("Response", "")])
            if match[1] not in _FIELDS:
                raise TemplateError(f"template: can't evaluate field {match[1]}")
            if all(wanted):
                output.append(values.get(match[1], ""))
        else:
            raise TemplateError(f"template: the embedded engine does not know '{{{{ {text} }}}}'")
    if len(wanted) > 1:
        raise TemplateError("template: unexpected EOF")
    return "".join(output)


def _parts(template: str) -> Iterator[tuple[str, str]]:
    position = 0
    for match in _ACTION.finditer(template):
        before, trim_before, action, trim_after, after = match.groups()
        yield "text", template[position : match.start()] + ("" if trim_before else before)
        yield "action", action
        position = match.end() if trim_after else match.end() - len(after)
    yield "text", template[position:]
