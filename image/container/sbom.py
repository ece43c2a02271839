# SPDX-License-Identifier: GPL-3.0-or-later
"""Write what is in the image as a CycloneDX 1.6 document: Python packages, Debian packages, engine files.

Runs while the image is built, on what is being built, so that it cannot say anything else than what ships.
The same content gives the same bytes (https://cyclonedx.org/docs/1.6/json/).
"""

from __future__ import annotations

import argparse
import email.parser
import hashlib
import importlib.metadata
import json
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

Component = dict[str, Any]


def python_packages(environments: Iterable[Path]) -> Iterator[Component]:
    """Yield a component for each distribution that is installed in one of the environments."""
    paths = [str(path) for each in environments for path in each.glob("lib/python3*/site-packages")]
    for distribution in importlib.metadata.distributions(path=paths):
        name, version = distribution.metadata["Name"], distribution.version
        component: Component = {
            "type": "library",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version}",
        }
        license_ = distribution.metadata["License-Expression"] or distribution.metadata["License"]
        # Some packages put the whole text there; a name is what fits.
        if license_ and len(license_) < 100:
            component["licenses"] = [{"license": {"name": license_}}]
        yield component


def debian_packages(base: Path) -> Iterator[Component]:
    """Yield a component for each Debian package of the base, if it has any."""
    database = base / "var/lib/dpkg"
    # Distroless images have one file per package instead of one list.
    files = [database / "status", *sorted((database / "status.d").glob("*"))]
    distribution = _os_release(base)
    for file in files:
        if not file.is_file() or file.suffix == ".md5sums":
            continue
        for paragraph in file.read_text(encoding="utf-8", errors="replace").split("\n\n"):
            fields = email.parser.HeaderParser().parsestr(paragraph.lstrip("\n"))
            if fields["Package"] and "not-installed" not in (fields["Status"] or ""):
                name, version = fields["Package"], fields["Version"] or ""
                yield {
                    "type": "library",
                    "name": name,
                    "version": version,
                    "purl": f"pkg:deb/debian/{name}@{version.replace('+', '%2B')}"
                    f"?arch={fields['Architecture']}&distro={distribution}",
                }


def _os_release(base: Path) -> str:
    try:
        lines = (base / "etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown"
    values = dict(line.split("=", 1) for line in lines if "=" in line)
    return f"{values.get('ID', 'unknown')}-{values.get('VERSION_ID', '')}".replace('"', "").rstrip("-")


def engine_files(engine: Path) -> Iterator[Component]:
    """Yield a component for each file of the engine, with its digest. Links are no content of their own."""
    for path in sorted(engine.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            yield {
                "type": "file",
                "name": f"/{path.relative_to(engine)}",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            }


def document(components: Iterable[Component]) -> dict[str, Any]:
    """Return the whole document; its serial number is made of its content."""
    ordered = sorted(components, key=lambda each: (each["type"], each["name"], each.get("version", "")))
    for component in ordered:
        component["bom-ref"] = component.get("purl") or component["name"]
    content = json.dumps(ordered, sort_keys=True)
    own = next((each for each in ordered if each["name"] == "ollama-worker"), {"version": "unknown"})
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "name": "pasture-ollama",
                "version": own["version"],
                "bom-ref": "image",
            }
        },
        "components": ordered,
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environment", type=Path, required=True, help="the worker's dependencies")
    parser.add_argument("--worker", type=Path, required=True, help="the worker itself")
    parser.add_argument("--engine", type=Path, required=True, help="what was taken of the official image")
    parser.add_argument("--base", type=Path, required=True, help="the base's file system")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    components = [
        *python_packages([options.environment, options.worker]),
        *debian_packages(options.base),
        *engine_files(options.engine),
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(document(components), indent=1) + "\n", encoding="utf-8")
    print(f"{options.output}: {len(components)} components")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
