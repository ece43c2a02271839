# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong with an image is told in a sentence, and nothing half-done is referred to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import machine
import pytest
from worker_cloud import free_port

BIN = Path(sys.executable).parent
# The header of a program for ARM (https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html).
ARM_PROGRAM = (
    b"\x7fELF\x02\x01\x01" + bytes(9) + (2).to_bytes(2, "little") + (183).to_bytes(2, "little") + bytes(44)
)
SIMPLE = "ARG BASE=scratch\nFROM ${BASE}\nCOPY file /file\n"


@pytest.fixture
def ensure() -> Callable[..., dict[str, Any]]:
    """Run the module once; what it returns."""

    def run(environment: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
        arguments = json.dumps({"region": "eu-west-1", "insecure": True, **options})
        result = subprocess.run(
            [BIN / "ansible", "localhost", "-m", "pasture.ollama.container_image", "-a", arguments],
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(machine.ROOT / ".build" / "dev"),
                "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
                "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
                "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
                "LC_ALL": "C.UTF-8",
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        # "localhost | CHANGED => {...}", or "localhost | FAILED! => {...}" after the message for people.
        begin = result.stdout.rindex("=> {") + 3
        value: dict[str, Any] = json.JSONDecoder().raw_decode(result.stdout[begin:])[0]
        return value

    return run


@pytest.fixture
def tiny(programs: None, tmp_path: Path) -> dict[str, Any]:
    """A build of one file, which takes a second."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "Containerfile").write_text(SIMPLE)
    (folder / "file").write_text("content")
    return {
        "source": str(folder),
        "build_args": {"BASE": "scratch"},
        "build_options": ["--isolation=chroot", "--pull=never"],
    }


@pytest.fixture
def worker(bases: dict[str, str], secrets: dict[str, str]) -> dict[str, Any]:
    """The build of the worker's image."""
    return {
        "source": str(machine.SOURCES),
        "build_args": {**bases, "VARIANT": machine.VARIANT},
        "secrets": secrets,
        "build_options": ["--isolation=chroot", "--pull=never"],
    }


def test_an_image_is_pushed_once_and_known_by_its_digest(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], registry: str
) -> None:
    repository = f"{registry}/team/tiny"
    planned = ensure(repository=repository, **tiny)
    assert planned["changed"] is True
    first = planned["container_image"]
    assert first["image"] == f"{repository}@{first['digest']}"
    pulled = machine.podman("pull", "--quiet", "--tls-verify=false", first["image"]).stdout.strip()
    assert (Path(machine.podman("image", "mount", pulled).stdout.strip()) / "file").read_text() == "content"
    machine.podman("image", "umount", pulled)
    assert ensure(repository=repository, **tiny) == {"changed": False, "container_image": first}
    # Another time and another place of the same contents change nothing; another content does.
    source = Path(tiny["source"])
    os.utime(source / "file", (0, 0))
    assert ensure(repository=repository, **tiny)["changed"] is False
    (source / "file").write_text("other content")
    second = ensure(repository=repository, **tiny)
    assert second["changed"] is True
    assert second["container_image"]["digest"] != first["digest"]
    # So does another way to push it.
    (source / "file").write_text("content to compress")
    third = ensure(repository=repository, push_options=["--compression-format=zstd"], **tiny)[
        "container_image"
    ]
    url = f"http://{registry}/v2/team/tiny/manifests/{third['digest']}"
    accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=accept)) as answer:
        assert json.load(answer)["layers"][0]["mediaType"].endswith("+zstd")
    gzip = ensure(repository=repository, **tiny)
    assert gzip["changed"] is True
    assert gzip["container_image"]["tag"] != third["tag"]
    machine.podman("rmi", "--force", pulled)


def test_an_image_can_be_mirrored(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], registry: str
) -> None:
    original = ensure(repository=f"{registry}/public/tiny", **tiny)["container_image"]["image"]
    copied = ensure(repository=f"{registry}/private/bases", copy_from=original)
    assert copied["changed"] is True
    image = copied["container_image"]["image"]
    assert image.startswith(f"{registry}/private/bases@sha256:")
    machine.podman("pull", "--quiet", "--tls-verify=false", image)
    assert ensure(repository=f"{registry}/private/bases", copy_from=original)["changed"] is False


def test_a_base_that_is_not_ollamas_is_told(
    ensure: Callable[..., dict[str, Any]], worker: dict[str, Any], registry: str
) -> None:
    worker["build_args"]["OLLAMA_IMAGE"] = worker["build_args"]["RUNTIME_IMAGE"]
    result = ensure(repository=f"{registry}/worker", **worker)
    assert "OLLAMA_IMAGE has no /usr/bin/ollama" in result["msg"]
    assert result["changed"] is False


def test_a_variant_that_the_base_lacks_is_told_with_those_it_has(
    ensure: Callable[..., dict[str, Any]], worker: dict[str, Any], registry: str
) -> None:
    worker["build_args"]["VARIANT"] = "cuda_v11"
    message = ensure(repository=f"{registry}/worker", **worker)["msg"]
    assert "VARIANT=cuda_v11; it has cuda_v12, cuda_v13, vulkan" in message


def test_a_base_that_does_not_exist_is_told(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], registry: str
) -> None:
    tiny["build_args"]["BASE"] = f"{registry}/nobody/knows@sha256:{'0' * 64}"
    tiny["build_options"] = ["--isolation=chroot", "--tls-verify=false"]
    message = ensure(repository=f"{registry}/tiny", **tiny)["msg"]
    assert "does not exist under this name or digest" in message


def test_an_engine_for_another_architecture_is_told(
    ensure: Callable[..., dict[str, Any]], worker: dict[str, Any], registry: str
) -> None:
    names = ("usr/bin/ollama", "usr/lib/ollama/llama-server", "usr/lib/ollama/cuda_v13/x.so")
    files = dict.fromkeys(names, ARM_PROGRAM)
    name = "localhost/pasture-test/other-architecture:1"
    machine.load(name, machine.archive(files))
    worker["build_args"]["OLLAMA_IMAGE"] = name
    message = ensure(repository=f"{registry}/worker", **worker)["msg"]
    assert "OLLAMA_IMAGE is for another architecture than the one built for" in message


def test_a_build_for_a_platform_whose_programs_do_not_run_here_is_told(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], registry: str
) -> None:
    name = "localhost/pasture-test/arm-program:1"
    machine.load(name, machine.archive({"bin/program": ARM_PROGRAM}), platform="linux/arm64")
    (Path(tiny["source"]) / "Containerfile").write_text('ARG BASE\nFROM ${BASE}\nRUN ["/bin/program"]\n')
    tiny["build_args"]["BASE"] = name
    result = ensure(repository=f"{registry}/tiny", platform="linux/arm64", **tiny)
    assert "this machine cannot run programs of that platform (install qemu-user-static)" in result["msg"]
    assert result["changed"] is False


def test_an_image_for_another_architecture_is_not_pushed(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], registry: str
) -> None:
    name = "localhost/pasture-test/arm:1"
    machine.load(name, machine.archive({"file": b""}), platform="linux/arm64")
    original = f"{registry}/public/arm:1"
    machine.podman("tag", name, original)
    machine.podman("push", "--quiet", "--tls-verify=false", original)
    machine.podman("rmi", original)
    result = ensure(repository=f"{registry}/worker", copy_from=original)
    assert "made for arm64 where amd64 is wanted, so it was not pushed" in result["msg"]
    assert ensure({}, repository=f"{registry}/worker", **tiny)["changed"] is True


def test_a_registry_that_refuses_is_told_and_a_login_is_used(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], tmp_path: Path
) -> None:
    # The bcrypt hash of "secret".
    hashed = subprocess.run(
        [sys.executable, "-c", "import crypt; print(crypt.crypt('secret', crypt.METHOD_BLOWFISH))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with machine.registry(tmp_path / "closed", users=f"somebody:{hashed}\n") as address:
        repository = f"{address}/team/tiny"
        message = ensure(repository=repository, **tiny)["msg"]
        assert f"the registry {address} refuses" in message
        assert "podman login" in message
        wrong = ensure(repository=repository, username="somebody", password="guessed", **tiny)
        assert f"the registry {address} refuses" in wrong["msg"]
        right = ensure(repository=repository, username="somebody", password="secret", **tiny)
        assert right["changed"] is True
        assert "secret" not in json.dumps(right)


def test_a_registry_that_takes_no_push_is_told_and_lists_nothing(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], tmp_path: Path
) -> None:
    with machine.registry(tmp_path / "read-only", read_only=True) as address:
        result = ensure(repository=f"{address}/team/tiny", **tiny)
        assert f"the registry refused the push to {address}/team/tiny" in result["msg"]
        assert "container_image" not in result
        with urllib.request.urlopen(f"http://{address}/v2/_catalog") as answer:
            assert json.load(answer) == {"repositories": []}


def test_a_registry_that_is_not_there_is_told(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    message = ensure(repository=f"{address}/team/tiny", **tiny)["msg"]
    assert f"the registry {address} cannot be reached" in message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of podman that keep what is built on a disk of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert mounted.returncode == 0, mounted.stderr
    settings = tmp_path / "storage.conf"
    settings.write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{disk}/graph"\nrunroot = "{disk}/run"\n'
    )
    yield {"CONTAINERS_STORAGE_CONF": str(settings), "TMPDIR": str(disk)}
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_told(
    ensure: Callable[..., dict[str, Any]], tiny: dict[str, Any], registry: str, small_disk: dict[str, str]
) -> None:
    (Path(tiny["source"]) / "file").write_bytes(os.urandom(32_000_000))
    result = ensure(small_disk, repository=f"{registry}/team/tiny", **tiny)
    assert "the disk is full" in result["msg"]
    assert result["changed"] is False
