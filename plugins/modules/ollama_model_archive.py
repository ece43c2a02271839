#!/usr/bin/python
# Copyright: Contributors to the pasture.ollama project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ollama_model_archive
version_added: 1.0.0
short_description: Put a model that Ollama has pulled into one file
description:
  - Makes a tar archive of one model out of a local store of Ollama's, with its manifest and all its blobs.
  - Such an archive in a bucket is a model for stacks without a way to the Internet. See the option C(from) of
    M(pasture.ollama.ollama_model), and the playbook C(pasture.ollama.mirror), which does all of it.
  - The same model always makes the same archive, and every blob is checked against its digest.
options:
  name:
    description: The model, with or without its tag.
    type: str
    required: true
  path:
    description: The archive to write.
    type: path
    required: true
  store:
    description: The folder of the store.
    type: path
    default: ~/.ollama/models
author:
  - Contributors to the pasture.ollama project (@pasture)
attributes:
  check_mode:
    support: full
    description: Tells whether the archive would be written, from whether there is one.
  diff_mode:
    support: none
    description: What is written is not text.
"""

EXAMPLES = r"""
- name: Archive a model
  pasture.ollama.ollama_model_archive:
    name: llama3.1:8b
    path: /var/tmp/llama3.1-8b.tar
"""

RETURN = r"""
digest:
  description: The SHA-256 of the archive.
  returned: when there is one
  type: str
  sample: sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
size:
  description: The bytes of the archive, which are those of the model and a few more.
  returned: when there is one
  type: int
  sample: 4920760320
path:
  description: The archive.
  returned: always
  type: str
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.pasture.ollama.plugins.module_utils._archive import (
    ArchiveError,
    digest_of,
    members,
    write_archive,
)
from ansible_collections.pasture.ollama.plugins.module_utils._definition import (
    DefinitionError,
    split_reference,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "store": {"type": "path", "default": "~/.ollama/models"},
        },
        supports_check_mode=True,
    )
    target = Path(module.params["path"])
    partial = target.with_name(f"{target.name}.partial")
    store = Path(module.params["store"])
    try:
        name, tag = split_reference(module.params["name"])
        paths = members(store, name, tag or "latest")
        if module.check_mode:
            module.exit_json(changed=not target.exists(), path=str(target))
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = write_archive(store, paths, partial)
        changed = digest_of(target) != digest
        partial.replace(target)
    except (ArchiveError, DefinitionError) as error:
        partial.unlink(missing_ok=True)
        module.fail_json(msg=str(error))
    except OSError as error:
        partial.unlink(missing_ok=True)
        module.fail_json(msg=f"{target} could not be written: {error}.")
    module.exit_json(changed=changed, digest=digest, size=size, path=str(target))


if __name__ == "__main__":
    main()
