# SPDX-License-Identifier: GPL-3.0-or-later
"""What nobody who belongs to a stack may do, role by role: an action, a resource, and condition keys."""

from __future__ import annotations

_OTHER_BUCKET = "arn:aws:s3:::pasture-another-{account}-{region}"
_SOURCE = "arn:aws:s3:::pasture-{stack}-{account}-{region}-source"
_RESULTS = "arn:aws:s3:::pasture-{stack}-{account}-{region}-results"
_OTHER_QUEUE = "arn:aws:sqs:{region}:{account}:pasture-another-summarize"
_OTHER_FILES = "arn:aws:elasticfilesystem:{region}:{account}:file-system/fs-0000000000another"
_OTHER_DOOR = "arn:aws:elasticfilesystem:{region}:{account}:access-point/fsap-0000000000another"
_MOUNT = (
    "elasticfilesystem:ClientMount",
    "elasticfilesystem:ClientWrite",
    "elasticfilesystem:ClientRootAccess",
)
_GROUP_ID = "00000000-0000-0000-0000-000000000000"
_GROUP = f"arn:aws:autoscaling:{{region}}:{{account}}:autoScalingGroup:{_GROUP_ID}:autoScalingGroupName"
_ROLES = "arn:aws:iam::{account}:role"
_EC2 = {"iam:PassedToService": "ec2.amazonaws.com"}
_TASKS = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}

Forbidden = tuple[str, str, dict[str, str]]

#: By the kind of a role; ``every`` for all of them, ``deployer`` for who deploys.
FORBIDDEN: dict[str, list[Forbidden]] = {
    "every": [
        # Documents of another stack, in and out.
        ("s3:GetObject", f"{_OTHER_BUCKET}-source/secret.txt", {}),
        ("s3:GetObject", f"{_OTHER_BUCKET}-results/summarize/secret.txt.txt", {}),
        ("s3:PutObject", f"{_OTHER_BUCKET}-results/summarize/secret.txt.txt", {}),
        ("s3:ListBucket", f"{_OTHER_BUCKET}-source", {}),
        ("sqs:ReceiveMessage", _OTHER_QUEUE, {}),
        ("sqs:SendMessage", _OTHER_QUEUE, {}),
        ("sqs:PurgeQueue", "arn:aws:sqs:{region}:{account}:pasture-{stack}-summarize", {}),
        *((action, _OTHER_FILES, {"elasticfilesystem:AccessPointArn": _OTHER_DOOR}) for action in _MOUNT),
        # Nobody rewrites history: neither documents nor results are deleted by what processes them.
        ("s3:DeleteBucket", _RESULTS, {}),
        ("s3:PutBucketPolicy", _RESULTS, {}),
        ("s3:DeleteObject", f"{_RESULTS}/summarize/a.txt.txt", {}),
        ("s3:DeleteObjectVersion", f"{_RESULTS}/summarize/a.txt.txt", {}),
        ("s3:DeleteObject", f"{_SOURCE}/a.txt", {}),
        ("s3:PutObject", f"{_SOURCE}/a.txt", {}),
        # Parameters and secrets of others.
        (
            "ssm:GetParameter",
            "arn:aws:ssm:{region}:{account}:parameter/pasture/another/models/llava/latest",
            {},
        ),
        ("ssm:GetParameter", "arn:aws:ssm:{region}:{account}:parameter/database/password", {}),
        (
            "ssm:PutParameter",
            "arn:aws:ssm:{region}:{account}:parameter/pasture/{stack}/models/llava/latest",
            {},
        ),
        (
            "secretsmanager:GetSecretValue",
            "arn:aws:secretsmanager:{region}:{account}:secret:database-AbCdEf",
            {},
        ),
        # More rights.
        ("iam:PassRole", f"{_ROLES}/Administrator", _TASKS),
        ("iam:PassRole", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-instance", _EC2),
        ("iam:PutRolePolicy", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-execution", {}),
        ("sts:AssumeRole", f"{_ROLES}/Administrator", {}),
        # Services and groups of another stack.
        (
            "ecs:UpdateService",
            "arn:aws:ecs:{region}:{account}:service/pasture-another/pasture-another-summarize",
            {"ecs:cluster": "arn:aws:ecs:{region}:{account}:cluster/pasture-another"},
        ),
        (
            "ecs:UpdateTaskProtection",
            "arn:aws:ecs:{region}:{account}:task/pasture-another/0123456789abcdef0123456789abcdef",
            {"ecs:cluster": "arn:aws:ecs:{region}:{account}:cluster/pasture-another"},
        ),
        (
            "autoscaling:SetDesiredCapacity",
            f"{_GROUP}/pasture-another-summarize",
            {},
        ),
        (
            "events:PutEvents",
            "arn:aws:events:{region}:{account}:event-bus/default",
            {"events:source": "aws.s3"},
        ),
    ],
    "task": [
        # What another processor of the same stack says or has written.
        (
            "events:PutEvents",
            "arn:aws:events:{region}:{account}:event-bus/pasture-{stack}",
            {"events:source": "/pasture/{stack}/somebody-else"},
        ),
        ("s3:PutObject", f"{_RESULTS}/somebody-else/a.txt.txt", {}),
        ("sqs:ReceiveMessage", "arn:aws:sqs:{region}:{account}:pasture-{stack}-somebody-else", {}),
        # The own file system, past its access point.
        *((action, "{file_system}", {}) for action in _MOUNT),
        (
            "elasticfilesystem:ClientRootAccess",
            "{file_system}",
            {"elasticfilesystem:AccessPointArn": "{access_point}"},
        ),
    ],
    "seed": [
        *((action, "{file_system}", {}) for action in _MOUNT),
        ("s3:PutObject", f"{_RESULTS}/summarize/a.txt.txt", {}),
        ("s3:GetObject", f"{_SOURCE}/a.txt", {}),
    ],
    "wakeup": [
        (
            "ecs:DeleteService",
            "arn:aws:ecs:{region}:{account}:service/pasture-{stack}/pasture-{stack}-summarize",
            {"ecs:cluster": "arn:aws:ecs:{region}:{account}:cluster/pasture-{stack}"},
        ),
        ("sqs:ReceiveMessage", "arn:aws:sqs:{region}:{account}:pasture-{stack}-summarize", {}),
        ("cloudwatch:PutMetricData", "*", {"cloudwatch:namespace": "AWS/SQS"}),
    ],
    "execution": [
        ("ecr:BatchGetImage", "arn:aws:ecr:{region}:{account}:repository/another", {}),
        ("ecr:PutImage", "arn:aws:ecr:{region}:{account}:repository/pasture-{stack}", {}),
        (
            "logs:PutLogEvents",
            "arn:aws:logs:{region}:{account}:log-group:/pasture/another/x:log-stream:y",
            {},
        ),
    ],
    "instance": [
        ("ecs:RegisterContainerInstance", "arn:aws:ecs:{region}:{account}:cluster/pasture-another", {}),
        ("ssm:GetParameter", "arn:aws:ssm:{region}:{account}:parameter/anything", {}),
        ("ecr:GetAuthorizationToken", "*", {}),
    ],
}

#: Who deploys one stack must not touch another, nor give the stack's roles to somebody else.
DEPLOYER: list[Forbidden] = [
    ("s3:DeleteBucket", f"{_OTHER_BUCKET}-source", {}),
    ("s3:GetObject", f"{_OTHER_BUCKET}-source/secret.txt", {}),
    ("s3:GetObject", f"{_SOURCE}/secret.txt", {}),
    ("sqs:DeleteQueue", _OTHER_QUEUE, {}),
    ("sqs:ReceiveMessage", "arn:aws:sqs:{region}:{account}:pasture-{stack}-summarize", {}),
    ("elasticfilesystem:DeleteFileSystem", _OTHER_FILES, {"aws:ResourceTag/pasture:stack": "another"}),
    ("elasticfilesystem:TagResource", _OTHER_FILES, {"aws:RequestTag/pasture:stack": "{stack}"}),
    (
        "kms:ScheduleKeyDeletion",
        "arn:aws:kms:{region}:{account}:key/another",
        {"aws:ResourceTag/pasture:stack": "another"},
    ),
    ("kms:ScheduleKeyDeletion", "arn:aws:kms:{region}:{account}:key/untagged", {}),
    (
        "ec2:DeleteVpc",
        "arn:aws:ec2:{region}:{account}:vpc/vpc-1",
        {"aws:ResourceTag/pasture:stack": "another"},
    ),
    ("ec2:DeleteVpc", "arn:aws:ec2:{region}:{account}:vpc/vpc-1", {}),
    ("ec2:CreateVpc", "arn:aws:ec2:{region}:{account}:vpc/new", {}),
    (
        "ec2:CreateTags",
        "arn:aws:ec2:{region}:{account}:vpc/vpc-1",
        {"aws:RequestTag/pasture:stack": "{stack}"},
    ),
    ("ec2:TerminateInstances", "arn:aws:ec2:{region}:{account}:instance/i-1", {}),
    ("ec2:RunInstances", "arn:aws:ec2:{region}:{account}:instance/new", {}),
    (
        "ecs:DeleteService",
        "arn:aws:ecs:{region}:{account}:service/pasture-another/pasture-another-summarize",
        {},
    ),
    ("ecs:DeleteCluster", "arn:aws:ecs:{region}:{account}:cluster/pasture-another", {}),
    ("events:DeleteRule", "arn:aws:events:{region}:{account}:rule/another", {}),
    ("events:PutEvents", "arn:aws:events:{region}:{account}:event-bus/pasture-{stack}", {}),
    ("lambda:InvokeFunction", "arn:aws:lambda:{region}:{account}:function:pasture-{stack}-wakeup", {}),
    ("lambda:UpdateFunctionCode", "arn:aws:lambda:{region}:{account}:function:another", {}),
    ("logs:DeleteLogGroup", "arn:aws:logs:{region}:{account}:log-group:/pasture/another/summarize", {}),
    (
        "logs:GetLogEvents",
        "arn:aws:logs:{region}:{account}:log-group:/pasture/{stack}/summarize:log-stream:x",
        {},
    ),
    (
        "ssm:DeleteParameter",
        "arn:aws:ssm:{region}:{account}:parameter/pasture/another/models/llava/latest",
        {},
    ),
    ("cloudwatch:DeleteAlarms", "arn:aws:cloudwatch:{region}:{account}:alarm:another", {}),
    ("iam:CreateRole", f"{_ROLES}/Administrator", {}),
    ("iam:CreateRole", f"{_ROLES}/pasture/another/pasture-another-execution", {}),
    ("iam:PassRole", f"{_ROLES}/Administrator", _TASKS),
    ("iam:PassRole", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-summarize-task", _EC2),
    ("iam:PassRole", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-instance", _TASKS),
    ("iam:CreateUser", "arn:aws:iam::{account}:user/somebody", {}),
    ("iam:AttachRolePolicy", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-execution", {}),
    ("ecr:DeleteRepository", "arn:aws:ecr:{region}:{account}:repository/another", {}),
]
_OTHERS = {"aws:ResourceTag/pasture:stack": "another"}
_AN_INSTANCE = "arn:aws:ec2:{region}:{account}:instance/i-1"

#: Who makes AMIs launches nothing but what the stack's templates say, and removes nothing of somebody else's.
BAKER: list[Forbidden] = [
    ("ec2:RunInstances", "arn:aws:ec2:{region}:{account}:instance/new", {}),
    ("ec2:RunInstances", "arn:aws:ec2:{region}:{account}:launch-template/lt-1", _OTHERS),
    ("ec2:CreateImage", _AN_INSTANCE, _OTHERS),
    ("ec2:StopInstances", _AN_INSTANCE, _OTHERS),
    ("ec2:TerminateInstances", _AN_INSTANCE, _OTHERS),
    ("ec2:TerminateInstances", _AN_INSTANCE, {}),
    ("ec2:CreateTags", _AN_INSTANCE, {"aws:RequestTag/pasture:stack": "{stack}"}),
    ("ec2:DescribeInstanceAttribute", _AN_INSTANCE, _OTHERS),
    ("ec2:DeregisterImage", "arn:aws:ec2:{region}::image/ami-1", _OTHERS),
    ("ec2:DeleteSnapshot", "arn:aws:ec2:{region}::snapshot/snap-1", {}),
    ("iam:CreateRole", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-another", {}),
    ("iam:PutRolePolicy", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-instance", {}),
    ("iam:PassRole", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-instance", _EC2),
    ("iam:PassRole", f"{_ROLES}/pasture/{{stack}}/pasture-{{stack}}-bake", _TASKS),
]
