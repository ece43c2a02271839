# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Building and pushing with podman or docker, and what their failures mean.

For internal use of this collection only.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ansible_collections.pasture.ollama.plugins.module_utils._registry import refusal_remedy
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal

#: Runs a command with more environment: return code, standard output, standard error.
Run = Callable[[Sequence[str], Mapping[str, str]], tuple[int, str, str]]

TOOLS = ("podman", "docker")

# Lines that are shown of an output that says nothing known: enough to hold a message of pip's.
_TAIL = 15


def explain(doing: str, output: str, host: str = "") -> str:
    """Turn what a tool wrote before it failed into a sentence that a user can act on.

    :param doing: what was attempted, such as C(push to registry.example.com/worker).
    """
    text = output.lower()
    if "no space left on device" in text:
        return (
            f"the disk is full, so the {doing} was given up. An image with CUDA needs about 12 GB while it "
            "is built: free some, such as by 'podman system prune' or 'docker system prune'"
        )
    # BuildKit puts step and second before each line, and has errors of its own that begin alike.
    own: list[str] = re.findall(r"^(?:#\d+ [\d.]+ )?ERROR: (?!failed to )(.*)$", output, re.MULTILINE)
    if own:
        # The scripts of the Containerfile say themselves what is wrong with a base.
        return own[-1].rstrip(".")
    if re.search(r"tag .*(immutable|already exists)|imagetagalreadyexists", text):
        return (
            f"the {doing} was refused because the tag exists already: somebody pushed it meanwhile. Run again"
        )
    if re.search(r"unauthorized|authentication required|denied|no basic auth|forbidden|\b40[13]\b", text):
        return f"the registry refused the {doing}: {refusal_remedy(host)}. It said: {last_line(output)}"
    if "method not allowed" in text:
        return (
            f"the registry refused the {doing}: it takes none, being a mirror or read-only for now. "
            f"It said: {last_line(output)}"
        )
    if "exec format error" in text:
        return (
            f"the {doing} met a program for another architecture: either a base was given that is not for "
            "this platform, or this machine cannot run programs of that platform (install qemu-user-static)"
        )
    if re.search(
        r"manifest unknown|name unknown|image not known|not found: manifest|no such image|pull access"
        r"|sha256:[0-9a-f]{64}: not found",
        text,
    ):
        return (
            f"the {doing} needs an image that does not exist under this name or digest: {last_line(output)}"
        )
    if re.search(r"hashes? (do|does) not match|hash mismatch", text):
        return (
            f"the {doing} met a Python package that is not the one that was locked. Is the package index "
            "the one that it should be?"
        )
    if re.search(
        r"connection (refused|reset)|no such host|i/o timeout|network is unreachable|name resolution",
        text,
    ):
        return f"the {doing} could not reach what it needs: {last_line(output)}"
    tail = "\n".join(output.strip().splitlines()[-_TAIL:])
    return f"the {doing} failed:\n{tail}"


def last_line(output: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing"


class Tool:
    """Podman or docker.

    :param options: more options for each of its commands C(build) and C(push).
    """

    def __init__(self, name: str, run: Run, options: Mapping[str, Sequence[str]] | None = None) -> None:
        self.name = name
        self._run = run
        self._options = options or {}

    def build(
        self,
        folder: Path,
        containerfile: str,
        image: str,
        platform: str,
        *,
        arguments: Mapping[str, str],
        labels: Mapping[str, str],
        secrets: Mapping[str, str],
        host: str = "",
        login: str | None = None,
    ) -> None:
        """Build an image and give it a name.

        :param login: C(user:password) in base64 for the registry C(host), from which the bases come; None for
            what the user is logged in with.
        :raises Refusal: when that fails; nothing is left under the name.
        """
        command = [
            self.name,
            "build",
            "--platform",
            platform,
            "--tag",
            image,
            "--file",
            str(folder / containerfile),
        ]
        if self.name == "podman":
            # Podman's own format has no health check.
            command += ["--format", "docker"]
        for key, value in sorted(arguments.items()):
            command += ["--build-arg", f"{key}={value}"]
        for key, value in sorted(labels.items()):
            command += ["--label", f"{key}={value}"]
        for key, value in sorted(secrets.items()):
            command += ["--secret", f"id={key},src={value}"]
        # BuildKit would push an index with a second, unknown platform for its provenance.
        environment = {"DOCKER_BUILDKIT": "1", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
        command += [*self._options.get("build", ()), str(folder)]
        with login_file(host, login) as file:
            self._do("build", self._with_login(command, file), environment, host)

    def copy(self, source: str, image: str, platform: str) -> None:
        """Fetch an image and give it another name.

        :raises Refusal: when that fails.
        """
        pull = self._options.get("pull", ())
        self._do(f"pull of {source}", [self.name, "pull", "--quiet", "--platform", platform, *pull, source])
        self._do("tagging", [self.name, "tag", source, image])

    def architecture(self, image: str) -> str:
        """For which architecture an image says that it is, in the words of platforms: C(amd64), C(arm64)."""
        command = [self.name, "image", "inspect", "--format", "{{.Architecture}}", image]
        return self._do("look at the image", command).strip()

    def push(self, image: str, host: str, login: str | None) -> None:
        """Push an image. The registry lists it only once all of its layers are there.

        :param login: C(user:password) in base64; None for what the user is logged in with.
        :raises Refusal: when that fails.
        """
        options = self._options.get("push", ())
        with login_file(host, login) as file:
            command = self._with_login([self.name, "push", *options, image], file)
            self._do(f"push to {image}", command, host=host)

    def _with_login(self, command: Sequence[str], file: Path | None) -> list[str]:
        """A command that takes its login from a file."""
        if file is None:
            return list(command)
        if self.name == "podman":
            return [*command[:2], "--authfile", str(file), *command[2:]]
        # Another folder of settings would hide which daemon is meant.
        ask = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
        daemon = self._do("look at docker's context", ask).strip()
        return [command[0], "--config", str(file.parent), "--host", daemon, *command[1:]]

    def _do(
        self, doing: str, command: Sequence[str], environment: Mapping[str, str] | None = None, host: str = ""
    ) -> str:
        code, output, errors = self._run(command, environment or {})
        if code:
            raise Refusal(explain(doing, f"{output}\n{errors}", host))
        return output


def find_tool(wanted: str, run: Run) -> str:
    """The name of the tool to use: the one that is wanted, or with C(auto) the first that works.

    A docker command without its daemon, or without the right to talk to it, does not work.

    :raises Refusal: when there is none.
    """
    said = []
    for name in TOOLS if wanted == "auto" else (wanted,):
        try:
            code, output, errors = run([name, "info"], {})
        except OSError as error:
            code, output, errors = 127, "", str(error)
        if code == 0:
            return name
        said.append(f"{name}: {last_line(f'{output}{os.linesep}{errors}')}")
    raise Refusal(
        "neither podman nor docker works here, and one of them is needed to build the image "
        f"({'; '.join(said)}). Install podman, or give the URI of a ready image"
        if wanted == "auto"
        else f"{wanted} does not work here ({'; '.join(said)})"
    )


@contextmanager
def login_file(host: str, login: str | None) -> Iterator[Path | None]:
    """A file with one login, for this user's eyes only and gone afterwards.

    A password on a command line could be read by every user of the machine, and one that is piped to
    C(podman login) would stay in the user's own file.
    """
    if login is None:
        yield None
        return
    with TemporaryDirectory(prefix="pasture-login-") as folder:
        path = Path(folder) / "config.json"
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as stream:
            json.dump({"auths": {host: {"auth": login}}}, stream)
        yield path
