# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and tags that AWS would refuse are refused before anything is made."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.pasture.ollama.plugins.filter.names import FilterModule

naming_problems = FilterModule().filters()["naming_problems"]


@pytest.mark.parametrize("name", ["docs", "my.documents-2", "0ab", "a" * 63, ""])
def test_a_bucket_can_have_this_name(name: str) -> None:
    assert naming_problems({}, [name]) == []


@pytest.mark.parametrize(
    "name",
    [
        "My_Bucket",
        "ab",
        "a" * 64,
        "-docs",
        "docs-",
        "a..b",
        "a.-b",
        "192.168.5.4",
        "xn--docs",
        "docs-s3alias",
        "s3://docs",
    ],
)
def test_a_bucket_cannot_have_this_name(name: str) -> None:
    (told,) = naming_problems({}, [name])
    assert told.startswith(f"'{name}' is not the name of a bucket: ")


def test_tags_may_hold_what_all_services_take() -> None:
    assert naming_problems({"Kostenstelle 7": "Abteilung/Öffentlichkeit + Presse @Köln", "empty": ""}) == []
    assert naming_problems({"k" * 128: "v" * 256, "number": 7}) == []


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ({"aws:cost": "x"}, "The tag 'aws:cost' of pasture_tags begins with a prefix that is not yours"),
        ({"pasture:stack": "x"}, "begins with a prefix that is not yours"),
        ({"k" * 129: "x"}, "has 129 characters; a name has 1 to 128."),
        ({"": "x"}, "The tag '' of pasture_tags has 0 characters"),
        ({"a": "v" * 257}, "The tag 'a' of pasture_tags has a value of 257 characters; AWS takes 256."),
        ({"a": "R&D (new)"}, "The tag 'a' of pasture_tags holds '&' '(' ')'; AWS takes letters"),
        ({str(number): "x" for number in range(47)}, "pasture_tags has 47 tags"),
    ],
)
def test_tags_that_aws_refuses(tags: dict[str, str], sentence: str) -> None:
    (told,) = naming_problems(tags)
    assert sentence in told


def test_tags_are_a_mapping() -> None:
    with pytest.raises(AnsibleFilterError, match="not a mapping"):
        naming_problems(["a"])
