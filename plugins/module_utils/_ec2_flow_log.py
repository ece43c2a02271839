# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The flow log of a VPC: who talked to whom, as records in a log group.

For internal use of this collection only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._ec2 import Ec2Resource
from ansible_collections.pasture.ollama.plugins.module_utils._resource import Refusal, State

_TRAFFIC = "ALL"


class FlowLog(Ec2Resource):
    """All traffic of the VPC, accepted and rejected, sent to CloudWatch Logs.

    :param log_group: the group's name.
    :param role_arn: the role by which EC2 writes to it.
    """

    kind = "flow log"
    resource_type = "vpc-flow-log"
    id_field = "FlowLogId"
    id_key = "flow_log_id"

    def __init__(
        self,
        api: Api,
        name: str,
        tags: dict[str, str],
        vpc_id: str | None,
        log_group: str = "",
        role_arn: str = "",
    ) -> None:
        super().__init__(api, name, tags, vpc_id)
        self.log_group = log_group
        self.role_arn = role_arn

    def candidates(self) -> Iterable[dict[str, Any]]:
        if not self.vpc_id:
            return ()
        of_vpc = [{"Name": "resource-id", "Values": [self.vpc_id]}]
        return self.api.pages("describe_flow_logs", "FlowLogs", Filter=of_vpc)

    def state(self, described: dict[str, Any]) -> State:
        return {
            "log_group": described.get("LogGroupName"),
            "role_arn": described.get("DeliverLogsPermissionArn"),
            "traffic": described["TrafficType"],
        }

    def wanted(self, current: State | None) -> State:
        ours = {"log_group": self.log_group, "role_arn": self.role_arn, "traffic": _TRAFFIC}
        return {**ours, **super().wanted(current)}

    def create(self, wanted: State) -> None:
        answer = self.api.call(
            "create_flow_logs",
            ResourceType="VPC",
            ResourceIds=[self.vpc_id],
            TrafficType=_TRAFFIC,
            LogDestinationType="cloud-watch-logs",
            LogGroupName=self.log_group,
            DeliverLogsPermissionArn=self.role_arn,
            TagSpecifications=self.specification(),
        )
        _succeed(answer)

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        # Nothing of a flow log but its tags can be changed.
        # https://docs.aws.amazon.com/vpc/latest/userguide/working-with-flow-logs.html#modify-tags-flow-logs
        if changed_keys - {"tags"}:
            self.delete(current)
            self.create(wanted)
        else:
            super().update(current, wanted, changed_keys)

    def delete(self, current: State) -> None:
        answer = self.api.call(
            "delete_flow_logs", missing=["InvalidFlowLogId.NotFound"], FlowLogIds=[current[self.id_key]]
        )
        _succeed(answer)


def _succeed(answer: dict[str, Any] | None) -> None:
    """These two operations answer with 200 and tell in the body what they did not do.

    :raises Refusal: with AWS's own reason.
    """
    for failed in (answer or {}).get("Unsuccessful", []):
        raise Refusal(failed.get("Error", {}).get("Message") or "AWS gave no reason")
