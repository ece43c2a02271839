# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the image, and what is not."""

from __future__ import annotations

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import machine
import pytest

MB = 1_000_000


def inside(image: str, program: str, *options: str) -> str:
    """Run a few lines of Python in the image, as it runs in production."""
    arguments = (*machine.RUN, "--rm", *machine.HARDENED, *options, "--entrypoint", "python")
    return machine.podman(*arguments, image, "-c", program).stdout


@pytest.fixture(scope="session")
def described(image: str) -> dict[str, Any]:
    value: list[dict[str, Any]] = json.loads(machine.podman("image", "inspect", image).stdout)
    return value[0]


@pytest.fixture(scope="session")
def bill(image: str) -> dict[str, Any]:
    """The SBOM, read where its label says that it is."""
    label = machine.podman(
        "image", "inspect", "--format", '{{ index .Labels "io.pasture.sbom" }}', image
    ).stdout.strip()
    value: dict[str, Any] = json.loads(inside(image, f"print(open({label!r}).read())"))
    return value


def test_it_says_how_it_is_run(described: dict[str, Any]) -> None:
    config = described["Config"]
    assert config["User"] == "1000:1000"
    assert config["Entrypoint"] == ["ollama-worker"]
    assert config["Cmd"] == ["run"]
    assert config["StopSignal"] == "SIGTERM"
    assert described["Healthcheck"]["Test"] == ["CMD", "ollama-worker", "health"]
    environment = dict(pair.split("=", 1) for pair in config["Env"])
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environment["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert environment["HOME"] == environment["TMPDIR"] == "/tmp"  # noqa: S108
    assert described["Architecture"] == "amd64"


def test_its_labels_name_version_and_variant(described: dict[str, Any]) -> None:
    labels = described["Labels"]
    assert labels["org.opencontainers.image.title"] == "ollama-worker"
    assert labels["org.opencontainers.image.licenses"]
    assert labels["io.pasture.variant"] == machine.VARIANT
    source = (machine.SOURCES / "src/ollama_worker/__init__.py").read_text()
    assert f'__version__ = "{labels["org.opencontainers.image.version"]}"' in source


def test_of_the_gpu_libraries_it_has_the_chosen_folder_only(image: str) -> None:
    found = inside(image, "import os; print(*sorted(os.listdir('/usr/lib/ollama')))").split()
    assert found == [machine.VARIANT, "libggml-base.so", "libggml-base.so.0.9", "llama-server"]
    assert inside(image, "import os; print(os.readlink('/usr/lib/ollama/libggml-base.so'))").strip() == (
        "libggml-base.so.0.9"
    )


def test_it_has_neither_shell_nor_pip_nor_compiler(image: str) -> None:
    names = ["sh", "bash", "dash", "pip", "pip3", "cc", "gcc", "apt", "apt-get", "perl"]
    assert inside(image, f"import shutil; print([n for n in {names} if shutil.which(n)])").strip() == "[]"
    assert (
        inside(image, "import importlib.util as u; print(u.find_spec('pip'), u.find_spec('setuptools'))")
        == "None None\n"
    )


def test_only_the_store_and_tmp_can_be_written_to(image: str, tmp_path: Path) -> None:
    os.chown(tmp_path, 1000, 1000)
    program = """
import os
def writable(folder):
    try:
        open(os.path.join(folder, 'probe'), 'w').close()
        return True
    except OSError:
        return False
print([f for f in ('/', '/etc', '/opt/worker', '/usr/lib/ollama', '/var/tmp', '/tmp', '/mnt/models') if writable(f)])
print(os.getuid(), os.getgid(), open('/proc/self/status').read().split('CapEff:')[1].split()[0])
"""
    first, second = inside(image, program, "--volume", f"{tmp_path}:/mnt/models").splitlines()
    assert first == "['/tmp', '/mnt/models']"
    assert second == "1000 1000 0000000000000000"


def test_the_store_belongs_to_the_user_it_runs_as(image: str) -> None:
    assert inside(image, "import os; s = os.stat('/mnt/models'); print(s.st_uid, s.st_gid)") == "1000 1000\n"


def test_the_workers_layers_are_small_and_an_update_moves_little(image: str) -> None:
    layers = json.loads(machine.podman("history", "--format", "json", image).stdout)
    sizes = [layer["size"] for layer in layers if " COPY " in layer["CreatedBy"]]
    worker, _store, dependencies, _engine = sizes
    assert worker < 2 * MB
    assert worker + dependencies < 90 * MB


def test_the_byte_code_is_there_and_used(image: str) -> None:
    program = """
import os, ollama_worker, botocore.session
from importlib.util import cache_from_source
for module in (ollama_worker, botocore.session):
    code = open(cache_from_source(module.__file__), 'rb').read(8)
    print(int.from_bytes(code[4:8], 'little'))
"""
    # PEP 552: bit 0 says that it is based on a hash, bit 1 would say that the source is read to check it.
    assert inside(image, program).split() == ["1", "1"]


def test_the_worker_is_imported_quickly(image: str) -> None:
    program = """
import os, subprocess, sys
def seconds(code):
    taken = []
    for _ in range(5):
        before = os.times()
        subprocess.run([sys.executable, '-c', code], check=True)
        after = os.times()
        taken.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return min(taken)
print(seconds('import botocore.session, botocore.client, botocore.httpsession'))
print(seconds('import ollama_worker.cli, ollama_worker.worker'))
print(subprocess.run([sys.executable, '-c', 'import sys, ollama_worker.worker; print(*sys.modules)'],
                     capture_output=True, text=True, check=True).stdout)
"""
    botocore, worker, modules = inside(image, program).split("\n", 2)
    # A measure as fast as the machine: botocore takes 0.19 s of a core where the worker, which needs it, takes 0.25.
    assert float(worker) < 2 * float(botocore)
    # What reads documents is imported by the processes that read them.
    assert {"pypdf", "PIL", "lxml", "openpyxl", "defusedxml"}.isdisjoint(modules.split())


def test_every_client_that_the_worker_makes_is_described_in_it(image: str) -> None:
    wanted = set()
    for path in (machine.SOURCES / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                literal = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
                if node.func.attr in ("_make", "create_client") and isinstance(literal, str):
                    wanted.add(literal)
    assert {"s3", "sqs"} <= wanted
    program = (
        "import botocore.session as b; s = b.get_session(); "
        f"print([n for n in {sorted(wanted)} if not s.create_client(n, region_name='eu-west-1')])"
    )
    assert inside(image, program) == "[]\n"


def test_the_bill_lists_what_is_installed(image: str, bill: dict[str, Any]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    listed = {c["purl"] for c in bill["components"] if c.get("purl", "").startswith("pkg:pypi/")}
    program = (
        "import importlib.metadata as m; "
        "print(*{f\"pkg:pypi/{d.metadata['Name'].lower().replace('_', '-')}@{d.version}\" for d in "
        "m.distributions()})"
    )
    installed = set(inside(image, program).split())
    assert listed == {purl for purl in installed if not purl.startswith("pkg:pypi/pip@")}
    debian = {c["name"] for c in bill["components"] if c.get("purl", "").startswith("pkg:deb/")}
    assert {"libc6", "python3.11-minimal"} <= debian


def test_the_bill_has_the_digests_of_the_engines_files(image: str, bill: dict[str, Any]) -> None:
    listed = {c["name"]: c["hashes"][0]["content"] for c in bill["components"] if c["type"] == "file"}
    program = "import hashlib; print(hashlib.sha256(open('/usr/bin/ollama','rb').read()).hexdigest())"
    assert listed["/usr/bin/ollama"] == inside(image, program).strip()
    assert "/usr/lib/ollama/llama-server" in listed


def test_the_locked_packages_are_those_of_the_bill(bill: dict[str, Any]) -> None:
    locked = (machine.SOURCES / "requirements.txt").read_text()
    for component in bill["components"]:
        if component.get("purl", "").startswith("pkg:pypi/") and component["name"] != "ollama-worker":
            assert f"{component['name'].lower().replace('_', '-')}=={component['version']} " in locked


def test_the_worker_answers_without_settings_with_a_sentence(image: str) -> None:
    arguments = (*machine.RUN, "--rm", *machine.HARDENED)
    result = subprocess.run(["podman", *arguments, image], capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "PASTURE_" in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
