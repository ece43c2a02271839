# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What AWS takes for the names of buckets and for tags.

For internal use of this collection only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET = re.compile(r"^(?=.{3,63}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
_ADDRESS = re.compile(r"^\d+\.\d+\.\d+\.\d+$")
_BUCKET_BEGINNINGS = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_ENDINGS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

# What all services take: https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html
_KEY_LENGTH, _VALUE_LENGTH = 128, 256
_SIGNS = frozenset("_.:/=+-@")
# A resource has up to 50, and a stack's own are Name, pasture:stack, pasture:processor and pasture:image.
_MOST_TAGS = 46


def bucket_problems(names: Iterable[str]) -> Iterator[str]:
    """One sentence for each name that no bucket can have; empty names are none."""
    for name in names:
        if name and (
            not _BUCKET.match(name)
            or _ADDRESS.match(name)
            or name.startswith(_BUCKET_BEGINNINGS)
            or name.endswith(_BUCKET_ENDINGS)
        ):
            yield (
                f"'{name}' is not the name of a bucket: these have 3 to 63 lower-case letters, digits, hyphens and "
                "dots, and begin and end with a letter or digit; check pasture_storage."
            )


def tag_problems(tags: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each tag that AWS refuses."""
    if len(tags) > _MOST_TAGS:
        yield f"pasture_tags has {len(tags)} tags; AWS takes 50 with the own ones of a stack: give up to {_MOST_TAGS}."
    for key, value in tags.items():
        text = str(value)
        if str(key).lower().startswith(("aws:", "pasture:")):
            yield f"The tag '{key}' of pasture_tags begins with a prefix that is not yours; choose another name."
        if not 1 <= len(str(key)) <= _KEY_LENGTH:
            yield f"The tag '{key}' of pasture_tags has {len(str(key))} characters; a name has 1 to {_KEY_LENGTH}."
        if len(text) > _VALUE_LENGTH:
            yield f"The tag '{key}' of pasture_tags has a value of {len(text)} characters; AWS takes {_VALUE_LENGTH}."
        strange = sorted({character for character in f"{key}{text}" if not _in_tags(character)})
        if strange:
            yield (
                f"The tag '{key}' of pasture_tags holds {' '.join(map(repr, strange))}; AWS takes letters, digits, "
                "spaces and _ . : / = + - @ in tags."
            )


def _in_tags(character: str) -> bool:
    """Whether it is of the pattern that most services check: [\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]."""
    return character in _SIGNS or unicodedata.category(character)[0] in "LZN"
