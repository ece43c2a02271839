# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of the user's own: an object in a bucket becomes a model of the store, or nothing at all."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import re
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from worker_cloud import REGION, Cloud

from ollama_worker.aws import Clients, read_definition
from ollama_worker.check import check
from ollama_worker.engine.pull import ensure_in_store
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import PermanentError, RetryableError
from ollama_worker.seed import seed

_WEIGHTS = b"weights" * 1000


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest() -> bytes:
    blobs = [{"digest": digest(data), "size": len(data)} for data in (b"{}", _WEIGHTS)]
    return json.dumps({"config": blobs[0], "layers": blobs[1:]}).encode()


def archive(**changes: bytes | None) -> bytes:
    members: dict[str, bytes | None] = {
        f"blobs/{digest(b'{}').replace(':', '-')}": b"{}",
        f"blobs/{digest(_WEIGHTS).replace(':', '-')}": _WEIGHTS,
        "manifests/registry.ollama.ai/library/other/1b": manifest(),
        **changes,
    }
    return tar(members)


def tar(members: Mapping[str, bytes | None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            if data is not None:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def environment(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    given = {
        **cloud.environment,
        "PASTURE_STORE": str(tmp_path),
        "PASTURE_REGISTRY": f"/pasture/{cloud.id}",
        "AWS_REGION": REGION,
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def put(cloud: Cloud, data: bytes, wanted: str | None = None, **more: str) -> None:
    cloud.s3.put_object(Bucket=cloud.source, Key="m/tiny.tar", Body=data)
    cloud.define(**{"from": f"s3://{cloud.source}/m/tiny.tar", "digest": wanted or digest(data), **more})


def bring_again(cloud: Cloud, folder: Path) -> bool:
    """What the seeding task does, with its error."""
    definition = read_definition(Clients(REGION), cloud.parameter)
    store = ModelStore(folder)
    return ensure_in_store(
        store, "tiny:latest", environment={}, seconds=5, definition=definition, region=REGION
    )


def test_an_archive_becomes_a_model_once(cloud: Cloud, environment: dict[str, str], tmp_path: Path) -> None:
    put(cloud, archive())
    assert seed(["tiny:latest"], environment) == 0
    store = ModelStore(tmp_path)
    assert store.complete("tiny:latest")
    assert not list((tmp_path / ".staging").iterdir())
    cloud.s3.delete_object(Bucket=cloud.source, Key="m/tiny.tar")
    assert seed(["tiny:latest"], environment) == 0
    # Another digest is another model, which is not there.
    cloud.define(**{"from": f"s3://{cloud.source}/m/tiny.tar", "digest": digest(b"")})
    assert seed(["tiny:latest"], environment) == 1


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Any]]:
    """An ``ollama`` on the PATH; what it is returned tells what it was asked to make."""
    program = tmp_path / "bin/ollama"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_ollama.py")} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    def asked() -> dict[str, Any]:
        store = ModelStore(tmp_path)
        config = json.loads(store.manifest_path("tiny:latest").read_bytes())["config"]["digest"]
        body: dict[str, Any] = json.loads((tmp_path / "blobs" / config.replace(":", "-")).read_bytes())
        return {key: value for key, value in body.items() if key not in {"model", "stream"}}

    return asked


_GGUF = b"GGUF" + _WEIGHTS
_MODELFILE = b'FROM ./tiny.gguf\nSYSTEM """You are\nbrief."""\nPARAMETER temperature 0\nPARAMETER stop x\n'
_MADE = {"system": "You are\nbrief.", "parameters": {"temperature": 0.0, "stop": ["x"]}}


def test_the_engine_makes_a_model_of_a_gguf_file(
    cloud: Cloud, environment: dict[str, str], tmp_path: Path, engine: Callable[[], dict[str, Any]]
) -> None:
    put(cloud, _GGUF)
    assert seed(["tiny:latest"], environment) == 0
    assert ModelStore(tmp_path).complete("tiny:latest")
    assert engine() == {"files": {"tiny.tar": digest(_GGUF)}}


def test_a_modelfile_may_lie_beside_a_gguf_file(
    cloud: Cloud, environment: dict[str, str], engine: Callable[[], dict[str, Any]]
) -> None:
    cloud.s3.put_object(Bucket=cloud.source, Key="m/tiny.gguf", Body=_GGUF)
    cloud.s3.put_object(Bucket=cloud.source, Key="m/Modelfile", Body=_MODELFILE)
    place = f"s3://{cloud.source}/m"
    cloud.define(**{"from": f"{place}/tiny.gguf"})
    assert seed(["tiny:latest"], environment) == 0
    assert engine() == {"files": {"tiny.gguf": digest(_GGUF)}}
    # A Modelfile makes another model of the same weights.
    cloud.define(**{"from": f"{place}/tiny.gguf", "modelfile": f"{place}/Modelfile"})
    assert seed(["tiny:latest"], environment) == 0
    assert engine() == {"files": {"tiny.gguf": digest(_GGUF)}, **_MADE}


@pytest.mark.parametrize("folder", ["", "./"])
def test_an_archive_may_be_the_folder_of_an_ollama_create(
    cloud: Cloud, environment: dict[str, str], engine: Callable[[], dict[str, Any]], folder: str
) -> None:
    put(cloud, tar({f"{folder}Modelfile": _MODELFILE, f"{folder}tiny.gguf": _GGUF}))
    assert seed(["tiny:latest"], environment) == 0
    assert engine() == {"files": {"tiny.gguf": digest(_GGUF)}, **_MADE}


def test_a_model_that_sees_comes_in_two_files(
    cloud: Cloud, environment: dict[str, str], engine: Callable[[], dict[str, Any]]
) -> None:
    projector = b"GGUF projector"
    files = {"mmproj.gguf": digest(projector), "tiny.gguf": digest(_GGUF)}
    put(cloud, tar({"tiny.gguf": _GGUF, "mmproj.gguf": projector}))
    assert seed(["tiny:latest"], environment) == 0
    assert engine() == {"files": files}
    modelfile = b"FROM tiny.gguf\nFROM mmproj.gguf\n"
    put(cloud, tar({"tiny.gguf": _GGUF, "mmproj.gguf": projector, "Modelfile": modelfile}))
    assert seed(["tiny:latest"], environment) == 0
    assert engine() == {"files": files}


@pytest.mark.parametrize(
    ("modelfile", "sentence"),
    [
        (b"FROM other.gguf", "is made FROM other.gguf, and there is only tiny.gguf."),
        (b"FROM llama3.2", "is made FROM llama3.2, and there is only tiny.gguf."),
        (b"SYSTEM x", "has no FROM line."),
        (b"FROM tiny.gguf\nADAPTER x", "line 2: ADAPTER: Ollama runs no LoRA adapters any more"),
        (b"\xff\xfe", "is not UTF-8."),
    ],
)
@pytest.mark.usefixtures("environment")
def test_a_modelfile_that_cannot_be_followed_publishes_nothing(
    cloud: Cloud, tmp_path: Path, modelfile: bytes, sentence: str
) -> None:
    put(cloud, tar({"Modelfile": modelfile, "tiny.gguf": _GGUF}))
    with pytest.raises(PermanentError, match=re.escape(sentence)):
        bring_again(cloud, tmp_path)
    assert not (tmp_path / "manifests").exists()


@pytest.mark.usefixtures("environment")
def test_a_modelfile_beside_the_weights_is_read_before_them(cloud: Cloud, tmp_path: Path) -> None:
    place = f"s3://{cloud.source}/m"
    cloud.s3.put_object(Bucket=cloud.source, Key="m/Modelfile", Body=b"FROM other.gguf")
    cloud.define(**{"from": f"{place}/tiny.gguf", "modelfile": f"{place}/Modelfile"})
    with pytest.raises(
        PermanentError, match=r"m/Modelfile is made FROM other\.gguf, and there is only tiny\.gguf"
    ):
        bring_again(cloud, tmp_path)


def test_a_modelfile_is_not_for_an_archive(cloud: Cloud, environment: dict[str, str], tmp_path: Path) -> None:
    cloud.s3.put_object(Bucket=cloud.source, Key="m/Modelfile", Body=b"FROM tiny.tar")
    put(cloud, archive(), modelfile=f"s3://{cloud.source}/m/Modelfile")
    with pytest.raises(PermanentError, match="is for a GGUF file alone"):
        bring_again(cloud, tmp_path)
    assert seed(["tiny:latest"], environment) == 1


@pytest.mark.usefixtures("environment")
def test_a_full_disk_is_said_to_be_full_and_what_is_there_stays(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cloud, archive())
    opened = Path.open

    def full(path: Path, *args: Any, **kwargs: Any) -> Any:
        return opened(Path("/dev/full") if path.name.endswith("-partial") else path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(
            RetryableError, match=r"is full \(\d+ bytes are free\): s3://.* does not fit"
        ) as told:
            bring_again(cloud, tmp_path)
    assert told.value.slug == "disk-full"
    assert not (tmp_path / "manifests").exists()
    # There is room again.
    assert bring_again(cloud, tmp_path)


@pytest.mark.parametrize("data", [_GGUF, archive()])
def test_an_object_that_breaks_off_is_tried_again_and_publishes_nothing(
    cloud: Cloud, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    put(cloud, data)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(RetryableError, match=f"s3://{cloud.source}/m/tiny.tar"):
            bring_again(cloud, tmp_path)
        assert seed(["tiny:latest"], environment) == 1
        server.shutdown()
    assert not (tmp_path / "manifests").exists()


def test_check_tells_whether_the_right_weights_are_there(
    cloud: Cloud, environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = cloud.settings(PASTURE_STORE=str(tmp_path), PASTURE_WORK_DIR=str(tmp_path))

    def told() -> str:
        check(settings)
        return next(
            line
            for line in capsys.readouterr().out.splitlines()
            if line.split()[1] == "model" and "s3://" in line
        )

    put(cloud, archive())
    assert re.search(rf"^WRONG .*the worker will bring the {len(archive())} bytes of s3://", told())
    assert seed(["tiny:latest"], environment) == 0
    assert re.search(rf"^ok .*, made of s3://{cloud.source}/m/tiny.tar", told())
    put(cloud, archive(), digest(b"else"))
    assert re.search(r"^WRONG .*or is made of other weights", told())
    cloud.s3.delete_object(Bucket=cloud.source, Key="m/tiny.tar")
    assert re.search(r"^WRONG .*Could not read s3://", told())


@pytest.mark.usefixtures("environment")
def test_a_wrong_digest_is_named_and_publishes_nothing(cloud: Cloud, tmp_path: Path) -> None:
    put(cloud, archive(), digest(b"else"))
    with pytest.raises(PermanentError, match=f"{digest(archive())}.*{digest(b'else')}"):
        bring_again(cloud, tmp_path)
    assert not (tmp_path / "manifests").exists()


@pytest.mark.parametrize(
    "data",
    [
        b"no archive at all" * 100,
        archive(**{"../escaped": b"x"}),
        archive(**{f"blobs/{digest(_WEIGHTS).replace(':', '-')}": b"other"}),
        archive(**{f"blobs/{digest(_WEIGHTS).replace(':', '-')}": None}),
        archive(**{"manifests/registry.ollama.ai/library/other/1b": None}),
        archive(**{"manifests/registry.ollama.ai/library/other/1b": b"{"}),
        archive(**{"tiny.gguf": b"GGUF"}),
        tar({"README.md": b"x"}),
        tar({}),
    ],
)
def test_what_is_no_archive_of_a_model_publishes_nothing(
    cloud: Cloud, environment: dict[str, str], tmp_path: Path, data: bytes
) -> None:
    put(cloud, data)
    assert seed(["tiny:latest"], environment) == 1
    assert not ModelStore(tmp_path).complete("tiny:latest")
    assert not (tmp_path / "manifests").exists()
    assert not list(tmp_path.rglob("escaped"))
