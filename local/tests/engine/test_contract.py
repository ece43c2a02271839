# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine answers as Ollama does: generate, chat and embed."""

from __future__ import annotations

import http.client
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

SMALL = {"num_ctx": 512, "temperature": 0, "num_predict": 8}
LONG = "word " * 2000


def test_the_root_says_that_ollama_is_running(engine: Any) -> None:
    assert engine.request("GET", "/") == (200, "Ollama is running")
    assert engine.request("HEAD", "/") == (200, "")


def test_unknown_paths_and_methods_are_refused(engine: Any) -> None:
    assert engine.request("GET", "/api/nothing") == (404, "404 page not found")
    assert engine.request("GET", "/api/generate") == (405, "405 method not allowed")


def test_a_plain_answer_has_text_reason_counts_and_durations(engine: Any) -> None:
    status, answer = engine.post("/api/generate", prompt="What is the sea?", options=SMALL)
    assert status == 200
    assert answer["model"] == "smollm2:135m"
    assert answer["response"]
    assert (answer["done"], answer["done_reason"], answer["eval_count"]) == (True, "length", 8)
    assert answer["prompt_eval_count"] > 8
    assert answer["total_duration"] >= answer["eval_duration"] > 0
    assert answer["context"]


def test_a_stream_makes_the_same_text_and_ends_with_done(engine: Any) -> None:
    parts = engine.lines("/api/generate", prompt="What is the sea?", options=SMALL)
    assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]
    _, plain = engine.post("/api/generate", prompt="What is the sea?", options=SMALL)
    assert "".join(part["response"] for part in parts) == plain["response"]


def test_chat_answers_as_the_assistant(engine: Any) -> None:
    messages = [{"role": "user", "content": "What is the sea?"}]
    parts = engine.lines("/api/chat", messages=messages, options=SMALL)
    assert {part["message"]["role"] for part in parts} == {"assistant"}
    status, plain = engine.post("/api/chat", messages=messages, options=SMALL)
    assert status == 200
    assert plain["message"]["content"] == "".join(part["message"]["content"] for part in parts)


def test_the_system_text_and_the_prompt_make_the_answer(engine: Any) -> None:
    answers = {
        engine.post("/api/generate", prompt=prompt, system=system, options=SMALL)[1]["response"]
        for prompt in ("Describe a horse.", "Describe a ship.")
        for system in ("You are brief.", "You only speak of the weather.")
    }
    assert len(answers) >= 3


def test_the_same_seed_makes_the_same_text(engine: Any) -> None:
    hot = {"num_ctx": 512, "num_predict": 12, "temperature": 1.5}
    texts = [
        engine.post("/api/generate", prompt="Invent a name.", raw=True, options={**hot, "seed": seed})[1][
            "response"
        ]
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_generation_stops_at_a_stop_text(engine: Any) -> None:
    options = {**SMALL, "num_predict": 40, "stop": [" four"]}
    _, answer = engine.post(
        "/api/generate", raw=True, prompt="one two three four one two three", options=options
    )
    assert " four" not in answer["response"]
    assert answer["done_reason"] == "stop"


@pytest.mark.parametrize(
    "wanted", ["json", {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}]
)
def test_a_format_makes_json(engine: Any, wanted: Any) -> None:
    options = {"num_ctx": 512, "temperature": 0, "num_predict": 120}
    _, answer = engine.post(
        "/api/generate", prompt="Ann is 30. Answer as JSON.", format=wanted, options=options
    )
    text = answer["response"]
    assert text.lstrip().startswith("{")
    if answer["done_reason"] == "stop" and wanted != "json":
        assert isinstance(json.loads(text)["age"], int)


def test_an_unknown_format_is_an_error(engine: Any) -> None:
    status, answer = engine.post("/api/generate", prompt="x", format="xml", options=SMALL)
    assert status == 500
    assert "invalid format" in answer["error"]


def test_a_template_of_ones_own_is_used(engine: Any) -> None:
    _, mine = engine.post("/api/generate", prompt="2, 4, 6,", template="1, {{ .Prompt }}", options=SMALL)
    _, raw = engine.post("/api/generate", prompt="1, 2, 4, 6,", raw=True, options=SMALL)
    assert mine["response"] == raw["response"]


@pytest.mark.parametrize("stream", [True, False])
def test_an_oversized_prompt_is_refused_when_it_may_not_be_cut(engine: Any, stream: bool) -> None:
    body = {"prompt": LONG, "truncate": False, "shift": False, "options": SMALL, "stream": stream}
    status, answer = engine.post("/api/generate", **body)
    assert status == 400
    inner = json.loads(answer["error"])["error"]
    assert inner["type"] == "exceed_context_size_error"
    assert inner["n_prompt_tokens"] > 2000
    assert inner["n_ctx"] == 512


def test_an_oversized_chat_is_refused_when_it_may_not_be_cut(engine: Any) -> None:
    messages = [{"role": "user", "content": LONG}]
    status, answer = engine.post("/api/chat", messages=messages, truncate=False, shift=False, options=SMALL)
    assert status == 400
    assert json.loads(answer["error"])["error"]["n_ctx"] == 512


def test_an_oversized_prompt_is_cut_by_default(engine: Any) -> None:
    status, answer = engine.post("/api/generate", prompt=LONG, options=SMALL)
    assert status == 200
    assert 200 < answer["prompt_eval_count"] < 300


def test_a_prompt_that_may_be_cut_but_not_shifted_is_refused(engine: Any) -> None:
    status, answer = engine.post("/api/generate", prompt=LONG, shift=False, options=SMALL)
    assert status == 400
    assert answer["error"].startswith("the prompt is longer than the context length currently available")


def test_an_empty_prompt_loads_and_keep_alive_zero_unloads(engine: Any) -> None:
    _, answer = engine.post("/api/generate", options={"num_ctx": 640}, keep_alive=-1)
    assert (answer["done"], answer["done_reason"], answer["response"]) == (True, "load", "")
    (loaded,) = engine.loaded()
    assert (loaded["name"], loaded["context_length"], loaded["size_vram"]) == ("smollm2:135m", 640, 0)
    assert loaded["size"] > 98_000_000
    _, answer = engine.post("/api/generate", keep_alive=0)
    assert answer["done_reason"] == "unload"
    assert engine.loaded() == []


def test_the_context_is_capped_at_what_the_model_was_trained_with(engine: Any) -> None:
    engine.post("/api/chat", options={"num_ctx": 1_000_000, "num_thread": 1})
    (loaded,) = engine.loaded()
    assert loaded["context_length"] == 8192
    engine.post("/api/chat", keep_alive=0)


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat", "/api/embed", "/api/show"])
def test_an_unknown_model_is_not_found(engine: Any, path: str) -> None:
    body = {"model": "missing:1b", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    assert engine.json("POST", path, body) == (404, {"error": "model 'missing:1b' not found"})


def test_what_the_model_cannot_do_is_refused(engine: Any) -> None:
    chat = [{"role": "user", "content": "x"}]
    assert engine.post("/api/generate", prompt="x", think=True) == (
        400,
        {"error": '"smollm2:135m" does not support thinking'},
    )
    status, answer = engine.post("/api/chat", messages=chat, tools=[{"type": "function"}])
    assert (status, answer["error"]) == (
        400,
        "registry.ollama.ai/library/smollm2:135m does not support tools",
    )
    status, answer = engine.post("/api/generate", prompt="x", suffix="y")
    assert status == 400
    status, answer = engine.post("/api/chat", messages=[{**chat[0], "images": ["aGVsbG8="]}], options=SMALL)
    assert status >= 400
    assert "multimodal" in answer["error"]


def test_bad_requests_say_why(engine: Any) -> None:
    assert engine.request("POST", "/api/generate")[0] == 400
    status, answer = engine.post("/api/generate", prompt="x", options={"num_ctx": "many"})
    assert (status, answer["error"]) == (500, 'option "num_ctx" must be of type integer')
    status, answer = engine.post("/api/generate", prompt="x", keep_alive="5")
    assert (status, answer["error"]) == (400, 'time: missing unit in duration "5"')


def test_embeddings_are_unit_vectors_that_tell_texts_apart(engine: Any) -> None:
    texts = ["a small boat on the sea", "a little ship on the ocean", "the price of copper wire"]
    status, answer = engine.post("/api/embed", input=texts, options={"num_ctx": 256})
    assert status == 200
    boat, ship, copper = answer["embeddings"]
    assert len(boat) == 576
    assert math.isclose(math.fsum(x * x for x in boat), 1, rel_tol=1e-4)
    assert answer["prompt_eval_count"] > 10

    def likeness(a: list[float], b: list[float]) -> float:
        return math.fsum(x * y for x, y in zip(a, b, strict=True))

    assert likeness(boat, ship) > likeness(boat, copper)
    _, short = engine.post("/api/embed", input=texts[0], dimensions=64, options={"num_ctx": 256})
    assert len(short["embeddings"][0]) == 64


def test_an_oversized_input_is_cut_or_refused(engine: Any) -> None:
    options = {"num_ctx": 256}
    assert engine.post("/api/embed", input=LONG, options=options)[0] == 200
    assert engine.post("/api/embed", input=LONG, truncate=False, options=options) == (
        400,
        {"error": "the input length exceeds the context length"},
    )


def test_requests_run_side_by_side(engine: Any) -> None:
    def ask(n: int) -> str:
        return str(engine.post("/api/generate", prompt=f"Count from {n}.", options=SMALL)[1]["response"])

    engine.post("/api/generate", options=SMALL)
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(ask, range(6)))


def test_a_client_that_goes_away_frees_its_slot(engine: Any) -> None:
    body = {"model": "smollm2:135m", "prompt": "Tell a very long story.", "options": {"num_ctx": 4096}}
    for stream in (True, False):
        for _ in range(2):  # as many as there are slots
            connection = http.client.HTTPConnection("127.0.0.1", engine.port)
            connection.request("POST", "/api/generate", json.dumps({**body, "stream": stream, "raw": True}))
            time.sleep(1)
            connection.close()
        started = time.monotonic()
        options = {"num_ctx": 4096, "num_predict": 2}
        assert engine.post("/api/generate", prompt="Hi", options=options)[0] == 200
        assert time.monotonic() - started < 45
