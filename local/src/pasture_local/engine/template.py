# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of Ollama's prompt templates that a ``template`` of one's own usually needs.

``{{ .System }}``, ``{{ .Prompt }}``, ``{{ .Response }}`` and ``{{ if .X }} ... {{ else }} ... {{ end }}``,
with the trimming ``{{-`` and ``-}}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_ACTION = re.compile(r"(\s*)\{\{(-?)\s*(.*?)\s*(-?)\}\}(\s*)", re.DOTALL)


class TemplateError(ValueError):
    """The template has a part that is not known here, or is not balanced."""


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill a template. It ends where ``{{ .Response }}`` is: what follows comes after the answer.

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
            if match[1] == "Response" and all(wanted):
                return "".join(output)
            if match[1] not in values and match[1] != "Response":
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
