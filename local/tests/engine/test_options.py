# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, options, names and templates."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pasture_local.engine import names, options, template
from pasture_local.engine.errors import ApiError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ("127.0.0.1", 11434)),
        ("0.0.0.0", ("0.0.0.0", 11434)),  # noqa: S104 - only parsed
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        (":8080", ("127.0.0.1", 8080)),
        ("http://example.com", ("example.com", 80)),
        ("http://example.com:1234/", ("example.com", 1234)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(text: str, wanted: tuple[str, int]) -> None:
    assert options.address(text) == wanted


def test_a_port_that_is_none_is_a_sentence() -> None:
    with pytest.raises(ValueError, match="'many' is not a port"):
        options.address("localhost:many")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0),
        (90, 90),
        (-1, math.inf),
        ("5m", 300),
        ("1h30m", 5400),
        ("-1s", math.inf),
        ("0", 0),
        ("1.5s", 1.5),
    ],
)
def test_keep_alive_is_a_number_of_seconds_or_a_duration(value: object, seconds: float) -> None:
    assert options.duration(value) == seconds


@pytest.mark.parametrize("value", ["5", "soon", "", True, None])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ApiError) as refused:
        options.duration(value)
    assert refused.value.status == 400


def test_the_environment_makes_the_settings() -> None:
    settings = options.Settings.from_environment(
        {"OLLAMA_MODELS": "/m", "OLLAMA_KEEP_ALIVE": "-1", "OLLAMA_NUM_PARALLEL": "3", "OLLAMA_NOPRUNE": "1"}
    )
    assert settings.models == Path("/m")
    assert (settings.keep_alive, settings.num_parallel, settings.prune) == (math.inf, 3, False)
    with pytest.raises(ValueError, match="OLLAMA_NUM_PARALLEL=two is not a whole number"):
        options.Settings.from_environment({"OLLAMA_NUM_PARALLEL": "two"})


def test_a_requests_options_go_over_the_models() -> None:
    merged = options.merge({"top_k": 1, "stop": ["a"]}, {"top_k": 2, "num_ctx": 512.0, "unknown": 1}, 4096)
    assert (merged["top_k"], merged["num_ctx"], merged["stop"]) == (2, 512, ["a"])
    assert "unknown" not in merged


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("llama3.1", "llama3.1:latest"),
        ("me/model:1", "me/model:1"),
        ("host:5000/me/model", "host:5000/me/model:latest"),
        ("registry.ollama.ai/library/x:y", "x:y"),
    ],
)
def test_a_name_is_completed(text: str, shortest: str) -> None:
    assert names.parse(text).shortest == shortest


@pytest.mark.parametrize("text", ["", ":tag", "a b", "../x", "x:y:z", "a/b/c/d/e"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(names.InvalidNameError):
        names.parse(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ .System }}: {{ .Prompt }}", "S: P"),
        ("{{ if .System }}[{{ .System }}]{{ end }}{{ .Prompt }}", "[S]P"),
        ("{{ if .Suffix }}x{{ else }}y{{ end }}", "y"),
        ("a  {{- .Prompt -}}  b", "aPb"),
        ("{{ .Prompt }} -> {{ .Response }} end", "P -> "),
    ],
)
def test_a_template_is_filled(text: str, wanted: str) -> None:
    assert template.render(text, {"System": "S", "Prompt": "P", "Suffix": ""}) == wanted


@pytest.mark.parametrize(
    "text", ["{{ range .Messages }}{{ end }}", "{{ .Unknown }}", "{{ if .System }}x", "{{ end }}"]
)
def test_a_template_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(template.TemplateError):
        template.render(text, {"System": "S", "Prompt": "P"})
