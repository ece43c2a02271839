# SPDX-License-Identifier: GPL-3.0-or-later
"""Events: from S3 and PutEvents over rules to queues and functions."""

from __future__ import annotations

import io
import json
import queue
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from typing import Any

import pytest

OBJECT_CREATED = {"source": ["aws.s3"], "detail-type": ["Object Created"]}


def bucket_pattern(bucket: str) -> dict[str, Any]:
    return OBJECT_CREATED | {
        "detail": {
            "bucket": {"name": [bucket]},
            "object": {"key": [{"suffix": {"equals-ignore-case": ".txt"}}]},
        }
    }


class Pipe:
    """A queue, and rules that feed it."""

    def __init__(self, cloud: Any, name: str) -> None:
        self.cloud, self.name = cloud, name
        self.sqs, self.events = cloud.client("sqs"), cloud.client("events")
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        self.arn = f"arn:aws:sqs:eu-west-1:123456789012:{name}"

    def allow(self) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {
                "ArnLike": {"aws:SourceArn": f"arn:aws:events:eu-west-1:123456789012:rule/*{self.name}*"}
            },
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def rule(self, pattern: dict[str, Any] | None, bus: str = "default", **options: Any) -> None:
        target = options.pop("target", {})
        given = {"EventPattern": json.dumps(pattern)} if pattern else {}
        self.events.put_rule(Name=self.name, EventBusName=bus, **given, **options)
        self.events.put_targets(
            Rule=self.name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": self.arn, **target}]
        )

    def send(self, bus: str = "default", **detail: Any) -> None:
        entry = {"Source": self.name, "DetailType": "document-created", "Detail": json.dumps(detail)}
        answer = self.events.put_events(Entries=[{**entry, "EventBusName": bus}])
        assert answer["FailedEntryCount"] == 0

    def received(self, url: str | None = None) -> list[Any]:
        messages = self.sqs.receive_message(QueueUrl=url or self.url, MaxNumberOfMessages=10).get(
            "Messages", []
        )
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture
def pipe(cloud: Any, name: str) -> Pipe:
    return Pipe(cloud, name)


def make_bucket(cloud: Any, name: str) -> Any:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )
    return s3


@pytest.mark.mends("s3-object-events")
def test_an_object_becomes_the_event_that_aws_documents(pipe: Pipe) -> None:
    pipe.allow()
    s3 = make_bucket(pipe.cloud, pipe.name)
    pipe.rule(bucket_pattern(pipe.name))
    s3.put_object(Bucket=pipe.name, Key="a file.png", Body=b"png")
    s3.put_object(Bucket=pipe.name, Key="über uns/A.TXT", Body=b"text")
    (event,) = pipe.received()
    stored = event["detail"]["object"]
    assert stored["key"] == "über uns/A.TXT"
    assert stored["etag"] == "1cb251ec0d568de6a929b520c4aed8d1"
    assert stored["size"] == 4
    assert "version-id" not in stored
    assert event["detail"]["reason"] == "PutObject"
    assert event["detail"]["requester"] == "123456789012"
    assert event["time"].endswith("Z")


@pytest.mark.mends("s3-object-events")
def test_each_event_has_its_own_id_and_the_version_of_the_object(pipe: Pipe) -> None:
    pipe.allow()
    s3 = make_bucket(pipe.cloud, pipe.name)
    s3.put_bucket_versioning(Bucket=pipe.name, VersioningConfiguration={"Status": "Enabled"})
    pipe.rule(bucket_pattern(pipe.name))
    versions = {s3.put_object(Bucket=pipe.name, Key="a.txt", Body=b"text")["VersionId"] for _ in range(3)}
    events = pipe.received()
    assert len({event["id"] for event in events}) == 3
    assert {event["detail"]["object"]["version-id"] for event in events} == versions


@pytest.mark.mends("s3-object-events")
def test_object_events_stay_on_the_default_bus(pipe: Pipe) -> None:
    pipe.allow()
    s3 = make_bucket(pipe.cloud, pipe.name)
    pipe.events.create_event_bus(Name=pipe.name)
    pipe.rule(bucket_pattern(pipe.name), bus=pipe.name)
    s3.put_object(Bucket=pipe.name, Key="a.txt", Body=b"text")
    assert pipe.received() == []


@pytest.mark.mends("events-delivery")
def test_a_disabled_rule_gets_nothing(pipe: Pipe) -> None:
    pipe.allow()
    pipe.rule({"source": [pipe.name]}, State="DISABLED")
    pipe.send()
    assert pipe.received() == []


@pytest.mark.mends("events-delivery")
def test_a_scheduled_rule_gets_no_events(pipe: Pipe) -> None:
    pipe.allow()
    pipe.rule(None, ScheduleExpression="rate(1 minute)")
    pipe.send()
    assert pipe.received() == []


@pytest.mark.mends("events-delivery")
def test_an_event_arrives_whole(pipe: Pipe) -> None:
    pipe.allow()
    pipe.events.create_event_bus(Name=pipe.name)
    pipe.rule(
        {"source": [pipe.name], "detail": {"data": {"document": {"type": ["text/plain"]}}}}, bus=pipe.name
    )
    pipe.send(bus=pipe.name, data={"document": {"type": "image/png"}})
    pipe.send(bus=pipe.name, data={"document": {"type": "text/plain"}})
    (event,) = pipe.received()
    assert event["account"] == "123456789012"
    assert event["detail"] == {"data": {"document": {"type": "text/plain"}}}
    assert "ingestion-time" not in event


@pytest.mark.mends("events-delivery")
@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ({"Input": '{"a": 1}'}, {"a": 1}),
        ({"InputPath": "$.detail"}, {"key": 'it\'s "a.txt"'}),
        ({"InputPath": "$.detail-type"}, "document-created"),
        (
            {
                "InputTransformer": {
                    "InputPathsMap": {"key": "$.detail.key", "detail": "$.detail"},
                    "InputTemplate": '{"k": <key>, "text": "got <key>", "all": <detail>}',
                }
            },
            {"k": 'it\'s "a.txt"', "text": 'got it\'s "a.txt"', "all": {"key": 'it\'s "a.txt"'}},
        ),
    ],
    ids=["constant", "path", "dashed path", "template"],
)
def test_the_input_of_a_target_is_made_as_it_says(pipe: Pipe, target: dict[str, Any], wanted: Any) -> None:
    pipe.allow()
    pipe.rule({"source": [pipe.name]}, target=target)
    pipe.send(key='it\'s "a.txt"')
    assert pipe.received() == [wanted]


@pytest.mark.mends("events-delivery")
def test_a_queue_gets_only_what_its_policy_allows(pipe: Pipe) -> None:
    dead = pipe.sqs.create_queue(QueueName=f"{pipe.name}-dead")["QueueUrl"]
    pipe.rule({"source": [pipe.name]}, target={"DeadLetterConfig": {"Arn": f"{pipe.arn}-dead"}})
    pipe.send(n=1)
    assert pipe.received() == []
    assert [event["detail"] for event in pipe.received(dead)] == [{"n": 1}]


def make_function(cloud: Any, name: str) -> str:
    role = cloud.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("main.py", "def handle(event, context): pass\n")
    function = cloud.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="main.handle",
        Code={"ZipFile": package.getvalue()},
    )
    return str(function["FunctionArn"])


@pytest.mark.mends("events-delivery")
def test_an_event_for_a_function_is_posted_to_the_function_runner(pipe: Pipe, functions: Any) -> None:
    arn = make_function(pipe.cloud, pipe.name)
    pipe.allow()
    pipe.rule({"source": [pipe.name]})
    pipe.events.put_targets(Rule=pipe.name, Targets=[{"Id": "wake", "Arn": arn, "Input": '{"service": "s"}'}])
    pipe.send(n=1)
    with pytest.raises(queue.Empty):  # the function has not allowed it yet
        functions.received.get(timeout=0.3)
    pipe.cloud.client("lambda").add_permission(
        FunctionName=pipe.name,
        StatementId="events",
        Action="lambda:InvokeFunction",
        Principal="events.amazonaws.com",
        SourceArn=f"arn:aws:events:eu-west-1:123456789012:rule/{pipe.name}",
    )
    pipe.send(n=2)
    assert functions.received.get(timeout=30) == {"function_arn": arn, "event": {"service": "s"}}
    assert len(pipe.received()) == 2


@pytest.mark.mends("events-schedules")
def test_rule_with_a_schedule_fires_when_it_is_told_to(cloud: Any, name: str) -> None:
    pipe = Pipe(cloud, name)
    pipe.allow()
    pipe.rule(None, ScheduleExpression="rate(4 hours)", target={"Input": '{"queues": []}'})
    arn = urllib.parse.quote(pipe.events.describe_rule(Name=name)["Arn"], safe="")
    order = urllib.request.Request(f"{cloud.url}/moto-api/pasture/rules?arn={arn}", method="POST")  # noqa: S310 - the emulator's
    urllib.request.urlopen(order, timeout=10).close()  # noqa: S310 - as above
    [message] = pipe.sqs.receive_message(QueueUrl=pipe.url)["Messages"]
    assert json.loads(message["Body"]) == {"queues": []}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{order.full_url}-gone", timeout=10)  # noqa: S310 - as above
