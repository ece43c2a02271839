#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_image
version_added: 1.0.0
short_description: Build a container image from sources, or mirror one, and push it to a registry
description:
  - Builds an image with podman or docker, pushes it, and returns its digest.
  - The tag is made from the contents of the sources, the build arguments, the platform and the options of the
    push. When the registry has an image of that tag nothing is built and nothing is pushed, wherever it was
    built before.
  - With O(copy_from), an existing image is fetched and pushed instead, for accounts that cannot reach the
    registry it comes from.
  - The digest that is returned is the one that the registry names after the push, so that nothing refers to
    an image that did not arrive.
  - It exists because the modules of containers.podman and community.docker each know one tool, rebuild to
    find out whether something has changed, and want the registry's password as an option.
options:
  repository:
    description: The repository to push to, with its registry and without a tag. It exists already.
    type: str
    required: true
  source:
    description:
      - The folder to build from.
      - What its C(.dockerignore) keeps out of the build does not count for the tag either.
    type: path
  containerfile:
    description: The name of the file in O(source) that says how it is built.
    type: str
    default: Containerfile
  build_args:
    description: The build's arguments.
    type: dict
    default: {}
  labels:
    description: Labels for the image, besides those that the Containerfile gives it. They count for the tag.
    type: dict
    default: {}
  secrets:
    description:
      - Files that the build may read and that do not become part of the image, by the name that it knows
        them under.
      - They do not count for the tag.
    type: dict
    default: {}
  copy_from:
    description: An image to mirror instead of building one. Name it by its digest.
    type: str
  platform:
    description: What the image is for.
    type: str
    choices: [linux/amd64, linux/arm64]
    default: linux/amd64
  tool:
    description: What to build and push with. V(auto) takes podman where it works, otherwise docker.
    type: str
    choices: [auto, podman, docker]
    default: auto
  build_options:
    description: More options for the tool's C(build) command, such as V(--isolation=chroot).
    type: list
    elements: str
    default: []
  push_options:
    description:
      - More options for the tool's C(push) command, such as V(--compression-format=zstd). They count for the tag.
    type: list
    elements: str
    default: []
  insecure:
    description: Talk to the registry without TLS. For a registry on this machine.
    type: bool
    default: false
  username:
    description:
      - The user's name at the registry.
      - Not needed for Amazon ECR, where the AWS credentials in use get a login of twelve hours, nor when you
        are logged in to the registry.
    type: str
  password:
    description: The password at the registry.
    type: str
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Build the worker's image and push it, unless the registry has it
  pasture.ollama.container_image:
    source: "{{ playbook_dir }}/image"
    repository: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture-docs
    build_args:
      VARIANT: cuda_v13
  register: built

- name: Show what to run
  ansible.builtin.debug:
    msg: "{{ built.container_image.image }}"

- name: Keep a copy of a base where an account without Internet can reach it
  pasture.ollama.container_image:
    copy_from: docker.io/ollama/ollama@sha256:32931b46719f673c05fdbaa81ccb26da18ea4a1c57590a754874ab28ba269eb2
    repository: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture-docs-bases
"""

RETURN = r"""
container_image:
  description: The image as the registry has it, or in check mode as it would be.
  returned: always
  type: dict
  contains:
    image:
      description: The image by its digest. What a task definition should name.
      type: str
      returned: always
      sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture-docs@sha256:93f9...
    tag:
      description: The tag that was made from the contents.
      type: str
      returned: always
      sample: 5b1f0c9d2e7a4b36
    digest:
      description: The digest of the image's manifest.
      type: str
      returned: always
      sample: sha256:93f9...
"""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._container_sources import content_tag
from ansible_collections.pasture.ollama.plugins.module_utils._container_tool import Tool, find_tool
from ansible_collections.pasture.ollama.plugins.module_utils._registry import (
    Registry,
    Repository,
    encode_login,
    login_files,
    parse_repository,
    stored_login,
)
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    Resource,
    State,
    ensure_all,
    report,
)
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown, unknown


class ContainerImage(Resource):
    """An image of one tag in one repository; what it is made of never changes under a tag."""

    kind = "container image"

    def __init__(self, module: Any, tag: str) -> None:
        self.module = module
        self.params = module.params
        self.repository_name = self.params["repository"]
        self.tag = tag
        super().__init__(f"{self.repository_name}:{tag}")
        self._login: str | None = None
        self._login_known = False

    def read(self) -> State | None:
        repository = parse_repository(self.repository_name)
        registry = Registry(repository.host, self.login(repository), self.params["insecure"])
        digest = registry.digest(repository.name, self.tag)
        return {"image": f"{repository}@{digest}", "tag": self.tag, "digest": digest} if digest else None

    def wanted(self, current: State | None) -> State:
        return {"tag": self.tag}

    def computed(self) -> State:
        return {"image": unknown("container image"), "digest": unknown("digest of the container image")}

    def create(self, wanted: State) -> None:
        params = self.params
        repository = parse_repository(self.repository_name)
        name = find_tool(params["tool"], self._run)
        # Docker has no such option: its daemon's settings say which registries it talks to without TLS.
        insecure = ["--tls-verify=false"] if params["insecure"] and name == "podman" else []
        options = {
            "build": params["build_options"],
            "pull": insecure,
            "push": [*insecure, *params["push_options"]],
        }
        tool = Tool(name, self._run, options)
        login = self.login(repository) if self._own_login(repository) else None
        self._make(tool, repository.host, login)
        made_for, wanted_for = tool.architecture(self.name), params["platform"].partition("/")[2]
        if made_for != wanted_for:
            raise Refusal(
                f"it was made for {made_for} where {wanted_for} is wanted, so it was not pushed: a base was "
                "given that is for one architecture only. Give the digest of its multi-architecture "
                "index, or the one for this architecture"
            )
        tool.push(self.name, repository.host, login)

    def settle(self, present: bool) -> None:
        if self.read() is None:
            raise Refusal("the registry does not list it after the push")

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        raise AssertionError("a tag that is made from the contents is never changed")

    def delete(self, current: State) -> None:
        raise AssertionError("images go with their repository")

    def _make(self, tool: Tool, host: str, login: str | None) -> None:
        params = self.params
        if params["copy_from"]:
            tool.copy(params["copy_from"], self.name, params["platform"])
        else:
            arguments = texts(params["build_args"])
            # A login hides those that the user has, so that it is given only where the bases need it.
            mirrored = any(value.startswith(f"{host}/") for value in arguments.values())
            folder = Path(params["source"])
            tool.build(
                folder,
                params["containerfile"],
                self.name,
                params["platform"],
                arguments=arguments,
                labels=texts(params["labels"]),
                secrets=params["secrets"],
                host=host,
                login=login if mirrored else None,
            )

    def _own_login(self, repository: Repository) -> bool:
        return bool(repository.ecr or self.params["username"])

    def login(self, repository: Repository) -> str | None:
        """C(user:password) in base64 for the registry, or None where nobody is logged in.

        :raises AwsError: when ECR gives none.
        """
        if not self._login_known:
            if self.params["username"]:
                self._login = encode_login(self.params["username"], self.params["password"])
            elif repository.ecr:
                answer = Api(self.module, "ecr").call("get_authorization_token") or {}
                self._login = answer["authorizationData"][0]["authorizationToken"]
                # Ansible then takes the password out of everything that it returns or logs.
                self.module.no_log_values.update({self._login, base64.b64decode(self._login).decode()[4:]})
            else:
                self._login = stored_login(repository.host, login_files(os.environ))
            self._login_known = True
        return self._login

    def _run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
        code, output, errors = self.module.run_command(
            list(command), environ_update=dict(environment), handle_exceptions=False
        )
        return int(code), str(output), str(errors)


def texts(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Build arguments as texts, the way the tools take them."""
    return {key: str(value) for key, value in arguments.items()}


def tag_of(params: Mapping[str, Any]) -> str:
    """The tag for what is asked.

    :raises Refusal: when the folder holds nothing to build.
    """
    if params["copy_from"]:
        return hashlib.sha256(f"{params['platform']} {params['copy_from']}".encode()).hexdigest()[:16]
    folder = Path(params["source"])
    if not (folder / params["containerfile"]).is_file():
        raise Refusal(f"{folder} has no {params['containerfile']} to build from")
    arguments = texts({**params["build_args"], **params["labels"]})
    if params["push_options"]:
        arguments["push_options"] = " ".join(params["push_options"])
    return content_tag(folder, arguments, params["platform"])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "repository": {"type": "str", "required": True},
            "source": {"type": "path"},
            "containerfile": {"type": "str", "default": "Containerfile"},
            "build_args": {"type": "dict", "default": {}},
            "labels": {"type": "dict", "default": {}},
            "secrets": {"type": "dict", "default": {}, "no_log": False},
            "copy_from": {"type": "str"},
            "platform": {"type": "str", "choices": ["linux/amd64", "linux/arm64"], "default": "linux/amd64"},
            "tool": {"type": "str", "choices": ["auto", "podman", "docker"], "default": "auto"},
            "build_options": {"type": "list", "elements": "str", "default": []},
            "push_options": {"type": "list", "elements": "str", "default": []},
            "insecure": {"type": "bool", "default": False},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
        },
        required_one_of=[("source", "copy_from")],
        mutually_exclusive=[("source", "copy_from")],
        required_together=[("username", "password")],
        supports_check_mode=True,
    )
    try:
        tag = tag_of(module.params)
        if not is_unknown(module.params["repository"]):
            parse_repository(module.params["repository"])
    except Refusal as error:
        module.fail_json(msg=f"The image cannot be made: {error}.")
    report(module, "container_image", ensure_all(module, [ContainerImage(module, tag)], "present"))


if __name__ == "__main__":
    main()
