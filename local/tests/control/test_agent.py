# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployed service is run: from its desired count to processes, and back."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from .conftest import Stack, alive, wait_for

pytestmark = pytest.mark.integration
Make = Callable[..., Stack]

# Tells about itself, waits for SIGTERM, and says goodbye.
SCRIPT = """
import json, os, signal, sys, time, urllib.request
print(json.dumps({"pid": os.getpid(), "env": dict(os.environ), "argv": sys.argv[1:]}), flush=True)
uri = os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
print(json.dumps({"role": json.load(urllib.request.urlopen(uri))["RoleArn"]}), flush=True)
uri = os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task"
print(json.dumps({"family": json.load(urllib.request.urlopen(uri))["Family"]}), flush=True)
def leave(*_):
    print(json.dumps({"goodbye": True}), flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
time.sleep(600)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"up": 1}', flush=True)
time.sleep(600)
"""

PROTECTED = """
import os, json, time, urllib.request
def put(enabled):
    body = json.dumps({"ProtectionEnabled": enabled, "ExpiresInMinutes": 5}).encode()
    url = os.environ["ECS_AGENT_URI"] + "/task-protection/v1/state"
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="PUT")
    print(json.dumps({"protection": json.load(urllib.request.urlopen(request))}), flush=True)
put(True)
while not os.path.exists("release"):
    time.sleep(0.05)
put(False)
time.sleep(600)
"""


def test_task_runs_as_defined_and_goes_with_the_desired_count(stack: Make) -> None:
    made = stack(SCRIPT)
    made.desire(1)
    wait_for(lambda: made.service()["runningCount"] == 1, what="a running task")
    assert made.group()["DesiredCapacity"] == 1
    [family] = wait_for(lambda: made.reports("family"), what="the report")
    [env], [pid], [role] = made.reports("env"), made.reports("pid"), made.reports("role")
    assert (family, role) == (made.name, made.role)
    assert made.reports("argv") == [["run"]]
    assert env["GREETING"] == "hello"
    assert "AWS_ACCESS_KEY_ID" not in env
    assert env["HOME"] != os.environ.get("HOME")
    assert all(i["ProtectedFromScaleIn"] for i in made.group()["Instances"])

    made.desire(0)
    wait_for(lambda: not alive(pid), what="the end of the process")
    [stopped] = wait_for(lambda: made.tasks("STOPPED"), what="a stopped task")
    assert stopped["stoppedReason"].startswith("Scaling activity")
    assert stopped["containers"][0]["exitCode"] == 0
    assert made.reports("goodbye") == [True]
    # The instance loses its protection with its last task: whoever sets the group to 0 ends it.
    wait_for(
        lambda: not made.group()["Instances"][0]["ProtectedFromScaleIn"], what="the end of the protection"
    )
    made.client("autoscaling").set_desired_capacity(AutoScalingGroupName=made.name, DesiredCapacity=0)
    wait_for(
        lambda: not made.client("ecs").list_container_instances(cluster=made.name)["containerInstanceArns"],
        what="an empty cluster",
    )


def test_scale_in_waits_for_protected_tasks(stack: Make, home: object) -> None:
    made = stack(PROTECTED)
    made.desire(1)
    [protection] = wait_for(lambda: made.reports("protection"), what="protection")
    assert protection["protection"]["ProtectionEnabled"] is True
    [task] = made.tasks()
    made.desire(0)
    with pytest.raises(AssertionError):
        wait_for(lambda: not made.tasks(), seconds=2)
    folder = home.tasks / task["taskArn"].rsplit("/", 1)[-1] / "worker"  # type: ignore[attr-defined]
    (folder / "release").touch()
    wait_for(lambda: not made.tasks(), what="scale-in")


def test_killed_task_is_replaced(stack: Make) -> None:
    made = stack(SCRIPT)
    made.desire(1)
    [pid] = wait_for(lambda: made.reports("pid"), what="a process")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(made.reports("pid")) == 2, what="a second process")
    [dead] = made.tasks("STOPPED")
    assert dead["stopCode"] == "EssentialContainerExited"
    assert dead["containers"][0]["exitCode"] == 137


def test_task_that_ignores_sigterm_is_killed_after_its_stop_timeout(stack: Make) -> None:
    made = stack(DEAF, stopTimeout=2)
    made.desire(1)
    wait_for(lambda: made.reports("up"), what="a process")
    made.desire(0)
    wait_for(lambda: made.tasks("STOPPED"), what="the end")
    assert made.tasks("STOPPED")[0]["containers"][0]["exitCode"] == 137


def test_unhealthy_task_is_replaced(stack: Make) -> None:
    made = stack(
        SCRIPT,
        healthCheck={"command": ["CMD-SHELL", "exit 1"], "interval": 5, "retries": 1, "startPeriod": 0},
    )
    made.desire(1)
    wait_for(lambda: len(made.reports("pid")) >= 2, seconds=60, what="a second process")
    assert "health checks" in made.tasks("STOPPED")[0]["stoppedReason"]


def test_new_revision_replaces_the_tasks(stack: Make) -> None:
    made = stack(SCRIPT)
    made.desire(1)
    wait_for(made.tasks, what="a task")
    second = made.register()
    made.desire(1, taskDefinition=second)
    wait_for(lambda: [t["taskDefinitionArn"] for t in made.tasks()] == [second], what="the new revision")


def test_program_that_does_not_exist_is_told(stack: Make) -> None:
    made = stack(SCRIPT, entryPoint=["no-such-program"])
    made.desire(1)
    [stopped, *_] = wait_for(lambda: made.tasks("STOPPED"), what="a stopped task")
    assert "no-such-program" in stopped["stoppedReason"]


def test_fargate_task_runs_once_with_its_overrides(stack: Make) -> None:
    made = stack("import os, json; print(json.dumps({'extra': os.environ['EXTRA']})); raise SystemExit(3)")
    task = made.client("ecs").run_task(
        cluster=made.name,
        taskDefinition=made.name,
        launchType="FARGATE",
        overrides={
            "containerOverrides": [{"name": "worker", "environment": [{"name": "EXTRA", "value": "x"}]}]
        },
    )["tasks"][0]

    def state() -> dict[str, object]:
        return dict(made.client("ecs").describe_tasks(cluster=made.name, tasks=[task["taskArn"]])["tasks"][0])

    wait_for(lambda: state()["lastStatus"] == "STOPPED", what="the end")
    assert state()["containers"][0]["exitCode"] == 3  # type: ignore[index]
    assert made.reports("extra") == ["x"]


# Finishes what it has in hand before it ends, as the worker does.
INTERRUPTED = """
import json, signal, time
def stop(*_):
    print(json.dumps({"notice": True}), flush=True)
    time.sleep(1)
    print(json.dumps({"finished": True}), flush=True)
    raise SystemExit(0)
signal.signal(signal.SIGTERM, stop)
print(json.dumps({"up": True}), flush=True)
time.sleep(600)
"""


def test_spot_notice_lets_a_task_finish_and_its_replacement_starts_elsewhere(stack: Make) -> None:
    made = stack(INTERRUPTED)
    made.desire(1)
    wait_for(lambda: made.reports("up"), what="a task")
    [task] = made.tasks()
    ecs = made.client("ecs")
    [instance] = ecs.describe_container_instances(
        cluster=made.name, containerInstances=[task["containerInstanceArn"]]
    )["containerInstances"]
    # What the agent does at a notice, with ECS_ENABLE_SPOT_INSTANCE_DRAINING.
    ecs.update_container_instances_state(
        cluster=made.name, containerInstances=[instance["containerInstanceArn"]], status="DRAINING"
    )
    wait_for(lambda: made.reports("finished"), what="the end of its document")
    [stopped] = wait_for(lambda: made.tasks("STOPPED"), what="a stopped task")
    assert stopped["stoppedReason"] == "Task instance draining"
    assert stopped["containers"][0]["exitCode"] == 0
    assert not made.tasks(), "nothing new is placed on an instance that drains"
    # Then the instance goes, and its group starts another.
    made.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=instance["ec2InstanceId"], ShouldDecrementDesiredCapacity=False
    )
    [replacement] = wait_for(made.tasks, what="a replacement")
    assert replacement["containerInstanceArn"] != instance["containerInstanceArn"]
