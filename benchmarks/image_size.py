# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure an image: its size by layer, what its layers weigh compressed, and how long the worker takes to import.

    .venv/bin/python benchmarks/image_size.py [IMAGE]

IMAGE is one that podman has, and is the one of tests/image when it is not given. Compression is measured on the
layers' own bytes, with this machine's gzip and zstd on one core; what is unpacked at a cold start is what counts.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

IMAGE = "localhost/pasture-test/worker:current"
MB = 1_000_000
_ROUNDS = 5
_LIMITS = ("--runtime", "runc", "run", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
# Inside, so that the start of the container does not count.
_IMPORT = """
import os, subprocess, sys, time
walls, cores = [], []
for _ in range({rounds}):
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", "import ollama_worker.cli, ollama_worker.worker"], check=True)
    after = os.times()
    walls.append(time.perf_counter() - start)
    cores.append(after.children_user + after.children_system - before.children_user - before.children_system)
print(min(walls), min(cores))
"""


def podman(*arguments: str) -> str:
    """Run podman; what it prints."""
    command = ["podman", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def layers(image: str) -> list[tuple[str, int]]:
    """What made each layer and its size unpacked, newest first."""
    history = json.loads(podman("history", "--format", "json", image))
    return [(one["CreatedBy"], int(one["size"])) for one in history if one["size"]]


def import_seconds(image: str) -> tuple[float, float]:
    """Seconds to start Python and import all of the worker, by the clock and of a core.

    The best of several, the first of which warms the disk. On a busy machine the second one is the truer.
    """
    program = _IMPORT.format(rounds=_ROUNDS)
    said = podman(*_LIMITS, "--rm", "--read-only", "--entrypoint", "python", image, "-c", program).split()
    return float(said[0]), float(said[1])


def compression(image: str, folder: Path) -> dict[str, tuple[float, float]]:
    """For each way to compress: megabytes of all layers, and seconds to unpack them on one core."""
    archive = folder / "image.tar"
    podman("save", "--format", "docker-archive", "--output", str(archive), image)
    with tarfile.open(archive) as tar:
        (manifest,) = json.load(tar.extractfile("manifest.json") or sys.stdin)
        raw = []
        for number, name in enumerate(manifest["Layers"]):
            raw.append(folder / f"{number}.tar")
            with raw[-1].open("wb") as output:
                shutil.copyfileobj(tar.extractfile(name) or sys.stdin.buffer, output)
    found = {"none": (sum(path.stat().st_size for path in raw) / MB, 0.0)}
    for program, options in (("gzip", ["-6"]), ("zstd", ["-3", "-T1", "-q"])):
        if not shutil.which(program):
            continue
        size = seconds = 0.0
        for path in raw:
            packed = folder / f"packed.{program}"
            with packed.open("wb") as output:
                subprocess.run([program, *options, "-c", str(path)], stdout=output, check=True)
            size += packed.stat().st_size
            start = time.perf_counter()
            subprocess.run([program, "-d", "-c", str(packed)], stdout=subprocess.DEVNULL, check=True)
            seconds += time.perf_counter() - start
        found[program] = (size / MB, seconds)
    return found


def main() -> int:
    image = sys.argv[1] if len(sys.argv) > 1 else IMAGE
    looked_up = ["podman", "image", "exists", image]
    if subprocess.run(looked_up, check=False).returncode:
        print(
            f"podman has no image {image}: build it, or run tests/image, which leaves one.", file=sys.stderr
        )
        return 1
    print(f"{image}\n\nunpacked, by layer")
    found = layers(image)
    for what, size in found:
        print(f"{size / MB:10.1f} MB  {re.sub(r'^/bin/sh -c #.nop. ?', '', what)[:80].strip()}")
    print(f"{sum(size for _what, size in found) / MB:10.1f} MB  in all")
    clock, core = import_seconds(image)
    print(f"\nstart of Python and import of the worker: {clock:.2f} s, {core:.2f} s of a core")
    print("\nlayers, compressed and unpacked again on one core")
    with tempfile.TemporaryDirectory() as folder:
        for name, (megabytes, seconds) in compression(image, Path(folder)).items():
            print(f"{name:>10}  {megabytes:8.1f} MB  {seconds:6.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
