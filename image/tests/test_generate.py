# SPDX-License-Identifier: GPL-3.0-or-later
"""Long documents, structured output, embeddings: through the real client and a fake engine that records."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fake_ollama import FakeOllama, count
from least_settings import NEEDED

from ollama_worker.content import Content
from ollama_worker.engine.client import OllamaClient, Profile
from ollama_worker.engine.manager import EngineFacts
from ollama_worker.errors import PermanentError
from ollama_worker.generate import Answer
from ollama_worker.infer import Inference
from ollama_worker.settings import from_environment


class Engine:
    """What `Inference` needs of the engine's manager, without a process."""

    def __init__(self, fake: FakeOllama, num_ctx: int) -> None:
        self.client = OllamaClient(fake.url, silence_seconds=10)
        self.profile = Profile(fake.model, {"num_ctx": num_ctx})
        self.facts = EngineFacts("0", "d", ("completion",), "llama", 4, num_ctx)

    def wait_ready(self, seconds: float | None = None) -> bool:
        return True

    def report(self, error: Exception) -> None:
        pass


Ask = Callable[..., Answer]


@pytest.fixture
def ask(ollama: FakeOllama) -> Ask:
    def run(content: Content | str, num_ctx: int = 512, **variables: str) -> Answer:
        settings = from_environment({**NEEDED, **variables, "PASTURE_NUM_CTX": str(num_ctx)})
        engine: Any = Engine(ollama, num_ctx)
        content = Content(content) if isinstance(content, str) else content
        return Inference(settings, engine).answer(content, "key.txt", {"title": "T"})

    return run


def english() -> str:
    return "\n\n".join(
        f"Paragraph {n} says that the weather was fine. It went on for days." for n in range(200)
    )


LONG = {
    "paragraphs": english(),
    "one line without a break": "abcdefghij" * 2000,
    "pages": "\f".join(f"Page {n}. " + "word " * 80 for n in range(40)),
    "rows": "name,value\n" + "".join(f"row {n},{n * 7}\n" for n in range(1500)),
    "another script": "これは長い文書です。" * 900,
    "cues": "WEBVTT\n\n"
    + "".join(f"00:{n // 60:02}:{n % 60:02}.000 --> x\nLine {n}\n\n" for n in range(400)),
}


@pytest.mark.parametrize("place", ["beginning", "middle", "end"])
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_every_character_of_a_long_document_is_sent(
    ollama: FakeOllama, ask: Ask, text: str, place: str
) -> None:
    fact = " The password is swordfish-7731. "
    at = {"beginning": 0, "middle": len(text) // 2, "end": len(text)}[place]
    text = text[:at] + fact + text[at:]
    # An engine that knows only what it was told: it hands on the fact when a question holds it.
    ollama.answer = lambda body: "swordfish-7731" if "swordfish" in body["messages"][-1]["content"] else "no."
    answer = ask(text, PASTURE_COMBINE_PROMPT="COMBINE")
    parts = [p.removeprefix("Q\n\n") for p in ollama.prompts() if p.startswith("Q\n\n")]
    assert "".join(parts).encode() == text.encode()
    assert answer.text == "swordfish-7731"
    assert answer.usage.parts == len(parts) > 1
    assert answer.usage.characters == len(text)
    assert all(sum(count(m["content"]) for m in body["messages"]) < 512 for body in ollama.chats)


def test_answers_are_combined_in_as_few_calls_as_fit(ollama: FakeOllama, ask: Ask) -> None:
    ollama.answer = lambda body: "a short answer"
    answer = ask(english(), PASTURE_COMBINE_PROMPT="COMBINE {{ parts }} {{ prompt }}: {{ document }}")
    combining = [p for p in ollama.prompts() if p.startswith("COMBINE")]
    assert len(combining) == 1
    assert combining[0].startswith(f"COMBINE {answer.usage.parts} Q: ")
    assert answer.usage.combine_rounds == 1


def test_long_answers_are_combined_in_rounds(ollama: FakeOllama, ask: Ask) -> None:
    ollama.answer = lambda body: "summary " * (40 if body["messages"][-1]["content"].startswith("Q") else 20)
    answer = ask(english(), PASTURE_COMBINE_PROMPT="COMBINE")
    assert answer.usage.combine_rounds > 1


def test_a_combine_prompt_that_makes_answers_longer_is_given_up(ollama: FakeOllama, ask: Ask) -> None:
    ollama.answer = lambda body: "more and more " * 60
    with pytest.raises(PermanentError) as caught:
        ask(english(), PASTURE_COMBINE_PROMPT="COMBINE")
    assert caught.value.slug == "combine-diverges"


def test_overflow_may_be_refused(ollama: FakeOllama, ask: Ask) -> None:
    with pytest.raises(PermanentError) as caught:
        ask(english(), PASTURE_ON_OVERFLOW="fail")
    assert caught.value.slug == "context-exceeded"
    assert ollama.chats == []


def test_a_prompt_without_room_for_a_document_says_so(ask: Ask) -> None:
    with pytest.raises(PermanentError) as caught:
        ask("text", PASTURE_PROMPT="long " * 600)
    assert caught.value.slug == "prompt-too-long"


def test_an_answer_that_was_cut_off_is_a_failure_unless_accepted(ollama: FakeOllama, ask: Ask) -> None:
    ollama.done_reason = "length"
    with pytest.raises(PermanentError) as caught:
        ask("text")
    assert caught.value.slug == "answer-cut-off"
    accepted = ask("text", PASTURE_ON_LENGTH="accept")
    assert accepted.done_reason == "length"


def test_an_empty_answer_is_asked_for_again_and_then_a_failure(ollama: FakeOllama, ask: Ask) -> None:
    ollama.answer = lambda body: " \n"
    with pytest.raises(PermanentError) as caught:
        ask("text", PASTURE_FORMAT_RETRIES="1")
    assert caught.value.slug == "empty-answer"
    assert len(ollama.chats) == 2


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def test_structured_output_is_validated_and_asked_for_again(ollama: FakeOllama, ask: Ask) -> None:
    answers = iter(["no json", '{"n": "text"}', '{"n": 3}'])
    ollama.answer = lambda body: next(answers)
    answer = ask("text", PASTURE_FORMAT=json.dumps(SCHEMA))
    assert json.loads(answer.text) == {"n": 3}
    assert answer.usage.format_retries == 2
    assert ollama.chats[0]["format"] == SCHEMA
    assert "'text' is not of type 'integer'" in ollama.prompts()[2]


def test_output_that_never_matches_fails_with_the_validators_words(ollama: FakeOllama, ask: Ask) -> None:
    ollama.answer = lambda body: "{}"
    with pytest.raises(PermanentError, match="'n' is a required property") as caught:
        ask("text", PASTURE_FORMAT=json.dumps(SCHEMA))
    assert caught.value.slug == "invalid-output"


def test_think_system_and_placeholders_reach_the_engine(ollama: FakeOllama, ask: Ask) -> None:
    ask(
        "a text that says {{ key }}",
        PASTURE_PROMPT="{{ key }} {{ metadata.title }} {{ metadata.none }}: {{document}}!",
        PASTURE_THINK="low",
        PASTURE_SYSTEM="Be terse.",
    )
    (body,) = ollama.chats
    assert body["think"] == "low"
    assert body["messages"][0] == {"role": "system", "content": "Be terse."}
    assert body["messages"][1]["content"] == "key.txt T : a text that says {{ key }}!"


def test_pictures_are_asked_about_one_by_one_and_combined(ollama: FakeOllama, ask: Ask) -> None:
    answer = ask(Content(images=(b"one", b"two")))
    assert [body["messages"][-1].get("images") for body in ollama.chats] == [["b25l"], ["dHdv"], None]
    assert answer.usage.images == 2


def test_embeddings_are_lines_with_offsets(ollama: FakeOllama, ask: Ask) -> None:
    text = english()
    answer = ask(text, PASTURE_TASK="embed")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert len(lines) > 1
    assert all(text[line["start"] : line["end"]] == line["text"] for line in lines)
    assert "".join(line["text"] for line in lines) == text
    assert all(len(line["embedding"]) == 3 for line in lines)
    assert all(body["truncate"] is False for body in ollama.embeds)


def test_embeddings_of_dense_text_are_split_until_they_fit(ollama: FakeOllama, ask: Ask) -> None:
    text = "0123456789" * 500
    lines = [json.loads(line) for line in ask(text, num_ctx=64, PASTURE_TASK="embed").text.splitlines()]
    assert "".join(line["text"] for line in lines) == text


def test_the_engines_refusal_corrects_the_estimate(ollama: FakeOllama, ask: Ask) -> None:
    # Four characters a token is what the fake counts; for this script the worker guesses one.
    ollama.answer = lambda body: "ok"
    text = "ж" * 3000
    answer = ask(text, num_ctx=1024)
    assert answer.usage.characters == 3000


def test_the_gate_lets_no_more_through_than_the_engine_runs(ollama: FakeOllama, ask: Ask) -> None:
    ollama.seconds = 0.05
    settings = from_environment(NEEDED)
    engine: Any = Engine(ollama, 4096)
    inference = Inference(settings, engine)
    threads = [threading.Thread(target=inference.answer, args=(Content("x"), "k", {})) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ollama.most_busy <= engine.facts.slots
