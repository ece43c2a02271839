# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the compute roles make, decided without asking anybody."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from ansible_collections.pasture.ollama.plugins.module_utils._plan_cluster import (
    cluster_plan,
    execution_policy,
    image_kind,
    instance_policy,
    user_data,
    volume_gib,
)
from ansible_collections.pasture.ollama.plugins.module_utils._plan_observability import observability_plan
from ansible_collections.pasture.ollama.plugins.module_utils._plan_processor import (
    event_rules,
    processor_plan,
    setting_text,
    task_policy,
    worker_environment,
)
from ansible_collections.pasture.ollama.plugins.module_utils._plan_scaling import scaling_plan
from ansible_collections.pasture.ollama.plugins.module_utils._stack import Stack
from ansible_collections.pasture.ollama.plugins.module_utils._unknown import is_unknown

FACT = {
    "stack": "docs",
    "prefix": "pasture-docs",
    "account_id": "123456789012",
    "partition": "aws",
    "region": "eu-west-1",
    "tags": {"team": "ai"},
    "processors": [],
}
STACK = Stack.parse(FACT)
PROCESSOR: dict[str, Any] = {
    "name": "summarize",
    "task": "generate",
    "model": {
        "name": "llama3.1",
        "tag": "8b",
        "size": 4_920_753_328,
        "options": {"temperature": 0},
        "parameter": "/pasture/docs/models/llama3.1/8b",
    },
    "prompt": "Summarize.",
    "combine_prompt": None,
    "system": None,
    "format": {"type": "object"},
    "think": False,
    "options": {"seed": 1},
    "on_overflow": "combine",
    "on_length": "fail",
    "sniff": False,
    "sources": [{"kind": "bucket", "prefix": "in/", "suffix": ""}, {"kind": "processor", "name": "clean"}],
    "output_type": "text/plain",
    "infrastructure": {
        "instance_type": "g5.12xlarge",
        "gpus": 1,
        "max_memory": 15360,
        "architecture": "x86_64",
        "accelerator": "gpu",
        "market": "on-demand",
        "tasks_per_instance": 4,
    },
    "max_instances": 10,
    "max_tasks": 40,
    "slots": 1,
    "num_ctx": 8192,
    "documents_per_task": 2,
    "idle_minutes": 5,
    "max_receives": 5,
    "stop_timeout": 120,
    "event_patterns": [
        {"bus": "default", "pattern": {"source": ["aws.s3"]}},
        {"bus": "stack", "pattern": {"source": ["/pasture/docs/clean"]}},
    ],
}
QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/pasture-docs-summarize"
OPTIONS: dict[str, Any] = {
    "image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pasture/worker@sha256:0123",
    "images": {"gpu-x86_64": "ami-gpu", "cpu-x86_64": "ami-cpu", "cpu-arm64": "ami-arm"},
    "subnet_ids": ["subnet-1"],
    "security_group_id": "sg-1",
    "base_volume_gib": 60,
    "log_groups": ["seed", "scaling/wakeup"],
    "log_retention_days": 30,
    "instance_warmup": 120,
    "file_system_id": "fs-1",
    "file_system_arn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-1",
    "access_point_id": "fsap-1",
    "access_point_arn": "arn:aws:elasticfilesystem:eu-west-1:123456789012:access-point/fsap-1",
    "source_bucket": "source",
    "results_bucket": "results",
    "queues": [
        {"name": "pasture-docs-summarize", "url": QUEUE},
        {"name": "pasture-docs-summarize-dlq", "url": f"{QUEUE}-dlq"},
    ],
    "age_minutes": 60,
    "stalled_minutes": 30,
}


def processor(**changes: Any) -> dict[str, Any]:
    """The processor above with changes; those of dictionaries are merged."""
    result = copy.deepcopy(PROCESSOR)
    for key, value in changes.items():
        result[key] = {**result[key], **value} if isinstance(value, dict) else value
    return result


def environment(given: dict[str, Any], **options: Any) -> dict[str, str]:
    pairs = worker_environment(STACK, given, {**OPTIONS, **options})
    return {pair["name"]: pair["value"] for pair in pairs}


def statements(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {statement["Sid"]: statement for statement in document["Statement"]}


# --- the worker's settings --------------------------------------------------------------------------


def test_the_settings_of_a_worker() -> None:
    assert environment(processor()) == {
        "AWS_REGION": "eu-west-1",
        "PASTURE_DLQ_URL": f"{QUEUE}-dlq",
        "PASTURE_EVENT_BUS": "pasture-docs",
        "PASTURE_FORMAT": '{"type": "object"}',
        "PASTURE_GPUS": "1",
        "PASTURE_MODEL_PARAMETER": "/pasture/docs/models/llama3.1/8b",
        "PASTURE_NUM_CTX": "8192",
        "PASTURE_ON_LENGTH": "fail",
        "PASTURE_ON_OVERFLOW": "combine",
        "PASTURE_OPTIONS": '{"seed": 1, "temperature": 0}',
        "PASTURE_PROCESSOR": "summarize",
        "PASTURE_PROMPT": "Summarize.",
        "PASTURE_QUEUE_URL": QUEUE,
        "PASTURE_RESULTS_BUCKET": "results",
        "PASTURE_SLOTS": "1",
        "PASTURE_SNIFF": "false",
        "PASTURE_STACK": "docs",
        "PASTURE_STOP_TIMEOUT": "120",
        "PASTURE_STORE": "/mnt/models",
        "PASTURE_TASK": "generate",
        "PASTURE_THINK": "false",
    }


def test_the_settings_are_sorted_so_that_their_order_is_no_change() -> None:
    names = [pair["name"] for pair in worker_environment(STACK, processor(), OPTIONS)]
    assert names == sorted(names)


def test_the_options_of_a_processor_win_over_those_of_its_model() -> None:
    options = environment(processor(options={"temperature": 1}))["PASTURE_OPTIONS"]
    assert json.loads(options) == {"seed": 1, "temperature": 1}


def test_users_settings_and_the_key_are_passed_on() -> None:
    settings = environment(processor(), environment={"OLLAMA_KV_CACHE_TYPE": "q8_0"}, kms_key_arn="arn:key")
    assert settings["OLLAMA_KV_CACHE_TYPE"] == "q8_0"
    assert settings["PASTURE_KMS_KEY_ID"] == "arn:key"


def test_before_the_queues_are_made_their_urls_are_unknown() -> None:
    assert is_unknown(environment(processor(), queues=[])["PASTURE_QUEUE_URL"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        ("", ""),
        ({}, ""),
        ({"é": 1}, '{"é": 1}'),
        ("high", "high"),
    ],
)
def test_a_setting_as_text(value: Any, text: str) -> None:
    assert setting_text(value) == text


# --- task definition and service --------------------------------------------------------------------


def test_the_container_has_no_privileges() -> None:
    container = processor_plan([processor()], FACT, OPTIONS)["task_definitions"][0]["containers"][0]
    assert container["user"] == "1000:1000"
    assert container["readonlyRootFilesystem"] is True
    assert container["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}
    assert container["linuxParameters"]["initProcessEnabled"] is True
    assert container["memory"] == 15360
    assert container["stopTimeout"] == 120
    assert container["healthCheck"]["command"] == ["CMD", "ollama-worker", "health"]


def test_a_gpu_is_reserved_only_when_one_is_asked_for() -> None:
    def reservation(gpus: int) -> Any:
        plan = processor_plan([processor(infrastructure={"gpus": gpus})], FACT, OPTIONS)
        return plan["task_definitions"][0]["containers"][0].get("resourceRequirements")

    assert reservation(2) == [{"type": "GPU", "value": "2"}]
    assert reservation(0) is None


@pytest.mark.parametrize(("architecture", "platform"), [("arm64", "ARM64"), ("x86_64", "X86_64")])
def test_the_platform_is_that_of_the_instances(architecture: str, platform: str) -> None:
    plan = processor_plan([processor(infrastructure={"architecture": architecture})], FACT, OPTIONS)
    assert plan["task_definitions"][0]["runtime_platform"]["cpu_architecture"] == platform


def test_a_service_starts_at_zero_and_replaces_before_it_adds() -> None:
    service = processor_plan([processor()], FACT, OPTIONS)["services"][0]
    assert service["initial_count"] == 0
    assert (service["minimum_healthy_percent"], service["maximum_percent"]) == (0, 100)


def test_a_service_runs_the_revision_that_was_registered() -> None:
    made = [{"name": "pasture-docs-summarize", "arn": "arn:revision:7"}]
    plan = processor_plan([processor()], FACT, {**OPTIONS, "task_definitions": made})
    assert plan["services"][0]["task_definition"] == "arn:revision:7"
    assert plan["result"]["task_definitions"] == {"summarize": "arn:revision:7"}


# --- rules and queues -------------------------------------------------------------------------------


def test_each_pattern_is_a_rule_on_its_bus_that_feeds_the_queue_and_wakes() -> None:
    rules = event_rules(STACK, processor(), OPTIONS)
    assert [(rule["event_bus"], rule["name"]) for rule in rules] == [
        ("default", "pasture-docs-summarize-0"),
        ("pasture-docs", "pasture-docs-summarize-1"),
    ]
    for rule in rules:
        assert [target["id"] for target in rule["targets"]] == ["queue", "wake-up"]
        assert rule["targets"][1]["retry_attempts"] == 0
        assert rule["targets"][1]["retry_seconds"] == 60


def test_without_the_function_rules_feed_the_queue_alone() -> None:
    rules = event_rules(STACK, processor(), {**OPTIONS, "wake_up": False})
    assert all([target["id"] for target in rule["targets"]] == ["queue"] for rule in rules)


def test_a_queue_takes_events_of_its_own_rules_only() -> None:
    dead, queue = processor_plan([processor()], FACT, OPTIONS)["queues"]
    assert dead["name"] == "pasture-docs-summarize-dlq"
    allowed = statements(queue["policy"])["EventsOfItsRules"]
    assert allowed["Condition"]["ArnEquals"]["aws:SourceArn"] == [
        "arn:aws:events:eu-west-1:123456789012:rule/pasture-docs-summarize-0",
        "arn:aws:events:eu-west-1:123456789012:rule/pasture-docs/pasture-docs-summarize-1",
    ]
    assert statements(queue["policy"])["OnlyOverTls"]["Effect"] == "Deny"
    assert queue["dead_letter"] == {
        "arn": "arn:aws:sqs:eu-west-1:123456789012:pasture-docs-summarize-dlq",
        "max_receives": 5,
    }
    assert queue["retention_seconds"] == dead["retention_seconds"] == 1_209_600


# --- permissions ------------------------------------------------------------------------------------


def test_a_worker_reads_its_sources_and_writes_its_results_and_no_others() -> None:
    allowed = statements(task_policy(STACK, processor(), OPTIONS))
    assert allowed["Sources"]["Resource"] == ["arn:aws:s3:::results/clean/*", "arn:aws:s3:::source/in/*"]
    assert allowed["Results"]["Resource"] == ["arn:aws:s3:::results/summarize/*"]
    assert "s3:DeleteObject" not in json.dumps(allowed)
    assert allowed["Model"]["Resource"] == [
        "arn:aws:ssm:eu-west-1:123456789012:parameter/pasture/docs/models/llama3.1/8b"
    ]
    assert allowed["Announce"]["Condition"] == {
        "ForAllValues:StringEquals": {"events:source": "/pasture/docs/summarize"},
        "Null": {"events:source": "false"},
    }


def test_a_worker_may_fetch_weights_of_the_users_own_and_no_others() -> None:
    own = processor(model={"from": "s3://weights/llama/8b.gguf", "modelfile": "s3://recipes/Modelfile"})
    assert statements(task_policy(STACK, own, OPTIONS))["Weights"]["Resource"] == [
        "arn:aws:s3:::recipes/Modelfile",
        "arn:aws:s3:::weights/llama/8b.gguf",
    ]
    assert "Weights" not in statements(task_policy(STACK, processor(), OPTIONS))


def test_a_worker_can_tell_that_an_object_is_not_there() -> None:
    missing = statements(task_policy(STACK, processor(), OPTIONS))["Missing"]
    assert missing["Resource"] == ["arn:aws:s3:::results", "arn:aws:s3:::source"]
    assert "Condition" not in missing
    own = processor(model={"from": "s3://weights/llama/8b.gguf"})
    assert "arn:aws:s3:::weights" in statements(task_policy(STACK, own, OPTIONS))["Missing"]["Resource"]


def test_no_permission_of_a_worker_is_for_everything() -> None:
    for statement in task_policy(STACK, processor(), OPTIONS)["Statement"]:
        assert "*" not in statement["Resource"]
        assert not any("*" in action for action in statement["Action"])


def test_keys_are_allowed_when_there_are_some() -> None:
    assert "Keys" not in statements(task_policy(STACK, processor(), OPTIONS))
    options = {**OPTIONS, "kms_key_arn": "arn:b", "source_kms_key_arn": "arn:a"}
    assert statements(task_policy(STACK, processor(), options))["Keys"]["Resource"] == ["arn:a", "arn:b"]


@pytest.mark.parametrize(
    ("image", "repositories"),
    [
        (
            "210987654321.dkr.ecr.eu-north-1.amazonaws.com/team/worker:1.0",
            ["arn:aws:ecr:eu-north-1:210987654321:repository/team/worker"],
        ),
        (OPTIONS["image"], ["arn:aws:ecr:eu-west-1:123456789012:repository/pasture/worker"]),
        ("registry.example.org/worker@sha256:0", None),
        ("", None),
    ],
)
def test_the_execution_role_pulls_one_repository(image: str, repositories: list[str] | None) -> None:
    allowed = statements(execution_policy(STACK, image))
    assert allowed.get("Image", {}).get("Resource") == repositories
    assert ("Registry" in allowed) == (repositories is not None)


def test_an_instance_joins_its_own_cluster_only_and_reads_no_parameter() -> None:
    allowed = statements(instance_policy(STACK))
    assert allowed["Cluster"]["Resource"] == ["arn:aws:ecs:eu-west-1:123456789012:cluster/pasture-docs"]
    assert "ssm:GetParameter" not in json.dumps(allowed)


def test_every_role_has_the_boundary() -> None:
    options = {**OPTIONS, "permissions_boundary": "arn:boundary"}
    plans = [cluster_plan, processor_plan, scaling_plan]
    roles = [role for plan in plans for role in plan([processor()], FACT, options)["roles"]]
    assert len(roles) == 4
    assert {role["permissions_boundary"] for role in roles} == {"arn:boundary"}


def test_service_principals_act_for_this_account_only() -> None:
    # EC2 alone names no source: see the comment at the instance's role.
    plans = [cluster_plan, processor_plan, scaling_plan]
    for role in [role for plan in plans for role in plan([processor()], FACT, OPTIONS)["roles"]]:
        (statement,) = role["trust_policy"]["Statement"]
        if statement["Principal"]["Service"] != "ec2.amazonaws.com":
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


# --- instances --------------------------------------------------------------------------------------


def test_an_instance_is_told_to_keep_images_and_to_hide_its_role() -> None:
    text = user_data("pasture-docs", processor())
    assert "ECS_CLUSTER=pasture-docs\n" in text
    assert "ECS_IMAGE_PULL_BEHAVIOR=prefer-cached\n" in text
    assert "ECS_AWSVPC_BLOCK_IMDS=true\n" in text
    assert "ECS_ENABLE_GPU_SUPPORT=true\n" in text
    cpu = user_data("pasture-docs", processor(infrastructure={"accelerator": "cpu"}))
    assert "ECS_ENABLE_GPU_SUPPORT=false\n" in cpu


@pytest.mark.parametrize(("size", "gib"), [(0, 60), (1, 61), (4_920_753_328, 65), (40 * 1024**3, 100)])
def test_the_disk_holds_the_model_too(size: int, gib: int) -> None:
    assert volume_gib(processor(model={"size": size}), 60) == gib


def test_the_ami_is_that_of_accelerator_and_processor() -> None:
    graviton = {"accelerator": "cpu", "architecture": "arm64"}
    assert image_kind(graviton) == "cpu-arm64"
    plan = cluster_plan([processor(infrastructure=graviton)], FACT, OPTIONS)
    assert plan["launch_templates"][0]["image_id"] == "ami-arm"


def test_spot_is_asked_for_by_the_market() -> None:
    def spot(market: str) -> Any:
        plan = cluster_plan([processor(infrastructure={"market": market})], FACT, OPTIONS)
        return plan["auto_scaling_groups"][0]["spot"]

    assert spot("spot") is True
    assert spot("on-demand") is False


def test_warm_instances_join_the_cluster_only_when_they_are_needed() -> None:
    def plan(warm: int) -> Any:
        return cluster_plan([processor(infrastructure={"warm_instances": warm})], FACT, OPTIONS)

    for warm, made in ((0, 0), (2, 2), (50, PROCESSOR["max_instances"])):
        assert plan(warm)["auto_scaling_groups"][0]["warm_instances"] == made
    check = "ECS_WARM_POOLS_CHECK=true"
    assert check in plan(1)["launch_templates"][0]["user_data"]
    assert check not in plan(0)["launch_templates"][0]["user_data"]


def test_all_logs_of_a_stack_are_kept_as_long_and_encrypted_alike() -> None:
    groups = cluster_plan([processor()], FACT, {**OPTIONS, "kms_key_arn": "key"})["log_groups"]
    assert [group["name"] for group in groups] == [
        "/pasture/docs/summarize",
        "/pasture/docs/seed",
        "/pasture/docs/scaling/wakeup",
    ]
    assert {(group["retention_days"], group["kms_key_arn"]) for group in groups} == {(30, "key")}
    assert [group["tags"].get("pasture:processor") for group in groups] == ["summarize", None, None]


# --- scaling ----------------------------------------------------------------------------------------


def alarms(**options: Any) -> dict[str, dict[str, Any]]:
    plan = scaling_plan([processor()], FACT, {**OPTIONS, **options})
    return {alarm["name"].removeprefix("pasture-docs-summarize-"): alarm for alarm in plan["alarms"]}


def test_the_target_goes_from_nothing_to_all_tasks_of_all_instances() -> None:
    (target,) = scaling_plan([processor()], FACT, OPTIONS)["targets"]
    assert (target["min_capacity"], target["max_capacity"]) == (0, 40)
    outstanding, idle = target["policies"]
    assert len(outstanding["steps"]) <= 20
    assert outstanding["steps"][0]["metric_interval_lower_bound"] == 0
    assert outstanding["steps"][-1]["scaling_adjustment"] == 40
    assert idle["steps"] == [{"metric_interval_upper_bound": 0, "scaling_adjustment": 0}]


def test_documents_in_flight_count_so_that_busy_workers_stay() -> None:
    for alarm in alarms().values():
        watched = next(query for query in alarm["metrics"] if query["return_data"])
        assert "visible + FILL(in_flight, 0)" in watched["expression"]


def test_no_news_neither_wakes_nor_stops() -> None:
    assert {alarm["missing_data"] for alarm in alarms().values()} == {"notBreaching"}


@pytest.mark.parametrize(("idle_minutes", "window"), [(1, 60), (2, 60), (5, 240), (16, 900), (1440, 900)])
def test_tasks_go_later_than_they_come_but_before_the_service_is_idle(idle_minutes: int, window: int) -> None:
    plan = scaling_plan([{**processor(), "idle_minutes": idle_minutes}], FACT, OPTIONS)
    outstanding, idle = plan["alarms"]
    assert (outstanding["period"], outstanding["evaluation_periods"]) == (window, 1)
    assert (idle["period"], idle["evaluation_periods"]) == (60, idle_minutes)
    assert outstanding["period"] <= idle["period"] * idle["evaluation_periods"]


def test_a_service_that_was_just_woken_is_not_idle() -> None:
    idle = alarms()["idle"]
    assert any(query.get("metric_name") == "Woken" for query in idle["metrics"])
    assert "FILL(woken, 0)" in json.dumps(idle)
    assert idle["evaluation_periods"] == 5


def test_the_function_runs_one_at_a_time() -> None:
    # Of two that find the service at 0 the later would decide; one at a time, the second finds it awake.
    assert scaling_plan([processor()], FACT, OPTIONS)["function"]["reserved_concurrency"] == 1


def test_alarms_act_on_the_policies_that_were_made() -> None:
    resource = "service/pasture-docs/pasture-docs-summarize"
    made = alarms(
        service_policies={resource: {"outstanding": "arn:out", "idle": "arn:idle"}},
        group_policies={"pasture-docs-summarize": {"pasture-docs-summarize-idle": "arn:group"}},
    )
    assert made["outstanding"]["alarm_actions"] == ["arn:out"]
    assert made["idle"]["alarm_actions"] == ["arn:idle", "arn:group"]


def test_the_function_may_be_invoked_by_each_rule_and_nothing_else() -> None:
    permissions = scaling_plan([processor()], FACT, OPTIONS)["function"]["permissions"]
    assert [permission["source_arn"] for permission in permissions] == [
        "arn:aws:events:eu-west-1:123456789012:rule/pasture-docs-summarize-0",
        "arn:aws:events:eu-west-1:123456789012:rule/pasture-docs/pasture-docs-summarize-1",
        "arn:aws:events:eu-west-1:123456789012:rule/pasture-docs-keep-metrics",
    ]


def test_every_queue_is_used_before_its_metrics_end() -> None:
    (rule,) = scaling_plan([processor()], FACT, OPTIONS)["rules"]
    assert rule["schedule"] == "rate(4 hours)"
    assert rule["targets"][0]["input"] == {"queues": ["pasture-docs-summarize"]}
    assert scaling_plan([processor()], FACT, {**OPTIONS, "wake_up": False})["rules"] == []


def test_without_the_function_there_is_no_role_for_it() -> None:
    plan = scaling_plan([processor()], FACT, {**OPTIONS, "wake_up": False})
    assert plan["roles"] == []


# --- observability ----------------------------------------------------------------------------------


def test_three_alarms_tell_the_topic() -> None:
    plan = observability_plan([processor()], FACT, {**OPTIONS, "topic_arns": ["arn:topic"]})
    names = [alarm["name"].rsplit("-", 1)[-1] for alarm in plan["alarms"]]
    assert names == ["dlq", "age", "stalled"]
    assert all(alarm["alarm_actions"] == ["arn:topic"] for alarm in plan["alarms"])
    assert plan["alarms"][1]["threshold"] == 3600
    assert plan["alarms"][2]["evaluation_periods"] == 6


def test_the_dashboard_has_a_row_for_each_processor_and_no_overlaps() -> None:
    others = [processor(), {**processor(), "name": "translate"}]
    widgets = observability_plan(others, FACT, OPTIONS)["dashboard"]["widgets"]
    assert {widget["y"] for widget in widgets} == {0, 6}
    places = {(widget["x"], widget["y"]) for widget in widgets}
    assert len(places) == len(widgets)
    assert all(widget["x"] + widget["width"] <= 24 for widget in widgets)


# --- everything -------------------------------------------------------------------------------------


def test_everything_carries_the_tags_it_is_found_by() -> None:
    plans = {
        "cluster": cluster_plan([processor()], FACT, OPTIONS),
        "processor": processor_plan([processor()], FACT, OPTIONS),
        "scaling": scaling_plan([processor()], FACT, OPTIONS),
        "observability": observability_plan([processor()], FACT, OPTIONS),
    }
    for role, plan in plans.items():
        things = [
            thing
            for kind, value in plan.items()
            if isinstance(value, list) and kind != "group_policies"
            for thing in value
        ]
        assert things
        for thing in things:
            tags = thing["tags"]
            assert tags["pasture:stack"] == "docs"
            assert tags["pasture:role"] == role
            assert tags["team"] == "ai"


def test_a_partition_is_respected() -> None:
    china = {**FACT, "partition": "aws-cn", "region": "cn-north-1"}
    plans = [cluster_plan, processor_plan, scaling_plan, observability_plan]
    given = {**OPTIONS, "image": "", "file_system_arn": "arn:x", "access_point_arn": "arn:y"}
    text = json.dumps([plan([processor()], china, given) for plan in plans])
    assert "arn:aws:" not in text
