# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The digest of an image: told by its name, or looked up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from ansible_collections.pasture.ollama.plugins.modules import ecr_image_info

Run = Callable[..., dict[str, Any]]
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{'a' * 64}"


@pytest.fixture
def pushed(run: Run) -> str:
    """Pushes an image, and returns its digest."""
    assert run
    ecr = boto3.client("ecr")
    ecr.create_repository(repositoryName="tools/worker")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": DIGEST},
        "layers": [],
    }
    answer = ecr.put_image(
        repositoryName="tools/worker", imageTag="1.0.0", imageManifest=json.dumps(manifest)
    )
    return str(answer["image"]["imageId"]["imageDigest"])


@pytest.mark.parametrize("repository", [f"{REGISTRY}/worker", "ghcr.io/a/b", "127.0.0.1:5000/worker"])
def test_a_digest_is_taken_as_it_is_wherever_the_image_lies(run: Run, refuse: Any, repository: str) -> None:
    refuse("DescribeImages", "AccessDeniedException")
    found = run(ecr_image_info, image=f"{repository}@{DIGEST}")
    assert found == {"changed": False, "image": f"{repository}@{DIGEST}", "digest": DIGEST}


def test_a_tag_is_looked_up(run: Run, pushed: str) -> None:
    found = run(ecr_image_info, image=f"{REGISTRY}/tools/worker:1.0.0")
    assert found["image"] == f"{REGISTRY}/tools/worker@{pushed}"


@pytest.mark.parametrize("name", ["tools/worker:2.0.0", "tools/worker", "tools/other:1.0.0"])
def test_an_image_that_is_not_there_is_named(run: Run, pushed: str, name: str) -> None:
    assert pushed
    assert (
        f"There is no image {name.split(':', maxsplit=1)[0]}:"
        in run(ecr_image_info, image=f"{REGISTRY}/{name}")["msg"]
    )


@pytest.mark.parametrize("image", ["ghcr.io/a/b:1.0.0", "worker", f"{REGISTRY}/worker@sha256:abc", ""])
def test_a_moving_name_elsewhere_is_refused_with_what_to_do(run: Run, image: str) -> None:
    assert "Name it by its digest" in run(ecr_image_info, image=image)["msg"]


def test_access_denied_says_what_is_missing(run: Run, refuse: Callable[..., None]) -> None:
    refuse("DescribeImages", "AccessDeniedException")
    failed = run(ecr_image_info, image=f"{REGISTRY}/tools/worker:1.0.0")
    assert "could not be looked up" in failed["msg"]
    assert "lists the IAM actions" in failed["msg"]
