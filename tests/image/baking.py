# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance that an AMI is made of, played by a thread: it does what its user data says that matters here."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# An instance of bake.yml's, and in which states it costs something.
LEFT = [
    {"Name": "tag:pasture:role", "Values": ["image"]},
    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
]


def instances(ec2: Any) -> list[dict[str, Any]]:
    """The baking instances that are there."""
    described = ec2.describe_instances(Filters=LEFT)
    return [one for reservation in described["Reservations"] for one in reservation["Instances"]]


def user_data(ec2: Any, instance_id: str) -> str:
    """The script that an instance was started with."""
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    return base64.b64decode(answer["UserData"]["Value"]).decode()


@contextmanager
def baker(
    ec2: Any, *, without: str = "", pull: Callable[[str], object] = lambda image: None
) -> Iterator[list[str]]:
    """Pull what a new baking instance is told to pull, and stop it; gives the images that were pulled.

    :param pull: pulls an image; without it there is nothing but the AMI to be looked at.
    :param without: the id of an instance that does nothing any more.
    """
    pulled: list[str] = []
    end = threading.Event()

    def play() -> None:
        while not end.wait(0.5):
            for instance in instances(ec2):
                if instance["State"]["Name"] == "running" and instance["InstanceId"] != without:
                    script = user_data(ec2, instance["InstanceId"])
                    (image,) = re.findall(r"docker pull --quiet '(\S+)'", script)
                    pull(image)
                    pulled.append(image)
                    assert script.endswith("\nshutdown -h now\n")
                    ec2.stop_instances(InstanceIds=[instance["InstanceId"]])

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        yield pulled
    finally:
        end.set()
        thread.join(60)
