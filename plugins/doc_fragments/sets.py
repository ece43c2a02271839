# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the modules that make a set of like things in one process."""

from __future__ import annotations


class ModuleDocFragment:
    """Use with C(extends_documentation_fragment: pasture.ollama.sets)."""

    DOCUMENTATION = r"""
options:
  state:
    description: Whether the listed things are to exist.
    type: str
    choices: [present, absent]
    default: present
  scope:
    description:
      - Tags that mark what belongs to the set, such as the tag C(pasture:stack) of a stack.
      - With it, what carries these tags and is not listed is returned in C(unlisted), or removed with O(purge=true).
    type: dict
  purge:
    description:
      - Remove what is in O(scope) but not listed.
      - With an empty list, everything in scope is removed, also what an interrupted run has left.
    type: bool
    default: false
  remove:
    description:
      - Names of things in O(scope) to remove, such as those that an earlier task returned in C(unlisted).
      - What has such a name and is not in O(scope), or is listed, stays as it is.
    type: list
    elements: str
  purge_tags:
    description:
      - Remove tags that are not given from the things that are listed.
      - Tags that AWS sets by itself always stay.
    type: bool
    default: true
notes:
  - The things are handled side by side. When one of them fails the others are still tried, and the next run picks up
    from there.
"""
