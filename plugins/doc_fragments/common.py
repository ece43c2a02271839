# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation that every module of this collection shares."""

from __future__ import annotations


class ModuleDocFragment:
    """Use with C(extends_documentation_fragment: pasture.ollama.common)."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Tells what would change without changing it, also where the things it depends on do not exist yet.
  diff_mode:
    support: full
    description: Shows the changed keys before and after.
  action_group:
    support: full
    membership: [pasture.ollama.aws]
    description: Use C(group/pasture.ollama.aws) in C(module_defaults) to set the region and credentials of all modules.
"""

    # For modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: N/A
    description: Changes nothing in any mode.
  action_group:
    support: full
    membership: [pasture.ollama.aws]
    description: Use C(group/pasture.ollama.aws) in C(module_defaults) to set the region and credentials of all modules.
"""
