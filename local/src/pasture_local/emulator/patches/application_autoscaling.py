# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of Application Auto Scaling."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.applicationautoscaling import models, responses
from moto.cloudwatch import cloudwatch_backends

from pasture_local.emulator.patches._patch import Patch


def policy_names(original: Callable[[Any], str], self: Any) -> str:
    """moto ignores PolicyNames, and gives step scaling policies no alarms: those whose actions name the
    policy.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalingPolicies.html
    """
    response = json.loads(original(self))
    names = self._get_param("PolicyNames")
    if names:
        response["ScalingPolicies"] = [p for p in response["ScalingPolicies"] if p["PolicyName"] in names]
    alarms = cloudwatch_backends[self.current_account][self.region].alarms.values()
    for policy in response["ScalingPolicies"]:
        if policy["PolicyType"] == "StepScaling":
            policy["Alarms"] = [
                {"AlarmName": alarm.name, "AlarmARN": alarm.alarm_arn}
                for alarm in alarms
                if policy["PolicyARN"] in alarm.alarm_actions
            ]
    return json.dumps(response)


def _tags(backend: Any) -> dict[str, dict[str, str]]:
    if not hasattr(backend, "pasture_tags"):
        backend.pasture_tags = {}
    tags: dict[str, dict[str, str]] = backend.pasture_tags
    return tags


def tags_of(backend: Any, arn: str) -> dict[str, str]:
    """The tags of a scalable target."""
    return dict(_tags(backend).get(arn, {}))


def register_with_tags(original: Callable[[Any], str], self: Any) -> str:
    """moto drops the tags of a scalable target.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
    """
    response = original(self)
    arn = json.loads(response)["ScalableTargetARN"]
    _tags(self.applicationautoscaling_backend).setdefault(arn, {}).update(self._get_param("Tags") or {})
    return response


def list_tags(_: Any, self: Any) -> str:
    """moto lacks ListTagsForResource.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_ListTagsForResource.html
    """
    arn = self._get_param("ResourceARN")
    return json.dumps({"Tags": _tags(self.applicationautoscaling_backend).get(arn, {})})


def tag_resource(_: Any, self: Any) -> str:
    """moto lacks TagResource.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_TagResource.html
    """
    arn = self._get_param("ResourceARN")
    _tags(self.applicationautoscaling_backend).setdefault(arn, {}).update(self._get_param("Tags"))
    return "{}"


def untag_resource(_: Any, self: Any) -> str:
    """moto lacks UntagResource.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_UntagResource.html
    """
    tags = _tags(self.applicationautoscaling_backend).get(self._get_param("ResourceARN"), {})
    for key in self._get_param("TagKeys"):
        tags.pop(key, None)
    return "{}"


def scaling_activities(_: Any, _self: Any) -> str:
    """moto lacks DescribeScalingActivities. It scales nothing, so there are none.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DescribeScalingActivities.html
    """
    return json.dumps({"ScalingActivities": []})


def deregister(
    original: Callable[..., None], self: Any, namespace: str, resource_id: str, dimension: str
) -> None:
    """moto keeps the policies of a target that is deregistered.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_DeregisterScalableTarget.html
    """
    original(self, namespace, resource_id, dimension)
    for key, policy in list(self.policies.items()):
        if (policy.service_namespace, policy.resource_id, policy.scalable_dimension) == (
            namespace,
            resource_id,
            dimension,
        ):
            del self.policies[key]


def same_policy(
    original: Callable[..., Any],
    self: Any,
    policy_name: str,
    service_namespace: str,
    resource_id: str,
    scalable_dimension: str,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """moto gives a policy that is updated another ARN, so that the alarms that name it do no longer.

    https://docs.aws.amazon.com/autoscaling/application/APIReference/API_PutScalingPolicy.html
    """
    place = (service_namespace, resource_id, scalable_dimension)
    key = models.FakeApplicationAutoscalingPolicy.formulate_key(*place, policy_name)
    before = self.policies.get(key)
    policy = original(self, policy_name, *place, *args, **kwargs)
    if before is not None:
        policy.policy_arn = before.policy_arn
    return policy


_Response = responses.ApplicationAutoScalingResponse

PATCHES = (
    Patch("scaling-policy-names", _Response, "describe_scaling_policies", policy_names),
    Patch("scaling-target-tags", _Response, "register_scalable_target", register_with_tags),
    Patch("scaling-list-tags", _Response, "list_tags_for_resource", list_tags),
    Patch("scaling-tag", _Response, "tag_resource", tag_resource),
    Patch("scaling-untag", _Response, "untag_resource", untag_resource),
    Patch("scaling-activities", _Response, "describe_scaling_activities", scaling_activities),
    Patch("scaling-policy-arn", models.ApplicationAutoscalingBackend, "put_scaling_policy", same_policy),
    Patch(
        "scaling-deregister", models.ApplicationAutoscalingBackend, "deregister_scalable_target", deregister
    ),
)
