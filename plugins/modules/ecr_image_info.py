#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ecr_image_info
version_added: 1.0.0
short_description: Find the digest of an image
description:
  - Turns the name of an image into one with its digest, which means the same image for ever. A name that has
    a digest already stays as it is and AWS is not asked; a tag is looked up in Amazon ECR, in the account and
    region that the name says.
  - It exists because community.aws has modules for repositories only.
options:
  image:
    description: The image, such as V(123456789012.dkr.ecr.eu-west-1.amazonaws.com/ollama-worker:1.0.0).
    type: str
    required: true
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common.info
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Pin an image
  pasture.ollama.ecr_image_info:
    image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/ollama-worker:1.0.0
  register: pinned
"""

RETURN = r"""
image:
  description: The image with its digest.
  returned: always
  type: str
  sample: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture@sha256:9f86d081884c7d65...
digest:
  description: The digest alone.
  returned: always
  type: str
  sample: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

import re
from dataclasses import dataclass

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError

_DIGEST = re.compile(r"^[^@\s]+@(sha256:[0-9a-f]{64})$")
_ECR = re.compile(
    r"^(?P<registry>\d{12})\.dkr[.-]ecr\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
    r"/(?P<repository>[a-z0-9/._-]+?)(?::(?P<tag>[\w.-]{1,128}))?$"
)


@dataclass(frozen=True)
class EcrImage:
    """An image in Amazon ECR, by its tag."""

    registry: str
    region: str
    repository: str
    tag: str


def digest_of(image: str) -> str | None:
    """The digest that the name has; None when it has none."""
    match = _DIGEST.match(image)
    return match[1] if match else None


def parse(image: str) -> EcrImage:
    """The parts of an image's name.

    :raises ValueError: with a sentence, when it is not in Amazon ECR.
    """
    match = _ECR.match(image)
    if match is None:
        raise ValueError(
            f"Image {image} has no digest, and only tags in Amazon ECR can be looked up. Name it by its digest "
            "(repository@sha256:...), which `docker buildx imagetools inspect` or `skopeo inspect` tells"
        )
    return EcrImage(match["registry"], match["region"], match["repository"], match["tag"] or "latest")


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={"image": {"type": "str", "required": True}}, supports_check_mode=True
    )
    image: str = module.params["image"]
    digest = digest_of(image)
    if digest:
        module.exit_json(changed=False, image=image, digest=digest)
    try:
        wanted = parse(image)
        module.params["region"] = wanted.region
        answer = Api(module, "ecr").call(
            "describe_images",
            missing=["ImageNotFoundException", "RepositoryNotFoundException"],
            registryId=wanted.registry,
            repositoryName=wanted.repository,
            imageIds=[{"imageTag": wanted.tag}],
        )
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    except AwsError as error:
        module.fail_json_aws(error.cause, msg=f"Image {image} could not be looked up. {error.remedy}")
    details = (answer or {}).get("imageDetails") or []
    if not details:
        module.fail_json(
            msg=f"There is no image {wanted.repository}:{wanted.tag} in the registry of account {wanted.registry} in "
            f"{wanted.region}; push it, or check the name."
        )
    repository = image.rpartition(":")[0] if image.endswith(f":{wanted.tag}") else image
    digest = details[0]["imageDigest"]
    module.exit_json(changed=False, image=f"{repository}@{digest}", digest=digest)


if __name__ == "__main__":
    main()
