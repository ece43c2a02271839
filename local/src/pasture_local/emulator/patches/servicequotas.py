# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Service Quotas."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.servicequotas import models, responses
from moto.servicequotas.exceptions import NoSuchResource

from pasture_local.emulator.patches._patch import Patch

# The vCPU quotas of EC2, whose codes are the same in every account and region:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-quotas.html
_VCPU_QUOTAS = {
    "L-1216C47A": "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
    "L-34B43A08": "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
    "L-DB2E81BA": "Running On-Demand G and VT instances",
    "L-3819A6DF": "All G and VT Spot Instance Requests",
    "L-417A185B": "Running On-Demand P instances",
    "L-7212CCBC": "All P4, P3 and P2 Spot Instance Requests",
    "L-C4BD4855": "All P5 Spot Instance Requests",
    "L-1945791B": "Running On-Demand Inf instances",
    "L-B5D1601B": "All Inf Spot Instance Requests",
    "L-2C3B7624": "Running On-Demand Trn instances",
    "L-6B0D517C": "All Trn Spot Instance Requests",
}
# Enough for any stack; a new account has 5 for Standard and 0 for G and P until it asks for more.
_VCPUS = 1152.0


def ec2_quotas(original: Callable[..., Any], self: Any, service_code: str) -> Any:
    """moto has the quotas of VPC only.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListAWSDefaultServiceQuotas.html
    """
    if service_code != "ec2":
        return original(self, service_code)
    return [
        {
            "ServiceCode": "ec2",
            "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
            "QuotaArn": f"arn:aws:servicequotas:{self.region_name}:{self.account_id}:ec2/{code}",
            "QuotaCode": code,
            "QuotaName": name,
            "Value": _VCPUS,
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
        }
        for code, name in _VCPU_QUOTAS.items()
    ]


def one_quota(_: Any, self: Any, service_code: str, quota_code: str) -> Any:
    """moto has the quotas of VPC only.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    for quota in self.list_aws_default_service_quotas(service_code):
        if quota["QuotaCode"] == quota_code:
            return quota
    raise NoSuchResource


def list_quotas(_: Any, self: Any) -> str:
    """moto lacks ListServiceQuotas.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_ListServiceQuotas.html
    """
    quotas = self.backend.list_aws_default_service_quotas(self._get_param("ServiceCode"))
    return json.dumps({"Quotas": quotas})


def default_quota(_: Any, self: Any) -> str:
    """moto lacks GetAWSDefaultServiceQuota.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetAWSDefaultServiceQuota.html
    """
    quota = self.backend.get_service_quota(self._get_param("ServiceCode"), self._get_param("QuotaCode"))
    return json.dumps({"Quota": quota})


PATCHES = (
    Patch("quotas-ec2", models.ServiceQuotasBackend, "list_aws_default_service_quotas", ec2_quotas),
    Patch("quotas-one", models.ServiceQuotasBackend, "get_service_quota", one_quota),
    Patch("quotas-list", responses.ServiceQuotasResponse, "list_service_quotas", list_quotas),
    Patch("quotas-default", responses.ServiceQuotasResponse, "get_aws_default_service_quota", default_quota),
)
