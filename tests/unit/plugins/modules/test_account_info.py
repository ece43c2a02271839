# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the account offers, read from EC2's and Service Quotas' answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
from botocore.exceptions import ClientError

from ansible_collections.pasture.ollama.plugins.module_utils._aws import AwsError
from ansible_collections.pasture.ollama.plugins.module_utils._instances import CANDIDATES
from ansible_collections.pasture.ollama.plugins.modules import account_info
from ansible_collections.pasture.ollama.plugins.modules.account_info import describe, read_quotas

TYPE = {
    "InstanceType": "c7i.xlarge",
    "VCpuInfo": {"DefaultVCpus": 4},
    "MemoryInfo": {"SizeInMiB": 8192},
    "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
}


class Pages:
    """A client whose pages have these elements, or that refuses."""

    def __init__(self, *elements: dict[str, Any], refusal: str = "") -> None:
        self.elements = elements
        self.refusal = refusal
        self.asked: list[dict[str, Any]] = []

    def pages(self, operation: str, key: str, /, **arguments: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(arguments)
        if self.refusal:
            error = {"Error": {"Code": self.refusal, "Message": "no"}}
            raise AwsError(operation, ClientError(error, operation))
        yield from self.elements


class Module:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_types_are_asked_for_by_a_filter_so_that_an_unknown_one_is_no_error() -> None:
    api: Any = Pages(TYPE)
    found = describe(api, ["c7i.xlarge", "g9.huge"])
    assert list(found) == ["c7i.xlarge"]
    assert api.asked == [{"Filters": [{"Name": "instance-type", "Values": ["c7i.xlarge", "g9.huge"]}]}]


def test_a_filter_takes_two_hundred_values() -> None:
    api: Any = Pages()
    describe(api, [f"t{number}.micro" for number in range(401)])
    assert [len(asked["Filters"][0]["Values"]) for asked in api.asked] == [200, 200, 1]


def test_without_types_nothing_is_asked() -> None:
    api: Any = Pages()
    assert describe(api, []) == {}
    assert api.asked == []


def test_candidates_are_whole_nvidia_gpus_on_x86() -> None:
    assert not [pattern for pattern in CANDIDATES if pattern.startswith(("g4ad", "g5g", "g6f", "inf", "trn"))]


def test_quotas_that_cannot_be_read_are_a_warning() -> None:
    module, refusing = Module(), Pages(refusal="AccessDeniedException")
    assert read_quotas(module, refusing) == {"on-demand": [], "spot": []}  # type: ignore[arg-type]
    assert module.warnings == [
        "The account's vCPU quotas were not checked: Service Quotas answered AccessDeniedException."
    ]


def test_quotas_are_read_by_name() -> None:
    api: Any = Pages({"QuotaName": "Running On-Demand G and VT instances", "Value": 64.0})
    found = read_quotas(Module(), api)["on-demand"]
    assert found == [{"name": "Running On-Demand G and VT instances", "classes": ["g", "vt"], "vcpus": 64}]


def test_buckets_that_cannot_be_adopted_are_told_with_the_reason(run: Callable[..., dict[str, Any]]) -> None:
    for name, region in (("here", "eu-west-1"), ("elsewhere", "eu-central-1")):
        boto3.client("s3", region_name=region).create_bucket(
            Bucket=name, CreateBucketConfiguration={"LocationConstraint": region}
        )
    told = run(account_info, buckets=["here", "elsewhere", "nowhere", "", "No_Name"], quotas=False)["buckets"]
    assert told == {
        "here": "",
        "elsewhere": (
            "Bucket elsewhere cannot be adopted: it is in eu-central-1 and the stack in eu-west-1; both must be in "
            "one region."
        ),
        "nowhere": (
            "Bucket nowhere cannot be adopted: there is no such bucket; make it first, or give no name to have one "
            "made."
        ),
    }


def test_somebody_elses_bucket_cannot_be_adopted(
    run: Callable[..., dict[str, Any]], refuse: Callable[..., None]
) -> None:
    refuse("HeadBucket", "403")
    told = run(account_info, buckets=["theirs"], quotas=False)["buckets"]
    assert "it exists but is not this account's" in told["theirs"]
