# SPDX-License-Identifier: GPL-3.0-or-later
"""Take out of an environment what the worker never reads, and compile the rest.

Runs while the image is built. Botocore describes some 400 services; the worker calls a handful. The byte
code is written here because the container's root is read-only, and as "unchecked", so that neither the times
of the files, which differ from build to build, nor a look at every source decide whether it counts (PEP 552).
"""

from __future__ import annotations

import compileall
import py_compile
import shutil
import sys
from pathlib import Path

# The services that the worker makes clients of, and sts for the credentials of a profile with a role.
SERVICES = frozenset({"events", "s3", "sqs", "ssm", "sts"})
# Tests that packages ship.
TESTS = frozenset({"tests", "test"})


def unused(packages: Path) -> list[Path]:
    """Return the folders of an environment's packages that can go."""
    data = packages / "botocore" / "data"
    services = [path for path in data.glob("*") if path.is_dir() and path.name not in SERVICES]
    tests = [path for path in packages.rglob("*") if path.is_dir() and path.name in TESTS]
    return services + tests


def main(environment: str) -> int:
    for packages in Path(environment).glob("lib/python3*/site-packages"):
        for folder in unused(packages):
            shutil.rmtree(folder, ignore_errors=True)
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        # The names that tracebacks show are those of the finished image, wherever the files lie now.
        inside = "/opt/worker/" + packages.relative_to(environment).as_posix()
        if not compileall.compile_dir(packages, quiet=1, ddir=inside, invalidation_mode=mode, force=True):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
