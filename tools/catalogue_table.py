# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the table of models in docs/models.md anew from the catalogue.

python tools/catalogue_table.py          # write it
python tools/catalogue_table.py --check  # exit 1 when it is not what the catalogue says
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "models.md"
BEGIN = "<!-- The table below is made by tools/catalogue_table.py; do not edit it. -->\n"
END = "<!-- End of the table. -->\n"


def catalogue() -> ModuleType:
    """The collection's catalogue, from the sources."""
    sys.path.insert(0, str(ROOT / ".build" / "dev"))
    return importlib.import_module("ansible_collections.pasture.ollama.plugins.module_utils._catalogue")


def size(count: int) -> str:
    """Bytes as the library's pages write them."""
    if count >= 10**10:
        return f"{count / 1e9:.0f} GB"
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"


def tokens(count: int) -> str:
    """Tokens of context as the library's pages write them."""
    if count >= 1024**2:
        return f"{count / 1024**2:g}M"
    return f"{count // 1024}K" if count >= 1024 else str(count)


def rows(module: ModuleType) -> list[str]:
    """The lines of the table."""
    lines = [
        "| model | family | can | reads | tags: weights, context |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in module.names():
        model = module.find(name)
        reads = [
            kind for kind, mark in (("text", "text/plain"), ("images", "image/png")) if mark in model.inputs
        ]
        tags = ", ".join(
            f"`{tag.name}` {size(tag.size)} {tokens(tag.context_length)}" for tag in model.tags.values()
        )
        lines.append(
            f"| `{name}` | {model.family} | {', '.join(model.capabilities)} | {', '.join(reads)} | {tags} |"
        )
    return lines


def page(text: str, module: ModuleType) -> str:
    """The page with its table made anew."""
    before, _begin, rest = text.partition(BEGIN)
    _table, _end, after = rest.partition(END)
    return before + BEGIN + "\n" + "\n".join(rows(module)) + "\n\n" + END + after


def main(arguments: list[str]) -> int:
    text = PAGE.read_text(encoding="utf-8")
    made = page(text, catalogue())
    if "--check" in arguments:
        if made != text:
            print(
                "docs/models.md is not what the catalogue says: run python tools/catalogue_table.py",
                file=sys.stderr,
            )
        return int(made != text)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
