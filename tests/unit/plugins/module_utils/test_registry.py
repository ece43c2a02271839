# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to a registry, put to small servers on loopback."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._registry import (
    Registry,
    encode_login,
    login_files,
    parse_repository,
    stored_login,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal

DIGEST = "sha256:" + "a" * 64


@contextmanager
def server(answer: object) -> Iterator[str]:
    """An HTTP server whose requests are answered by a function: path and headers -> status, headers, body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = answer(self)  # type: ignore[operator]
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def ask(answer: object, login: str | None = None) -> str | None:
    with server(answer) as host:
        return Registry(host, login, insecure=True).digest("team/name", "tag")


def test_the_digest_of_a_tag() -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        assert request.command == "HEAD"
        assert request.path == "/v2/team/name/manifests/tag"
        assert "application/vnd.oci.image.index.v1+json" in request.headers["Accept"]
        return 200, {"Docker-Content-Digest": DIGEST}, b""

    assert ask(answer) == DIGEST


def test_no_such_tag() -> None:
    assert ask(lambda _request: (404, {}, b"")) is None


def test_a_basic_login_is_sent() -> None:
    login = encode_login("AWS", "token")

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if request.headers.get("Authorization") != f"Basic {login}":
            return 401, {"WWW-Authenticate": 'Basic realm="x"'}, b""
        return 200, {"Docker-Content-Digest": DIGEST}, b""

    assert ask(answer, login) == DIGEST
    with pytest.raises(Refusal, match=r"refuses to say what team/name holds .*podman login"):
        ask(answer)


def test_a_token_is_fetched_where_one_is_asked_for() -> None:
    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if request.path.startswith("/token?"):
            assert request.path == "/token?service=registry&scope=repository%3Ateam%2Fname%3Apull"
            return 200, {}, json.dumps({"token": "pass"}).encode()
        if request.headers.get("Authorization") != "Bearer pass":
            realm = f"http://{request.headers['Host']}/token"
            challenge = f'Bearer realm="{realm}",service="registry",scope="repository:team/name:pull"'
            return 401, {"WWW-Authenticate": challenge}, b""
        return 200, {"Docker-Content-Digest": DIGEST}, b""

    assert ask(answer) == DIGEST


def test_an_answer_without_a_digest_is_no_answer() -> None:
    with pytest.raises(Refusal, match="answered HTTP 200 when asked for team/name:tag"):
        ask(lambda _request: (200, {}, b""))


def test_a_registry_that_is_not_there() -> None:
    with server(lambda _request: (200, {}, b"")) as host:
        pass
    with pytest.raises(Refusal, match=f"{host} cannot be reached"):
        Registry(host, insecure=True).digest("name", "tag")


def test_a_repository_is_named_in_full() -> None:
    repository = parse_repository("registry.example.com:5000/team/name")
    assert (repository.host, repository.name) == ("registry.example.com:5000", "team/name")
    assert repository.ecr is None
    ecr = parse_repository("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/pasture")
    assert ecr.ecr == ("123456789012", "cn-north-1")


@pytest.mark.parametrize("name", ["pasture", "team/name", "host.example/name:tag", "localhost/name@sha256:0"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(Refusal):
        parse_repository(name)


def test_a_login_of_the_users_is_found(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json"),
        "XDG_RUNTIME_DIR": "/x",
    }
    docker = tmp_path / ".docker" / "config.json"
    docker.parent.mkdir()
    docker.write_text(json.dumps({"auths": {"https://hub.example.com/v1/": {"auth": "b25l"}, "b": {}}}))
    (tmp_path / "auth.json").write_text("not json")
    files = login_files(environment)
    assert stored_login("hub.example.com", files) == "b25l"
    assert stored_login("b", files) is None
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {"hub.example.com": {"auth": "dHdv"}}}))
    assert stored_login("hub.example.com", files) == "dHdv"
