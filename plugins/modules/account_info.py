#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: account_info
version_added: 1.0.0
short_description: Read what an AWS account and region offer to a stack
description:
  - Reads, in one process, who the credentials belong to, the facts of instance types, the vCPU quotas, and
    whether buckets can be adopted.
  - It exists because the role P(pasture.ollama.preflight#role) needs all of them before anything is made.
    There is no module for quotas, and none that takes an unknown instance type for an answer rather than
    an error.
options:
  instance_types:
    description:
      - The names of the instance types to describe. One that the region does not have is left out.
    type: list
    elements: str
    default: []
  candidates:
    description:
      - Also describe the GPU types that P(pasture.ollama.processors#filter) proposes when one does not fit.
    type: bool
    default: false
  quotas:
    description: Also read the quotas of vCPUs.
    type: bool
    default: true
  buckets:
    description:
      - The names of buckets that are to be adopted. Empty names, and those that no bucket can have, are not asked for.
    type: list
    elements: str
    default: []
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common.info
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: See what the account offers
  pasture.ollama.account_info:
    instance_types: [g5.xlarge, c7i.xlarge]
  register: account
"""

RETURN = r"""
account_id:
  description: The number of the account.
  returned: always
  type: str
  sample: "123456789012"
partition:
  description: The partition that ARNs of this account begin with.
  returned: always
  type: str
  sample: aws
region:
  description: The region that was asked.
  returned: always
  type: str
  sample: eu-west-1
instance_types:
  description: The instance types that the region has, by name.
  returned: always
  type: dict
  sample:
    g5.xlarge:
      name: g5.xlarge
      vcpus: 4
      memory_mib: 16384
      architecture: x86_64
      gpu_count: 1
      gpu_memory_mib: 22888
      gpu_manufacturer: NVIDIA
      network_interfaces: 4
      markets: [on-demand, spot]
quotas:
  description:
    - The quotas of vCPUs by market.
    - Empty lists when O(quotas=false), and with a warning where Service Quotas could not be read.
  returned: always
  type: dict
  sample:
    on-demand:
      - name: Running On-Demand G and VT instances
        classes: [g, vt]
        vcpus: 64
    spot: []
buckets:
  description: For each of O(buckets) that was asked for, a sentence why it cannot be adopted. Empty when it can.
  returned: always
  type: dict
  sample:
    scans-of-2026: ""
    invoices: >-
      Bucket invoices cannot be adopted: there is no such bucket; make it first, or give no name to have one made.
"""

from collections.abc import Sequence
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api, AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._instances import (
    CANDIDATES,
    from_ec2,
    vcpu_quotas,
)
from ansible_collections.pasture.ollama.plugins.module_utils._names import bucket_problems
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal
from ansible_collections.pasture.ollama.plugins.module_utils._s3 import NOT_THERE, Bucket

# A filter takes at most 200 values.
_FILTER_VALUES = 200


def describe(api: Api, patterns: Sequence[str]) -> dict[str, Any]:
    """The instance types that match, by name.

    A filter, unlike a list of names, says nothing of names that do not exist, and takes wildcards.
    """
    found: dict[str, Any] = {}
    for start in range(0, len(patterns), _FILTER_VALUES):
        values = list(patterns[start : start + _FILTER_VALUES])
        filters = [{"Name": "instance-type", "Values": values}]
        for described in api.pages("describe_instance_types", "InstanceTypes", Filters=filters):
            instance = from_ec2(described)
            found[instance.name] = instance.as_dict()
    return found


def read_quotas(module: Any, api: Api) -> dict[str, Any]:
    """The vCPU quotas; nothing, and a warning, where they cannot be read, since not all may read them."""
    try:
        return vcpu_quotas(api.pages("list_service_quotas", "Quotas", ServiceCode="ec2"))
    except AwsError as error:
        module.warn(f"The account's vCPU quotas were not checked: Service Quotas answered {error.code}.")
        return vcpu_quotas([])


def unadoptable(api: Api, names: Sequence[str], owner: str) -> dict[str, str]:
    """A sentence for each bucket that this account cannot adopt; empty for those that it can."""
    possible = [name for name in dict.fromkeys(names) if name and not any(bucket_problems([name]))]
    return {name: _why_not(Bucket(api, {"name": name}, owner, "", "")) for name in possible}


def _why_not(bucket: Bucket) -> str:
    try:
        reason = "" if bucket.exists() else NOT_THERE
    except Refusal as refusal:
        reason = str(refusal)
    return f"Bucket {bucket.name} cannot be adopted: {reason}." if reason else ""


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "instance_types": {"type": "list", "elements": "str", "default": []},
            "candidates": {"type": "bool", "default": False},
            "quotas": {"type": "bool", "default": True},
            "buckets": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    sts, ec2, quotas = Api(module, "sts"), Api(module, "ec2"), Api(module, "service-quotas")
    names = module.params["buckets"]
    patterns = sorted(
        {*module.params["instance_types"], *(CANDIDATES if module.params["candidates"] else ())}
    )
    try:
        identity = sts.call("get_caller_identity") or {}
        instance_types = describe(ec2, patterns)
        buckets = unadoptable(Api(module, "s3"), names, identity["Account"]) if any(names) else {}
    except AwsError as error:
        remedy = f" To mend it: {error.remedy}." if error.remedy else ""
        module.fail_json(msg=f"The account could not be read ({error}).{remedy}", error_code=error.code)
    module.exit_json(
        changed=False,
        account_id=identity["Account"],
        partition=identity["Arn"].split(":")[1],
        region=ec2.region,
        instance_types=instance_types,
        quotas=read_quotas(module, quotas) if module.params["quotas"] else vcpu_quotas([]),
        buckets=buckets,
    )


if __name__ == "__main__":
    main()
