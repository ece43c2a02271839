# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients do to connections."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError


@pytest.mark.parametrize(
    "rest",
    [
        "Content-Length: 4\r\n\r\n",
        "Content-Length: 4\r\n\r\nte",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nte\r\n",
    ],
    ids=["no body", "half a body", "half of the chunks"],
)
def test_a_client_that_ends_within_a_request_stores_nothing(cloud: Any, name: str, rest: str) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    where = urlsplit(cloud.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall(f"PUT /{name}/a.txt HTTP/1.1\r\nHost: {where.netloc}\r\n{rest}".encode())
        connection.shutdown(socket.SHUT_WR)
        # Closed without an answer.
        assert connection.recv(1) == b""
    with pytest.raises(ClientError, match="404"):
        s3.head_object(Bucket=name, Key="a.txt")
