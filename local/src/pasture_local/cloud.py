# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients of the emulator."""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config

from pasture_local.home import CREDENTIALS

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    retries={"mode": "standard", "total_max_attempts": 2},
    s3={"addressing_style": "path"},
    max_pool_connections=20,
)


class Cloud:
    """One session for the whole process: making clients is what costs, so each is made once."""

    def __init__(self, endpoint_url: str, region: str) -> None:
        self.endpoint_url = endpoint_url
        self.region = region
        self._session = boto3.Session(
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            region_name=region,
        )
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def client(self, service: str) -> Any:
        """The client of a service; clients may be used by several threads, sessions may not."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._make(service, {})
            return self._clients[service]

    def client_as(self, service: str, credentials: dict[str, str]) -> Any:
        """A client with the credentials of an assumed role, in the terms of STS."""
        with self._lock:
            return self._make(
                service,
                {
                    "aws_access_key_id": credentials["AccessKeyId"],
                    "aws_secret_access_key": credentials["SecretAccessKey"],
                    "aws_session_token": credentials["SessionToken"],
                },
            )

    def _make(self, service: str, credentials: dict[str, str]) -> Any:
        return self._session.client(service, endpoint_url=self.endpoint_url, config=_CONFIG, **credentials)

    def pages(self, service: str, operation: str, key: str, **arguments: Any) -> list[Any]:
        """All items of a paginated operation."""
        paginator = self.client(service).get_paginator(operation)
        return [item for page in paginator.paginate(**arguments) for item in page.get(key, [])]
