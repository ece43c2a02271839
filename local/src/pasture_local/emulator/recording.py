# SPDX-License-Identifier: GPL-3.0-or-later
"""Recording of the calls that the emulator serves, one JSON object a line.

::

    {"time": "2026-01-22T13:19:10.657Z", "principal": {"access_key": "...", "arn": "arn:aws:sts::...:assumed-role/..."},
     "region": "eu-west-1", "service": "sqs", "operation": "SendMessage", "status": 200,
     "permissions": [{"action": "sqs:SendMessage", "resources": ["arn:aws:sqs:..."], "context": {...}}],
     "tags": {"arn:...": {"pasture:stack": "docs"}}, "policies": "0123456789abcdef",
     "resource_policies": {"arn:aws:sqs:...": "fedcba9876543210"}, "parameters": {...}}

``arn`` and ``role`` are there when the access key is known to the emulator's IAM and STS. ``tags``, ``policies`` and
``resource_policies`` are those in force when the call was made, since a destroy takes away what it was allowed by; a
policy is written once, on a line of its own, ``{"digest": "...", "policies": ...}``. ``context`` has the condition keys
but for the tags of resources. Bodies, and strings longer than a policy has a use for, are left out.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.iam.models import get_account_id_from

from pasture_local.emulator import conditions, iam, identities, implied
from pasture_local.emulator.calls import Call, identify

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Documents, messages and packages are nobody's condition key.
_LEFT_OUT = frozenset({"Body", "MessageBody", "Message", "ZipFile", "Detail", "Data", "SecretAccessKey"})
# No policy of a role is longer: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_LONGEST = 10_240


class Recorder:
    """WSGI middleware that appends a line to a file for each AWS call."""

    def __init__(self, application: WSGIApplication, path: Path) -> None:
        self._application = application
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._written: set[str] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not isinstance(environ["wsgi.input"], io.BytesIO):
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read())
        call = identify(environ)
        # Before it is done: afterwards, what it removes has neither tags nor policies.
        entry = self._described(call) if call else None
        status = 0

        def started(text: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = int(text.split(maxsplit=1)[0])
            return start_response(text, headers, exc_info)

        try:
            return self._application(environ, started)
        finally:
            if entry:
                self._write(entry | {"status": status or 500})

    def _described(self, call: Call) -> dict[str, Any]:
        account = get_account_id_from(call.access_key)
        who = identities.principal(call.access_key, account)
        meant = implied.completed(call, account)
        needed = iam.permissions(meant, account) + implied.permissions(call, account)
        keys = conditions.condition_keys(meant, account)
        arns = dict.fromkeys(arn for permission in needed for arn in permission["resources"])
        tags = {arn: found for arn in arns if (found := conditions.resource_tags(arn, account))}
        on_resources = identities.resource_policies(arns, account)
        return {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "principal": who.as_json(),
            "region": call.region,
            "service": call.service,
            "operation": call.operation,
            "permissions": [one | {"context": keys | one.get("context", {})} for one in needed],
            "tags": tags,
            "policies": self._once(identities.identity_policies(who, account)),
            "resource_policies": {arn: self._once(policy) for arn, policy in on_resources.items()},
            "parameters": _kept(call.parameters),
        }

    def _once(self, policies: Any) -> str | None:
        """The digest of policies, after they were written if they were not yet."""
        if policies is None:
            return None
        digest = identities.digest(policies)
        with self._lock:
            new = digest not in self._written
            self._written.add(digest)
        if new:
            self._write({"digest": digest, "policies": policies})
        return digest

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps(entry, default=str, ensure_ascii=False) + "\n"
        with self._lock:
            self._file.write(line)
            self._file.flush()


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
