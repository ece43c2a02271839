# SPDX-License-Identifier: GPL-3.0-or-later
"""Workbooks: each sheet as comma-separated values, with the values that formulas had when it was saved."""

from __future__ import annotations

import csv
import io

import openpyxl

from ollama_worker.content import Content
from ollama_worker.errors import PermanentError
from ollama_worker.readers.archive import open_zip
from ollama_worker.readers.request import Request


def read(request: Request) -> Content:
    """The values of an xlsx file, a form feed between sheets."""
    open_zip(request.path, request.limits).close()
    with request.path.open("rb") as stream:
        workbook = openpyxl.load_workbook(stream, read_only=True, data_only=True, keep_links=False)
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        empty = True
        for number, sheet in enumerate(workbook.worksheets):
            out.write(("\f" if number else "") + f"## {sheet.title}\n\n")
            # What a file says of its own size is often wrong, and may be a million empty rows.
            sheet.reset_dimensions()
            for row in sheet.iter_rows(values_only=True):
                values = ["" if value is None else str(value) for value in row]
                while values and not values[-1]:
                    values.pop()
                if not values:
                    continue
                empty = False
                writer.writerow(values)
                if out.tell() > request.limits.max_text_characters:
                    raise PermanentError(
                        f"The workbook has more than {request.limits.max_text_characters} characters "
                        "(PASTURE_MAX_TEXT_CHARACTERS).",
                        slug="document-too-large",
                    )
        title = workbook.properties.title
        pages = len(workbook.worksheets)
    attributes = {"pages": pages, **({"title": title} if title else {})}
    return Content("" if empty else out.getvalue(), attributes=attributes)
