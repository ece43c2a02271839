# SPDX-License-Identifier: GPL-3.0-or-later
"""A call that AWS refuses, or whose answer is lost, is told with its resource and mended by the next deploy.

``PASTURE_INTERRUPT_EVERY=1`` takes all of them, and removes the stack after each that was lost; the default is what a
build machine has time for.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from trial import EVERY, Account

pytestmark = [pytest.mark.integration, pytest.mark.slow]

QUOTA = "ask for more in Service Quotas"
DENIED = "the credentials in use may not do this"
BUSY = "AWS asks for a slower pace; run again in a minute"


@dataclass(frozen=True)
class Trouble:
    """A call that goes wrong.

    :ivar code: the error; empty: the call is done, and ansible-playbook is killed before it knows.
    :ivar told: what the message names.
    :ivar remedy: what it says that can be done.
    :ivar skip: how many calls go well before.
    :ivar times: how often it is refused.
    :ivar always: whether it is also tried where time is short.
    :ivar removed: whether the stack is also removed then, on a copy.
    """

    call: str
    code: str = ""
    told: str = ""
    remedy: str = ""
    skip: int = 0
    times: int = 1
    always: bool = False
    removed: bool = EVERY == 1


# In the order of a deploy: each run comes as far as its trouble, over what those before have left.
TROUBLES = (
    # network
    Trouble("ec2:CreateVpc"),
    Trouble("ec2:AllocateAddress", "AddressLimitExceeded", "pasture-trial", QUOTA, always=True),
    Trouble("ec2:CreateNatGateway", always=True),
    Trouble("ec2:CreateRouteTable", "UnauthorizedOperation", "pasture-trial", DENIED, skip=1),
    Trouble("ec2:AuthorizeSecurityGroupIngress", "UnauthorizedOperation", "pasture-trial-", DENIED),
    Trouble("ec2:CreateVpcEndpoint", "VpcEndpointLimitExceeded", "s3", QUOTA),
    # storage
    Trouble("s3:CreateBucket", "TooManyBuckets", "pasture-trial-123456789012-eu-west-1-", QUOTA),
    Trouble("s3:CreateBucket"),
    # The run before was killed at one of two buckets; the other one may have been finished.
    Trouble("s3:PutBucketPolicy", "AccessDenied", "bucket pasture-trial-", DENIED, always=True),
    # cache
    Trouble("efs:CreateFileSystem", always=True),
    Trouble("efs:CreateAccessPoint"),
    Trouble(
        "efs:CreateMountTarget", "NetworkInterfaceLimitExceeded", "mount target in subnet-", QUOTA, skip=1
    ),
    # cluster
    # Both roles, so that neither gets as far as its profile.
    Trouble("iam:PutRolePolicy", "LimitExceeded", "pasture-trial-", QUOTA, times=2, always=True),
    Trouble("iam:CreateInstanceProfile"),
    Trouble("ec2:CreateLaunchTemplate", skip=1),
    Trouble("autoscaling:CreateAutoScalingGroup", "LimitExceeded", "pasture-trial-", QUOTA),
    Trouble("ecs:CreateCapacityProvider", always=True),
    # models
    Trouble("ssm:PutParameter", "ParameterLimitExceeded", "model", QUOTA, skip=1),
    Trouble("ecs:RunTask", "AccessDeniedException", "cache", DENIED),
    # The cache is being filled, which nobody waits for any more.
    Trouble("ecs:RunTask", always=True, removed=True),
    # processor
    Trouble("sqs:CreateQueue", skip=1),
    Trouble("sqs:CreateQueue", "AccessDenied", "pasture-trial-", DENIED),
    Trouble("ecs:RegisterTaskDefinition", skip=1),
    Trouble("ecs:CreateService", "AccessDeniedException", "pasture-trial-", DENIED, skip=1, always=True),
    Trouble("events:PutRule", always=True),
    # botocore takes this code for a slower pace and tries again.
    Trouble("events:PutTargets", "LimitExceededException", "pasture-trial-", QUOTA, times=10),
    # scaling
    Trouble("lambda:CreateFunction"),
    Trouble("lambda:AddPermission", "AccessDeniedException", "pasture-trial-wakeup", DENIED, always=True),
    Trouble(
        "application-autoscaling:PutScalingPolicy", "LimitExceededException", "pasture-trial", QUOTA, times=10
    ),
    # observability
    Trouble("cloudwatch:PutMetricAlarm", "Throttling", "pasture-trial-", BUSY, times=10_000, always=True),
    Trouble("cloudwatch:PutDashboard"),
)


def test_what_goes_wrong_is_told_and_mended_by_the_next_deploy(account: Account) -> None:
    for trouble in TROUBLES:
        if trouble.always or EVERY == 1:
            refuse(account, trouble) if trouble.code else lose(account, trouble)
    account.faults()
    assert account.deploy().well
    assert account.deploy().changed == 0
    # And back again, with the power cut now and then.
    tasks = step = max(EVERY, 4)
    while (interrupted := account.destroy(stop_after=tasks)).stopped:
        tasks += step
    assert interrupted.well, interrupted.text
    assert account.left() == []


def refuse(account: Account, trouble: Trouble) -> None:
    """Deploy, have the call refused, and read what is said about it."""
    account.faults({"call": trouble.call, "code": trouble.code, "skip": trouble.skip, "times": trouble.times})
    run = account.deploy()
    assert not run.well, f"{trouble.call} was not made"
    for words in (trouble.told, trouble.remedy):
        assert words in run.failure, f"{trouble.call}: {run.failure}"


def lose(account: Account, trouble: Trouble) -> None:
    """Deploy, and kill it when the call was done and it does not know."""
    account.faults({"call": trouble.call, "skip": trouble.skip})
    run = account.start("deploy")
    assert account.wait_until_held(run), f"{trouble.call} was not made\n{run.text}"
    run.kill()
    if trouble.removed:
        removed = account.copy()
        assert removed.destroy().well, trouble.call
        assert removed.left() == [], trouble.call
        removed.end()
