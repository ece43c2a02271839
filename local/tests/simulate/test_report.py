# SPDX-License-Identifier: GPL-3.0-or-later
"""What the command prints and writes, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pasture_local.cli import main

SCALING = str(Path(__file__).parents[3] / "docs" / "scaling" / "default.json")


def test_a_table_has_a_column_for_each_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "burst:10", "--scaling", SCALING, "--price", "2", "--currency", "EUR"]) == 0
    printed = capsys.readouterr().out
    assert "burst:10: 10 documents" in printed
    for label in ("default", "Lakechain", "all done after", "waited, 95 %", "instance hours", "EUR"):
        assert label in printed


def test_the_brief_table_has_a_line_for_each_trace_and_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "burst:1", "burst:10", "--scaling", SCALING, "--brief"]) == 0
    lines = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.count("|") == 9]
    cells = [[cell.strip() for cell in line] for line in lines]
    assert [line[:2] for line in cells[1:]] == [
        ["burst:1", "default"], ["", "Lakechain"], ["burst:10", "default"], ["", "Lakechain"],
    ]  # fmt: skip
    assert float(cells[1][4]) < 0.8
    assert cells[2][4] == "", "the baseline is not compared with itself"


def test_pictures_and_json_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    png, svg, figures = tmp_path / "a.png", tmp_path / "a.svg", tmp_path / "a.json"
    arguments = ["simulate", "burst:10", "--scaling", SCALING, "--scaling", SCALING, "--json", str(figures)]
    assert main([*arguments, "--picture", str(png), "--picture", str(svg)]) == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "<svg" in svg.read_text()
    [trace] = json.loads(figures.read_text())["traces"]
    assert [run["name"] for run in trace["runs"]] == ["default", "default", "Lakechain"]
    for run in trace["runs"]:
        assert run["documents"] == 10
        assert run["unfinished"] == 0
        assert max(run["instances"]["count"]) == run["max_instances"]
        assert len(run["instances"]["count"]) == len(run["instances"]["seconds"])
    assert capsys.readouterr().out.count("written: ") == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["burst:1"], "Name a deployed processor"),
        (["burst:1", "--stack", "docs"], "Name a deployed processor"),
        (["flood:1", "--scaling", SCALING], "is no trace"),
        (["burst:1", "--scaling", "/nowhere.json"], "cannot be read"),
        (["burst:1", "burst:2", "--scaling", SCALING, "--picture", "x.png"], "A picture shows one trace"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().out.split())
