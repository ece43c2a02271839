# SPDX-License-Identifier: GPL-3.0-or-later
"""What moto lacks or gets wrong, mended in place: one module per AWS service.

Each patch says what moto does, and which page of the AWS documentation says what it should do. A patch
changes moto in the memory of the emulator's process only.
"""

from __future__ import annotations

from pasture_local.emulator.patches import (
    application_autoscaling,
    cloudwatch,
    constraints,
    core,
    ec2,
    ecs,
    ecs_placement,
    ecs_tasks,
    efs,
    events,
    function_code,
    function_logs,
    iam,
    kms,
    queue_metrics,
    s3,
    servicequotas,
    sqs,
)
from pasture_local.emulator.patches._patch import OwnPath, Patch, Route

PATCHES: tuple[Patch | Route | OwnPath, ...] = (
    *core.PATCHES,
    *constraints.PATCHES,
    *application_autoscaling.PATCHES,
    *cloudwatch.PATCHES,
    *ec2.PATCHES,
    *ecs.PATCHES,
    *ecs_tasks.PATCHES,
    *ecs_placement.PATCHES,
    *efs.PATCHES,
    *events.PATCHES,
    *function_code.PATCHES,
    *function_logs.PATCHES,
    *iam.PATCHES,
    *kms.PATCHES,
    *s3.PATCHES,
    *servicequotas.PATCHES,
    *sqs.PATCHES,
    *queue_metrics.PATCHES,
)


def apply() -> None:
    """Apply all patches. Call it once, before the server is made."""
    for patch in PATCHES:
        patch.apply()
