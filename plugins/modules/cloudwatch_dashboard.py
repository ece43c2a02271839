#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cloudwatch_dashboard
version_added: 1.0.0
short_description: Manage an Amazon CloudWatch dashboard
description:
  - Creates, changes or deletes a dashboard.
  - It exists because neither amazon.aws nor community.aws has a module for dashboards.
options:
  name:
    description: The dashboard's name.
    type: str
    required: true
  state:
    description: Whether the dashboard is to exist.
    type: str
    choices: [present, absent]
    default: present
  body:
    description: What it shows, in the words of the API.
    type: dict
author:
  - Contributors to the pasture.ollama project (@pasture)
extends_documentation_fragment:
  - pasture.ollama.common
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Show a sentence
  pasture.ollama.cloudwatch_dashboard:
    name: pasture-docs
    body:
      widgets:
        - type: text
          properties: {markdown: All is well.}
"""

RETURN = r"""
dashboard:
  description: The dashboard as it is now, or in check mode as it would be. Null when it is gone.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      returned: always
      type: str
      sample: pasture-docs
    arn:
      description: Its ARN.
      returned: always
      type: str
      sample: arn:aws:cloudwatch::123456789012:dashboard/pasture-docs
    body:
      description: What it shows.
      returned: always
      type: dict
"""

import json

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

from ansible_collections.pasture.ollama.plugins.module_utils._aws import Api
from ansible_collections.pasture.ollama.plugins.module_utils._resource import (
    Refusal,
    State,
    ensure_all,
    report,
)
from ansible_collections.pasture.ollama.plugins.module_utils._sets import Item
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import unknown

_MISSING = ("ResourceNotFound", "ResourceNotFoundException", "DashboardNotFoundError")


class Dashboard(Item):
    kind = "dashboard"
    exact_keys = frozenset({"body"})

    def read(self) -> State | None:
        found = self.api.call("get_dashboard", missing=_MISSING, DashboardName=self.name)
        if found is None:
            return None
        return {"name": self.name, "arn": found["DashboardArn"], "body": json.loads(found["DashboardBody"])}

    def computed(self) -> State:
        return {"arn": unknown("dashboard ARN")}

    def create(self, wanted: State) -> None:
        body = json.dumps(wanted["body"], sort_keys=True)
        answer = self.api.call("put_dashboard", DashboardName=self.name, DashboardBody=body) or {}
        wrong = [message["Message"] for message in answer.get("DashboardValidationMessages") or []]
        if wrong:
            raise Refusal(f"CloudWatch does not understand the dashboard: {'; '.join(wrong)}")

    def update(self, current: State, wanted: State, changed_keys: set[str]) -> None:
        self.create(wanted)

    def delete(self, current: State) -> None:
        self.api.call("delete_dashboards", missing=_MISSING, DashboardNames=[self.name])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "body": {"type": "dict"},
        },
        required_if=[("state", "present", ("body",))],
        supports_check_mode=True,
    )
    options = {key: module.params[key] for key in ("name", "body")}
    report(module, "dashboard", ensure_all(module, [Dashboard(Api(module, "cloudwatch"), options)]))


if __name__ == "__main__":
    main()
