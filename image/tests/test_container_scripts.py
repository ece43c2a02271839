# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that run while the image is built."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CONTAINER = Path(__file__).resolve().parents[1] / "container"


def load(name: str) -> ModuleType:
    """A script of the build, which is no package."""
    spec = importlib.util.spec_from_file_location(f"container_{name}", CONTAINER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pick_engine, sbom, slim = load("pick_engine"), load("sbom"), load("slim")


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """The layout of the official image."""
    root = tmp_path / "official"
    libraries = root / "usr/lib/ollama"
    for folder in ("cuda_v12", "cuda_v13", "vulkan"):
        (libraries / folder).mkdir(parents=True)
        (libraries / folder / "lib.so").write_text(folder)
    (libraries / "llama-server").write_text("#!/bin/sh\n")
    (libraries / "libggml.so.1").write_text("library")
    (libraries / "libggml.so").symlink_to("libggml.so.1")
    program = root / "usr/bin/ollama"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho ollama version is 0.33.3\n")
    program.chmod(0o755)
    return root


def found(target: Path) -> list[str]:
    return sorted(
        p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_symlink() or p.is_file()
    )


COMMON = [
    "usr/bin/ollama",
    "usr/lib/ollama/libggml.so",
    "usr/lib/ollama/libggml.so.1",
    "usr/lib/ollama/llama-server",
]


@pytest.mark.parametrize(("variant", "more"), [("cpu", []), ("cuda_v12", ["usr/lib/ollama/cuda_v12/lib.so"])])
def test_one_gpu_folder_or_none_is_taken(
    official: Path, tmp_path: Path, variant: str, more: list[str]
) -> None:
    target = tmp_path / "out"
    assert pick_engine.main([str(official), str(target), "--variant", variant]) == 0
    assert found(target) == sorted(COMMON + more)
    assert (target / "usr/lib/ollama/libggml.so").readlink() == Path("libggml.so.1")


def refusal(official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], variant: str = "cpu") -> str:
    assert pick_engine.main([str(official), str(tmp_path / "out"), "--variant", variant]) == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("ERROR: OLLAMA_IMAGE")
    return said


def test_a_wrong_image_is_told(official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "it has cuda_v12, cuda_v13, vulkan" in refusal(official, tmp_path, capsys, "rocm_v7_2")
    (official / "usr/lib/ollama/llama-server").unlink()
    assert "0.30 or newer" in refusal(official, tmp_path, capsys)
    (official / "usr/bin/ollama").unlink()
    assert "has no /usr/bin/ollama" in refusal(official, tmp_path, capsys)


def test_a_program_that_does_not_start_is_told(
    official: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (official / "usr/bin/ollama").write_text("#!/bin/sh\necho libx.so: cannot open >&2\nexit 127\n")
    assert "does not start on this base: libx.so: cannot open" in refusal(official, tmp_path, capsys)


def test_an_environment_loses_what_is_not_read_and_gains_byte_code(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    for path in (
        "botocore/data/s3/x.json",
        "botocore/data/ec2/x.json",
        "botocore/data/partitions.json",
        "a/tests/t.py",
    ):
        (packages / path).parent.mkdir(parents=True, exist_ok=True)
        (packages / path).write_text("")
    (packages / "a" / "code.py").write_text("answer = 42\n")
    assert slim.main(str(tmp_path)) == 0
    assert sorted(p.name for p in (packages / "botocore/data").iterdir()) == ["partitions.json", "s3"]
    assert not (packages / "a" / "tests").exists()
    code = Path(cache_from_source(str(packages / "a" / "code.py"))).read_bytes()
    assert int.from_bytes(code[4:8], "little") == 1  # based on a hash, which is not checked
    assert b"/opt/worker/lib/python3." in code


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def bill(root: Path) -> dict[str, Any]:
    output = root / "bill.json"
    arguments = ["--environment", "environment", "--worker", "worker", "--engine", "engine", "--base", "base"]
    places = [str(root / word) if not word.startswith("--") else word for word in arguments]
    assert sbom.main([*places, "--output", str(output)]) == 0
    value: dict[str, Any] = json.loads(output.read_text())
    return value


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """An image in parts, as the last stage of the build finds it."""
    site = "lib/python3.13/site-packages"
    for where, name, version in (("environment", "Some_Package", "1.2"), ("worker", "ollama-worker", "3.4")):
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: MIT\n"
        write(tmp_path / where / site / f"{name.replace('-', '_')}-{version}.dist-info/METADATA", text)
    write(tmp_path / "engine/usr/bin/ollama", "program")
    write(
        tmp_path / "base/var/lib/dpkg/status",
        "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12+deb13u1\n\n"
        "Package: gone\nStatus: deinstall ok not-installed\nArchitecture: amd64\nVersion: 1\n",
    )
    write(tmp_path / "base/etc/os-release", 'ID=debian\nVERSION_ID="13"\n')
    return tmp_path


def test_a_bill_names_packages_of_all_kinds(parts: Path) -> None:
    components = {c["bom-ref"]: c for c in bill(parts)["components"]}
    assert set(components) == {
        "pkg:pypi/some-package@1.2",
        "pkg:pypi/ollama-worker@3.4",
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64&distro=debian-13",
        "/usr/bin/ollama",
    }
    assert components["pkg:pypi/some-package@1.2"]["licenses"] == [{"license": {"name": "MIT"}}]
    assert len(components["/usr/bin/ollama"]["hashes"][0]["content"]) == 64


def test_a_bill_of_the_same_is_the_same_and_of_other_content_another(parts: Path) -> None:
    first = bill(parts)
    assert bill(parts) == first
    assert first["metadata"]["component"]["version"] == "3.4"
    write(parts / "engine/usr/bin/ollama", "another program")
    assert bill(parts)["serialNumber"] != first["serialNumber"]


def test_a_base_without_a_shell_lists_its_packages_one_by_one(parts: Path) -> None:
    status = parts / "base/var/lib/dpkg/status"
    (parts / "base/var/lib/dpkg/status.d").mkdir()
    status.rename(parts / "base/var/lib/dpkg/status.d/libc6")
    write(parts / "base/var/lib/dpkg/status.d/libc6.md5sums", "Package: no package\n")
    assert [c["name"] for c in bill(parts)["components"] if c.get("purl", "").startswith("pkg:deb/")] == [
        "libc6"
    ]
