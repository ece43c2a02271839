# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m pasture_local.emulator.patches docs/fidelity.md``: write the table of patches anew."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pasture_local.emulator.patches import PATCHES

BEGIN, END = "<!-- patches: made by python -m pasture_local.emulator.patches -->", "<!-- end of patches -->"


def table() -> str:
    """The patches as a Markdown table: by name, with the reasons and the pages that their docstrings give."""
    rows: dict[str, tuple[list[str], list[str]]] = {}
    for patch in PATCHES:
        reasons, links = rows.setdefault(patch.name, ([], []))
        text = " ".join((getattr(getattr(patch, "function", None), "__doc__", "") or "").split())
        for link in re.findall(r"https://\S+", text):
            if link not in links:
                links.append(link)
        reason = re.sub(r"\s*https://\S+(\s\(\w+\))?", "", text).replace("|", "\\|")
        if reason and reason not in reasons:
            reasons.append(reason)
    lines = ["| patch | reason | AWS says |", "| --- | --- | --- |"]
    for name, (reasons, links) in rows.items():
        pages = " ".join(
            f"[{link.rstrip('/').rpartition('/')[2].removesuffix('.html')}]({link})" for link in links
        )
        lines.append(f"| `{name}` | {' '.join(reasons)} | {pages} |")
    return "\n".join(lines)


def with_table(document: str) -> str:
    """A document with the table between its marks."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main(argv: list[str]) -> int:
    """Rewrite the named file."""
    path = Path(argv[0])
    path.write_text(with_table(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
