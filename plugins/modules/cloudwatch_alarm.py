#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_alarm
version_added: 1.0.0
short_description: Manage Amazon CloudWatch alarms, also on metric math
description:
  - Creates, changes or deletes metric alarms.
  - It exists because M(amazon.aws.cloudwatch_metric_alarm) reports a change on every run for an alarm on metric math,
    and to make the alarms of a whole stack in one process.
options:
  alarms:
    description: The alarms.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The alarm's name.
        type: str
        required: true
      description:
        description: What it means, and what to do.
        type: str
      metrics:
        description:
          - The metrics and expressions. Exactly one has O(alarms[].metrics[].return_data=true), and is what the alarm
            watches.
        type: list
        elements: dict
        suboptions:
          id:
            description: Its name within the alarm's expressions.
            type: str
            required: true
          expression:
            description: A metric-math expression.
            type: str
          label:
            description: What it is called in graphs.
            type: str
          namespace:
            description: The metric's namespace.
            type: str
          metric_name:
            description: The metric's name.
            type: str
          dimensions:
            description: The metric's dimensions.
            type: dict
          statistic:
            description: The metric's statistic.
            type: str
          return_data:
            description: Whether this is what the alarm watches.
            type: bool
            default: false
      period:
        description: The period of its metrics in seconds.
        type: int
        default: 60
      threshold:
        description: What it is compared with.
        type: float
      comparison:
        description: How it is compared.
        type: str
        choices:
          - GreaterThanOrEqualToThreshold
          - GreaterThanThreshold
          - LessThanThreshold
          - LessThanOrEqualToThreshold
      evaluation_periods:
        description: The number of periods that are looked at.
        type: int
        default: 1
      datapoints_to_alarm:
        description: How many of them must breach. All when not given.
        type: int
      missing_data:
        description: What a period without data counts as.
        type: str
        choices: [breaching, notBreaching, ignore, missing]
        default: missing
      alarm_actions:
        description: The ARNs of policies and topics to act on when it goes off.
        type: list
        elements: str
      ok_actions:
        description: The ARNs of topics to act on when it is over.
        type: list
        elements: str
      tags:
        description: Its tags.
        type: dict
  prefix:
    description: With O(scope), the alarms whose name begins with this are looked at.
    type: str
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - pasture.ollama.sets
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Watch the documents that wait or are worked on
  pasture.ollama.cloudwatch_alarm:
    alarms:
      - name: pasture-docs-summarize-outstanding
        metrics:
          - id: visible
            namespace: AWS/SQS
            metric_name: ApproximateNumberOfMessagesVisible
            dimensions: {QueueName: pasture-docs-summarize}
            statistic: Maximum
          - id: in_flight
            namespace: AWS/SQS
            metric_name: ApproximateNumberOfMessagesNotVisible
            dimensions: {QueueName: pasture-docs-summarize}
            statistic: Maximum
          - id: outstanding
            expression: visible + in_flight
            return_data: true
        threshold: 1
        comparison: GreaterThanOrEqualToThreshold
        missing_data: notBreaching
"""

RETURN = r"""
alarms:
  description: The listed alarms as they are now, or in check mode as they would be.
  returned: always
  type: list
  elements: dict
  sample:
    - name: pasture-docs-summarize-outstanding
      arn: arn:aws:cloudwatch:eu-west-1:123456789012:alarm:pasture-docs-summarize-outstanding
unlisted:
  description: The names of the alarms in scope that are not listed.
  returned: always
  type: list
  elements: str
removed:
  description: The names of those that were removed because they are not listed.
  returned: always
  type: list
  elements: str
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._events import apply_tags, read_tags
from ansible_collections.pasture.ollama.plugins.module_utils._resource import State
from ansible_collections.pasture.ollama.plugins.module_utils._sets import (
    SET_OPTIONS,
    SET_REQUIREMENTS,
    Candidate,
    Item,
    Tags,
    run_set,
)
from ansible_collections.pasture.ollama.plugins.module_utils._tags import upper_list
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown


def query_state(found: dict[str, Any]) -> dict[str, Any]:
    """A metric or expression of an alarm in the terms of the module's options."""
    state: dict[str, Any] = {"id": found["Id"], "return_data": bool(found.get("ReturnData", True))}
    if found.get("Label"):
        state["label"] = found["Label"]
    if found.get("Expression"):
        return {**state, "expression": found["Expression"]}
    stat = found["MetricStat"]
    return {
        **state,
        "namespace": stat["Metric"]["Namespace"],
        "metric_name": stat["Metric"]["MetricName"],
        "dimensions": {item["Name"]: item["Value"] for item in stat["Metric"].get("Dimensions") or []},
        "statistic": stat["Stat"],
    }


def query_request(query: dict[str, Any], period: int) -> dict[str, Any]:
    """The reverse of C(query_state)."""
    request = {"Id": query["id"], "ReturnData": query["return_data"]}
    if "label" in query:
        request["Label"] = query["label"]
    if "expression" in query:
        return {**request, "Expression": query["expression"], "Period": period}
    metric = {
        "Namespace": query["namespace"],
        "MetricName": query["metric_name"],
        "Dimensions": [{"Name": name, "Value": value} for name, value in sorted(query["dimensions"].items())],
    }
    return {**request, "MetricStat": {"Metric": metric, "Period": period, "Stat": query["statistic"]}}


def alarm_state(found: dict[str, Any]) -> State:
    """A described alarm in the terms of the module's options."""
    queries = found.get("Metrics") or []
    periods = [query.get("MetricStat", {}).get("Period") or query.get("Period") for query in queries]
    return {
        "name": found["AlarmName"],
        "arn": found["AlarmArn"],
        "description": found.get("AlarmDescription", ""),
        "metrics": sorted(map(query_state, queries), key=lambda query: str(query["id"])),
        "period": next((int(period) for period in periods if period), found.get("Period")),
        "threshold": float(found.get("Threshold") or 0),
        "comparison": found.get("ComparisonOperator"),
        "evaluation_periods": found.get("EvaluationPeriods"),
        "datapoints_to_alarm": found.get("DatapointsToAlarm") or found.get("EvaluationPeriods"),
        "missing_data": found.get("TreatMissingData") or "missing",
        "alarm_actions": sorted(found.get("AlarmActions") or []),
        "ok_actions": sorted(found.get("OKActions") or []),
    }


class Alarm(Item):
    kind = "alarm"
    exact_keys = frozenset({"tags", "metrics", "alarm_actions", "ok_actions"})

    def read(self) -> State | None:
        answer = self.api.call("describe_alarms", AlarmNames=[self.name], AlarmTypes=["MetricAlarm"])
        found = (answer or {}).get("MetricAlarms") or []
        if not found:
            return None
        return {**alarm_state(found[0]), "tags": read_tags(self.api, found[0]["AlarmArn"])}

    def wanted(self, current: State | None) -> State:
        wanted = super().wanted(current)
        wanted["metrics"] = sorted(wanted.get("metrics", []), key=lambda query: str(query["id"]))
        wanted.setdefault("datapoints_to_alarm", wanted["evaluation_periods"])
        for key in ("alarm_actions", "ok_actions"):
            wanted[key] = sorted(wanted.get(key, []))
        return wanted

    def computed(self) -> State:
        return {"arn": unknown(f"ARN of alarm {self.name}")}

    def create(self, wanted: State) -> None:
        # Tags are taken by the call that makes an alarm, and by no later one.
        self._put(wanted, upper_list(wanted.get("tags", {})) or None)

    def _put(self, wanted: State, tags: list[dict[str, str]] | None) -> None:
        self.api.call(
            "put_metric_alarm",
            AlarmName=self.name,
            AlarmDescription=wanted.get("description"),
            ActionsEnabled=True,
            Metrics=[query_request(query, wanted["period"]) for query in wanted["metrics"]],
            Threshold=wanted["threshold"],
            ComparisonOperator=wanted["comparison"],
            EvaluationPeriods=wanted["evaluation_periods"],
            DatapointsToAlarm=wanted["datapoints_to_alarm"],
            TreatMissingData=wanted["missing_data"],
            AlarmActions=wanted["alarm_actions"],
            OKActions=wanted["ok_actions"],
            Tags=tags,
        )

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        if changed_keys - {"tags"}:
            self._put({**current, **wanted}, None)
        if "tags" in changed_keys:
            apply_tags(self.api, current["arn"], current["tags"], wanted["tags"])

    def delete(self, current: State) -> None:
        self.api.call("delete_alarms", missing=("ResourceNotFound",), AlarmNames=[self.name])


def main() -> None:
    query_options = {
        "id": {"type": "str", "required": True},
        "expression": {"type": "str"},
        "label": {"type": "str"},
        "namespace": {"type": "str"},
        "metric_name": {"type": "str"},
        "dimensions": {"type": "dict"},
        "statistic": {"type": "str"},
        "return_data": {"type": "bool", "default": False},
    }
    module = AnsibleAWSModule(
        argument_spec={
            "alarms": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "description": {"type": "str"},
                    "metrics": {"type": "list", "elements": "dict", "options": query_options},
                    "period": {"type": "int", "default": 60},
                    "threshold": {"type": "float"},
                    "comparison": {
                        "type": "str",
                        "choices": [
                            "GreaterThanOrEqualToThreshold",
                            "GreaterThanThreshold",
                            "LessThanThreshold",
                            "LessThanOrEqualToThreshold",
                        ],
                    },
                    "evaluation_periods": {"type": "int", "default": 1},
                    "datapoints_to_alarm": {"type": "int"},
                    "missing_data": {
                        "type": "str",
                        "choices": ["breaching", "notBreaching", "ignore", "missing"],
                        "default": "missing",
                    },
                    "alarm_actions": {"type": "list", "elements": "str"},
                    "ok_actions": {"type": "list", "elements": "str"},
                    "tags": {"type": "dict"},
                },
            },
            "prefix": {"type": "str"},
            **SET_OPTIONS,
        },
        supports_check_mode=True,
        **SET_REQUIREMENTS,
    )
    api = Api(module, "cloudwatch")
    prefix = module.params["prefix"]

    def find(_scope: Tags) -> Iterator[Candidate]:
        for found in api.pages(
            "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm"]
        ):
            alarm = Alarm(api, {"name": found["AlarmName"], "evaluation_periods": 1})
            yield Candidate(alarm, partial(read_tags, api, found["AlarmArn"]))

    listed = [Alarm(api, options, module.params["purge_tags"]) for options in module.params["alarms"]]
    run_set(module, "alarms", [listed], find)


if __name__ == "__main__":
    main()
