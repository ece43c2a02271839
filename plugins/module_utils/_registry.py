# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Questions to a container registry, by the distribution API that all of them have.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md

For internal use of this collection only.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.module_utils.urls import open_url

from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal

_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)

# https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
_ECR = re.compile(r"^(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$")

_TIMEOUT = 30


@dataclass(frozen=True)
class Repository:
    """Where an image is kept, such as C(registry.example.com:5000/team/name)."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    @property
    def ecr(self) -> tuple[str, str] | None:
        """Account and region, when this is in Amazon ECR."""
        match = _ECR.match(self.host)
        return (match[1], match[2]) if match else None


def parse_repository(text: str) -> Repository:
    """Take a repository's name apart.

    :raises Refusal: when it has no host, or has a tag or a digest.
    """
    host, _slash, name = text.partition("/")
    if not name or not (set(host) & {".", ":"} or host == "localhost"):
        raise Refusal(
            f"'{text}' does not name a registry: write it as host/name, such as registry.example.com/worker"
        )
    if "@" in name or ":" in name:
        raise Refusal(
            f"'{text}' has a tag or a digest: give the repository alone, the tag is made from the sources"
        )
    return Repository(host, name)


def login_files(environment: Mapping[str, str]) -> list[Path]:
    """Where C(podman login) and C(docker login) leave what they were told, most specific first."""
    home = Path(environment.get("HOME") or "/")
    runtime = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    candidates = [
        Path(environment["REGISTRY_AUTH_FILE"]) if environment.get("REGISTRY_AUTH_FILE") else None,
        Path(runtime) / "containers/auth.json",
        Path("/run/containers") / str(os.getuid()) / "auth.json",
        home / ".config/containers/auth.json",
        Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json",
    ]
    return [path for path in candidates if path is not None]


def stored_login(host: str, files: list[Path]) -> str | None:
    """What a login of the user's left for a registry: C(user:password) in base64, or None."""
    for path in files:
        try:
            logins: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")).get("auths", {})
        except (OSError, ValueError):
            continue
        for key in (host, f"https://{host}", f"https://{host}/v1/"):
            if logins.get(key, {}).get("auth"):
                return str(logins[key]["auth"])
    return None


def encode_login(username: str, password: str) -> str:
    """A login the way it is stored."""
    return base64.b64encode(f"{username}:{password}".encode()).decode()


class Registry:
    """One registry.

    :param login: C(user:password) in base64, or None to come without.
    :param insecure: whether it is asked without TLS.
    """

    def __init__(self, host: str, login: str | None = None, insecure: bool = False) -> None:
        self.host = host
        self._base = f"{'http' if insecure else 'https'}://{host}"
        self._login = login

    def digest(self, name: str, tag: str) -> str | None:
        """The digest of an image's manifest; None when there is no image of that tag.

        :raises Refusal: when the registry cannot be asked or refuses to answer.
        """
        url = f"{self._base}/v2/{name}/manifests/{tag}"
        headers = {"Accept": ", ".join(_MANIFESTS)}
        if self._login:
            headers["Authorization"] = f"Basic {self._login}"
        response = self._head(url, headers)
        if response.status == 401 and response.challenge.lower().startswith("bearer"):
            headers["Authorization"] = f"Bearer {self._token(response.challenge)}"
            response = self._head(url, headers)
        if response.status == 404:
            return None
        if response.status in (401, 403):
            raise Refusal(
                f"the registry {self.host} refuses to say what {name} holds (HTTP {response.status}): "
                + refusal_remedy(self.host)
            )
        if response.status != 200 or not response.digest:
            raise Refusal(
                f"the registry {self.host} answered HTTP {response.status} when asked for {name}:{tag}"
            )
        return response.digest

    def _head(self, url: str, headers: dict[str, str]) -> _Answer:
        try:
            response = open_url(url, method="HEAD", headers=headers, timeout=_TIMEOUT)
        except HTTPError as error:
            return _Answer(error.code, "", error.headers.get("WWW-Authenticate") or "")
        except (URLError, OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Refusal(
                f"the registry {self.host} cannot be reached ({reason}): check its name and the network"
            ) from error
        return _Answer(response.status, response.headers.get("Docker-Content-Digest") or "", "")

    def _token(self, challenge: str) -> str:
        """A token of the kind that hosted registries ask for: https://distribution.github.io/distribution/spec/auth/token/"""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = urlencode({key: fields[key] for key in ("service", "scope") if key in fields})
        headers = {"Authorization": f"Basic {self._login}"} if self._login else {}
        try:
            answer = json.load(open_url(f"{fields['realm']}?{query}", headers=headers, timeout=_TIMEOUT))
        except (HTTPError, URLError, OSError, ValueError, KeyError) as error:
            raise Refusal(
                f"the registry {self.host} gave no token ({error}): " + refusal_remedy(self.host)
            ) from error
        return str(answer.get("token") or answer.get("access_token") or "")


@dataclass(frozen=True)
class _Answer:
    status: int
    digest: str
    challenge: str


def refusal_remedy(host: str) -> str:
    """What to do about a registry that does not let us in."""
    if _ECR.match(host):
        return "the credentials in use lack an ECR action; the image role's README lists them"
    return f"log in with 'podman login {host}' or 'docker login {host}', or give a username and password"
