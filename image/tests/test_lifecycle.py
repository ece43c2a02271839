# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, engine, store of models, drain and end of the worker."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fake_ollama import FakeOllama
from worker_cloud import DEADLINE, Cloud, Worker, wait_for

from ollama_worker.engine.store import ModelStore
from ollama_worker.errors import SettingsError
from ollama_worker.model import parse_definition
from ollama_worker.schema import make_validator
from ollama_worker.settings import from_environment

FAKE = Path(__file__).with_name("fake_ollama.py")


@pytest.fixture
def engine_path(tmp_path: Path) -> str:
    """A PATH whose ``ollama serve`` is the fake with a store of models on disk."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ollama"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def engine_pids(store: Path) -> list[int]:
    return [int(line) for line in (store / "pids").read_text().split()] if (store / "pids").exists() else []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_worker_pulls_a_missing_model_once_and_ends_its_engine(
    cloud: Cloud, engine_path: str, tmp_path: Path
) -> None:
    store = tmp_path / "models"
    settings = cloud.settings(PATH=engine_path, PASTURE_STORE=str(store))
    cloud.put("a.txt", "text")
    with Worker(settings, tmp_path / "w") as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert ModelStore(store).complete("tiny:latest")
    assert not list((store / ".staging").glob("*"))
    assert not any(alive(pid) for pid in engine_pids(store))
    with Worker(settings, tmp_path / "w") as worker:
        wait_for(lambda: "model loaded" in worker.text(), worker=worker)
        assert "pulling the model" not in worker.text()
        worker.process.kill()
        worker.process.wait()
        # However the worker ends, its engine ends with it.
        wait_for(lambda: not any(alive(pid) for pid in engine_pids(store)))


def test_an_engine_that_dies_is_started_again_and_the_document_gets_its_answer(
    cloud: Cloud, engine_path: str, tmp_path: Path
) -> None:
    store = tmp_path / "models"
    settings = cloud.settings(PATH=engine_path, PASTURE_STORE=str(store), FAKE_SECONDS="2")
    with Worker(settings, tmp_path / "w") as worker:
        wait_for(lambda: "model loaded" in worker.text(), worker=worker)
        cloud.put("a.txt", "text")
        (pid,) = filter(alive, engine_pids(store))
        wait_for((store / "chats").exists, worker=worker)
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert engine_pids(store)[-1] != pid
        assert worker.stop() == 0
    assert cloud.result_keys() == ["summarize/a.txt.txt"]
    # It was one receive: an outage of the engine costs none.
    assert '"receives": 1' in worker.text()
    assert "DocumentsRetried" not in worker.text()


def test_a_gpu_task_on_the_cpu_is_refused(cloud: Cloud, ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.size_vram_share = 0.4
    cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_GPUS="1"), tmp_path) as worker:
        assert worker.process.wait(30) == 1
    assert "not on the GPU" in worker.text()
    assert cloud.outstanding() == 1


_WRITTEN_BY_HAND = {
    "schema_version": 1,
    "name": "tiny",
    "tag": "latest",
    "inputs": ["text/plain"],
    "outputs": ["text/plain"],
}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ([], "is not a JSON object"),
        ({"tag": None}, "has no 'tag'; register the model again"),
        ({"inputs": "text/plain"}, "has no list 'inputs'"),
        ({"outputs": []}, "has no list 'outputs'"),
        ({"options": ["seed"]}, "has 'options' that are no object"),
        ({"from": "tiny.gguf"}, "has 'from': \"tiny.gguf\""),
        ({"from": "s3://models/tiny.gguf", "digest": 5}, "has 'digest': 5"),
        ({"schema_version": "1"}, "has no schema_version"),
    ],
)
def test_a_definition_that_was_broken_by_hand_is_one_sentence(broken: object, reason: str) -> None:
    text = json.dumps({**_WRITTEN_BY_HAND, **broken} if isinstance(broken, dict) else broken)
    with pytest.raises(SettingsError, match=re.escape(reason)) as told:
        parse_definition(text, "/pasture/docs/models/tiny/latest")
    assert "/pasture/docs/models/tiny/latest" in str(told.value)
    assert parse_definition(json.dumps(_WRITTEN_BY_HAND), "p").reference == "tiny:latest"


@pytest.mark.parametrize("definition", ["no json", '{"schema_version": 2, "name": "x"}'])
def test_a_broken_definition_is_told_and_no_message_is_taken(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path, definition: str
) -> None:
    cloud.ssm.put_parameter(Name=cloud.parameter, Value=definition, Type="String", Overwrite=True)
    cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: "model definition" in worker.text(), worker=worker)
        assert worker.process.poll() is None
        assert worker.stop() == 0
    names = ["ApproximateNumberOfMessages"]
    answer = cloud.sqs.get_queue_attributes(QueueUrl=cloud.queue, AttributeNames=names)
    assert answer["Attributes"]["ApproximateNumberOfMessages"] == "1"


@pytest.mark.slow
def test_a_definition_that_is_mended_is_taken_up_by_the_worker_that_waits(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    cloud.ssm.put_parameter(Name=cloud.parameter, Value="{", Type="String", Overwrite=True)
    cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: "model definition" in worker.text(), worker=worker)
        cloud.define()
        wait_for(lambda: len(cloud.result_keys()) == 1, worker=worker)
        assert worker.stop() == 0


@pytest.mark.slow
def test_weights_that_are_no_model_do_not_have_the_worker_start_again_and_again(
    cloud: Cloud, engine_path: str, tmp_path: Path
) -> None:
    cloud.s3.put_object(Bucket=cloud.source, Key="tiny.gguf", Body=b"nothing of the kind")
    cloud.define(**{"from": f"s3://{cloud.source}/tiny.gguf"})
    cloud.put("a.txt", "text")
    settings = cloud.settings(PATH=engine_path, PASTURE_STORE=str(tmp_path / "models"))
    with Worker(settings, tmp_path / "w") as worker:
        wait_for(lambda: "is neither a GGUF file nor an archive" in worker.text(), worker=worker)
        time.sleep(2.0)
        assert worker.process.poll() is None
        # Its message is there for another worker.
        assert cloud.outstanding() == 1
        assert len(cloud.messages(cloud.queue)) == 1
        cloud.define()
        # ECS starts the task again, with the definition as it is now.
        assert worker.process.wait(DEADLINE) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PASTURE_QUEUE_URL", ""),
        ("PASTURE_PROMPT", " "),
        ("PASTURE_PROMPT", "{{ secret }}"),
        ("PASTURE_OPTIONS", "[1]"),
        ("PASTURE_FORMAT", "xml"),
        ("PASTURE_FORMAT", '{"type": "nonsense"}'),
        ("PASTURE_SLOTS", "many"),
        ("PASTURE_NUM_CTX", "-1"),
        ("PASTURE_THINK", "maybe"),
        ("PASTURE_TASK", "dream"),
    ],
)
def test_a_wrong_setting_is_named(cloud: Cloud, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        make_validator(from_environment({**cloud.settings(), name: value}).format)


def test_a_stop_finishes_what_is_inferred_and_hands_back_the_rest(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    ollama.seconds = 3.0
    for number in range(5):
        cloud.put(f"{number}.txt", f"text {number}")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: ollama.busy == 1, worker=worker)
        assert worker.stop() == 0
    assert len(cloud.result_keys()) == 1
    # Visible at once: nobody has to wait for a timeout.
    assert len(cloud.messages(cloud.queue)) == 4


@pytest.mark.slow
def test_a_stop_ends_in_time_although_the_engine_hangs(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    ollama.seconds = 120.0
    cloud.put("a.txt", "text")
    settings = cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_STOP_TIMEOUT="8")
    with Worker(settings, tmp_path) as worker:
        wait_for(lambda: ollama.busy == 1, worker=worker)
        # Far less than the engine takes.
        assert worker.stop(30) == 0
    assert len(cloud.messages(cloud.queue)) == 1


def test_a_failing_document_is_given_up_after_the_last_receive_with_its_reason(
    endpoint: str, ollama: FakeOllama, tmp_path: Path
) -> None:
    cloud = Cloud(endpoint, max_receives=1)
    ollama.fail = lambda body: (500, {"error": "llama runner process has terminated"})
    cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    (message,) = cloud.messages(cloud.dlq)
    assert "llama runner process has terminated" in message["MessageAttributes"]["Reason"]["StringValue"]
    assert [event["detail-type"] for event in cloud.announced()] == ["document-failed"]


@pytest.mark.parametrize(
    "failure",
    [(200, {"error": "an error in the middle of a stream"}), (0, None), (503, {"error": "server busy"})],
    ids=["mid-stream", "dropped connection", "busy"],
)
def test_a_call_that_fails_once_is_made_again_within_the_receive(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path, failure: tuple[int, object]
) -> None:
    failures = iter([failure])
    ollama.fail = lambda body: next(failures, None)
    cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert cloud.result_keys() == ["summarize/a.txt.txt"]
    assert "DocumentsRetried" not in worker.text()


@pytest.mark.slow
def test_a_document_that_failed_for_now_is_done_when_it_comes_back_and_so_is_its_twin(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    # As often as a call is made within one receive: the document goes back to the queue, and comes again.
    failures = iter([(500, {"error": "llama runner process has terminated"})] * 3)
    ollama.fail = lambda body: next(failures, None)
    event = cloud.put("a.txt", "text")
    cloud.send(json.dumps(event))
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert "DocumentsRetried" in worker.text()
    assert len(ollama.chats) == 1
    assert len(cloud.announced()) == 2


def test_an_answer_without_done_is_no_success(cloud: Cloud, ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.forget_done = True
    cloud.put("a.txt", "text")
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url), tmp_path) as worker:
        wait_for(lambda: "DocumentsRetried" in worker.text(), worker=worker)
        assert worker.stop() == 0
    assert cloud.result_keys() == []


@pytest.mark.slow
def test_a_message_stays_ours_while_it_is_worked_on(cloud: Cloud, ollama: FakeOllama, tmp_path: Path) -> None:
    ollama.seconds = 10.0
    cloud.put("a.txt", "text")
    settings = cloud.settings(OLLAMA_HOST=ollama.url, PASTURE_VISIBILITY_SECONDS="6")
    with Worker(settings, tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    assert len(ollama.chats) == 1


@pytest.mark.slow
def test_protection_is_asked_for_when_busy_and_given_up_at_the_end(
    cloud: Cloud, ollama: FakeOllama, tmp_path: Path
) -> None:
    states: list[object] = []

    class Agent(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            assert self.path == "/api/task-protection/v1/state"
            states.append(
                json.loads(self.rfile.read(int(self.headers["Content-Length"])))["ProtectionEnabled"]
            )
            body = b'{"protection": {}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Agent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ollama.seconds = 0.5
    for number in range(4):
        cloud.put(f"{number}.txt", "text")
    uri = f"http://127.0.0.1:{server.server_address[1]}/api"
    with Worker(cloud.settings(OLLAMA_HOST=ollama.url, ECS_AGENT_URI=uri), tmp_path) as worker:
        wait_for(lambda: cloud.outstanding() == 0, worker=worker)
        assert worker.stop() == 0
    server.shutdown()
    server.server_close()
    assert states == [True, False]


@pytest.mark.slow
def test_seed_check_process_and_health(
    cloud: Cloud, ollama: FakeOllama, engine_path: str, tmp_path: Path
) -> None:
    store = tmp_path / "models"
    seed = {"PATH": engine_path, "PASTURE_STORE": str(store)}
    seeders = [
        Worker(seed, tmp_path / f"s{n}", "-m", "ollama_worker", "seed", "tiny:latest") for n in range(2)
    ]
    assert [seeder.process.wait(60) for seeder in seeders] == [0, 0]
    assert sum('"pulled": true' in seeder.text() for seeder in seeders) == 1
    assert ModelStore(store).complete("tiny:latest")
    with Worker(seed, tmp_path / "s", "-m", "ollama_worker", "seed", "unknown:latest") as missing:
        assert missing.process.wait(60) == 1
    assert "unknown:latest" in missing.text()

    def command(settings: dict[str, str], *arguments: str) -> tuple[int, str]:
        with Worker(settings, tmp_path / "c", "-m", "ollama_worker", *arguments) as run:
            return run.process.wait(60), run.text()

    good = cloud.settings(OLLAMA_HOST=ollama.url)
    status, table = command(good, "check")
    assert status == 0, table
    status, table = command({**good, "PASTURE_RESULTS_BUCKET": "not-there"}, "check")
    assert status == 1
    assert "WRONG  results bucket" in table
    document = tmp_path / "note.md"
    document.write_text("# A note")
    ollama.answer = lambda body: "It is a note."
    status, text = command(
        {"OLLAMA_HOST": ollama.url}, "process", str(document), "--model", "tiny", "--prompt", "Q"
    )
    assert (status, text) == (0, "It is a note.\n")
    status, text = command(
        {"OLLAMA_HOST": ollama.url}, "process", "nothing.txt", "--model", "tiny", "--prompt", "Q"
    )
    assert status == 1
    assert text == "ollama-worker: There is no file nothing.txt.\n"
    assert command({}, "health")[0] == 1
    with Worker(good, tmp_path / "c") as worker:
        wait_for(lambda: command({}, "health")[0] == 0, worker=worker)
