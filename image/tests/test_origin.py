# SPDX-License-Identifier: GPL-3.0-or-later
"""Models of the user's own: an object in a bucket becomes a model of the store, or nothing at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest
from worker_cloud import REGION, Cloud

from ollama_worker.aws import Clients, read_definition
from ollama_worker.engine.pull import ensure_in_store
from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import PermanentError
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


def put(cloud: Cloud, data: bytes, wanted: str | None = None) -> None:
    cloud.s3.put_object(Bucket=cloud.source, Key="m/tiny.tar", Body=data)
    cloud.define(**{"from": f"s3://{cloud.source}/m/tiny.tar", "digest": wanted or digest(data)})


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


def test_the_engine_makes_a_model_of_a_gguf_file(
    cloud: Cloud, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/ollama"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} {Path(__file__).with_name("fake_ollama.py")} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    weights = b"GGUF" + _WEIGHTS
    put(cloud, weights)
    assert seed(["tiny:latest"], environment) == 0
    store = ModelStore(tmp_path)
    assert store.complete("tiny:latest")
    made = json.loads(store.manifest_path("tiny:latest").read_bytes())
    assert made["layers"] == [{"digest": digest(weights), "size": len(weights)}]


@pytest.mark.usefixtures("environment")
def test_a_wrong_digest_is_named_and_publishes_nothing(cloud: Cloud, tmp_path: Path) -> None:
    put(cloud, archive(), digest(b"else"))
    store, definition = ModelStore(tmp_path), read_definition(Clients(REGION), cloud.parameter)
    with pytest.raises(PermanentError, match=f"{digest(archive())}.*{digest(b'else')}"):
        ensure_in_store(store, "tiny:latest", environment={}, seconds=5, definition=definition, region=REGION)
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
