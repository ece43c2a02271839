# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's wake-up function in the embedded cloud, raced by a thousand events."""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pasture_local.home import Home, State

from .conftest import Client, Stack, wait_for

pytestmark = pytest.mark.integration
SOURCE = Path(__file__).parents[3] / "roles" / "scaling" / "files" / "wake_up" / "wake_up.py"
EVENTS = 1000


def deploy(client: Client, name: str) -> str:
    """Deploy the function as the scaling role does; return its ARN."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(SOURCE, SOURCE.name)
    trust = {"Principal": {"Service": "lambda.amazonaws.com"}, "Effect": "Allow", "Action": "sts:AssumeRole"}
    role = client("iam").create_role(
        RoleName=f"{name}-wakeup", AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )["Role"]["Arn"]
    arn = client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="wake_up.handler",
        Code={"ZipFile": package.getvalue()},
        Timeout=20,
    )["FunctionArn"]
    client("lambda").put_function_event_invoke_config(
        FunctionName=name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60
    )
    client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    return str(arn)


def outcomes(home: Home, name: str) -> Counter[str]:
    """What the invocations of a function came to, as the control process logs them."""
    marks = [f" {name}: {{", '{"outcome": "']
    lines = (home.logs / "control.log").read_text().splitlines()
    return Counter(
        json.loads(line[line.index("{") :])["outcome"] for line in lines if all(m in line for m in marks)
    )


def test_a_thousand_events_at_once_make_one_update(
    stack: Callable[..., Stack], client: Client, cloud: State, home: Home
) -> None:
    made = stack("import time; time.sleep(600)")
    name = f"{made.name}-f"
    arn = deploy(client, name)
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=made.name)["QueueUrl"]
    for _ in range(5):
        sqs.send_message(QueueUrl=url, MessageBody="a document")
    event = {
        "stack": "docs",
        "processor": "summarize",
        "cluster": made.name,
        "service": made.name,
        "auto_scaling_group": made.name,
        "queue": made.name,
        "documents_per_task": 2,
        "max_tasks": 3,
        "tasks_per_instance": 1,
    }
    body = json.dumps({"function_arn": arn, "event": event}).encode()

    def send(_: int) -> None:
        request = urllib.request.Request(  # noqa: S310 - the cloud's own
            f"{cloud.control_url}/functions", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 - as above

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(EVENTS)))
    wait_for(lambda: outcomes(home, name).total() == EVENTS, seconds=60, what="the last of the invocations")
    assert outcomes(home, name) == {"woken": 1, "awake": EVENTS - 1}
    assert (home.logs / f"function-{name}.log").read_text().count('"message": "woken"') == 1
    assert made.service()["desiredCount"] == 3
    assert made.group()["DesiredCapacity"] == 3


def test_a_service_that_is_not_there_is_no_error(client: Client, cloud: State, home: Home) -> None:
    name = "wakes-nobody"
    arn = deploy(client, name)
    names = ("stack", "processor", "cluster", "service", "auto_scaling_group", "queue")
    numbers = ("documents_per_task", "max_tasks", "tasks_per_instance")
    event: dict[str, Any] = {**dict.fromkeys(names, "gone"), **dict.fromkeys(numbers, 1)}
    body = json.dumps({"function_arn": arn, "event": event}).encode()
    request = urllib.request.Request(  # noqa: S310 - the cloud's own
        f"{cloud.control_url}/functions", data=body, headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=20).close()  # noqa: S310 - as above
    wait_for(lambda: outcomes(home, name), what="the invocation")
    assert outcomes(home, name) == {"missing": 1}
