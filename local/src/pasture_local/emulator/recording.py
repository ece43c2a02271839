# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording of the calls that the emulator serves, one JSON object a line.

::

    {"time": "2026-01-22T13:19:10.657Z", "principal": {"access_key": "...", "arn": "arn:aws:sts::...:assumed-role/..."},
     "region": "eu-west-1", "service": "sqs", "operation": "SendMessage", "status": 200,
     "permissions": [{"action": "sqs:SendMessage", "resources": ["arn:aws:sqs:..."]}], "parameters": {...}}

``arn`` and ``role`` are there when the access key is known to the emulator's IAM and STS. Parameters hold
what condition keys are made of; bodies, and strings longer than a policy has a use for, are left out.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import get_account_id_from, iam_backends
from moto.sts.models import sts_backends

from pasture_local.emulator import iam
from pasture_local.emulator.calls import Call, identify

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Documents, messages and packages are nobody's condition key.
_LEFT_OUT = frozenset({"Body", "MessageBody", "Message", "ZipFile", "Detail", "Data", "SecretAccessKey"})
_LONGEST = 2048


class Recorder:
    """WSGI middleware that appends a line to a file for each AWS call."""

    def __init__(self, application: WSGIApplication, path: Path) -> None:
        self._application = application
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not isinstance(environ["wsgi.input"], io.BytesIO):
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read())
        call = identify(environ)
        status = 0

        def started(text: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = int(text.split(maxsplit=1)[0])
            return start_response(text, headers, exc_info)

        try:
            return self._application(environ, started)
        finally:
            if call:
                self._write(call, status or 500)

    def _write(self, call: Call, status: int) -> None:
        account = get_account_id_from(call.access_key)
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "principal": principal(call.access_key, account),
            "region": call.region,
            "service": call.service,
            "operation": call.operation,
            "status": status,
            "permissions": iam.permissions(call, account),
            "parameters": _kept(call.parameters),
        }
        line = json.dumps(entry, default=str, ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


def principal(access_key: str, account: str) -> dict[str, str]:
    """Who an access key belongs to: an assumed role, a user, or nobody that the emulator knows."""
    found = {"access_key": access_key}
    for role in sts_backends[account]["aws"].assumed_roles:
        if role.access_key_id == access_key:
            return {**found, "arn": role.arn, "role": role.role_arn}
    for user in iam_backends[account or DEFAULT_ACCOUNT_ID]["aws"].users.values():
        if any(key.access_key_id == access_key for key in user.access_keys):
            return {**found, "arn": user.arn}
    return found


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _kept(inner) for key, inner in value.items() if key not in _LEFT_OUT and inner is not None
        }
    if isinstance(value, list):
        return [_kept(inner) for inner in value]
    if isinstance(value, bytes) or (isinstance(value, str) and len(value) > _LONGEST):
        return "..."
    return value
