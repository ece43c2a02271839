# SPDX-License-Identifier: GPL-3.0-or-later
"""E-mail: the headers that matter, the text, and the names of what is attached."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage

from ollama_worker.charset import decode
from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.html import to_text
from ollama_worker.readers.request import Request

_HEADERS = ("From", "To", "Cc", "Date", "Subject")


def read(request: Request) -> Content:
    """The text of an eml file.

    :raises PermanentError: when it has neither headers nor text.
    """
    with request.path.open("rb") as stream:
        message = email.message_from_binary_file(stream, policy=email.policy.default)
    headers = [f"{name}: {_header(message, name)}" for name in _HEADERS if message.get(name)]
    if not headers:
        raise PermanentError("The document has no header of an e-mail.", slug="unreadable-document")
    body = message.get_body(("plain", "html"))
    text = _body(body) if isinstance(body, EmailMessage) else ""
    names = [part.get_filename() or part.get_content_type() for part in message.iter_attachments()]
    attached = [f"Attachments: {', '.join(names)}"] if names else []
    return Content(
        "\n".join([*headers, *attached, "", text]),
        attributes={"title": _header(message, "Subject"), "attachments": names},
    )


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(str(message.get(name, "")).split())


def _body(part: EmailMessage) -> str:
    raw = part.get_payload(decode=True)
    data = raw if isinstance(raw, bytes) else b""
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (UnicodeDecodeError, LookupError):
        text = decode(data)[0]
    return to_text(text)[0] if part.get_content_type() == "text/html" else text
