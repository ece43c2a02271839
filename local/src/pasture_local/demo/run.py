# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration, from an empty machine to results and back to zero."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from pasture_local import lifecycle
from pasture_local.cloud import Cloud
from pasture_local.demo import deployment, samples
from pasture_local.demo.errors import DemoError
from pasture_local.demo.samples import Document
from pasture_local.demo.screen import Screen
from pasture_local.demo.stack import Rejection, Result, Stack
from pasture_local.home import Home, State
from pasture_local.supervisor import StartError

STACK, PROCESSOR = "demo", "summarize"
#: The model whose weights come with the embedded engine.
MODEL = "smollm2:135m"
PROMPT = "Summarize the document in two or three sentences."
#: Alarms, idle minutes and the like pass so much faster than on AWS.
SPEED = 20.0
_NUM_CTX = 1024
_LOOK_SECONDS = 0.5
#: A service whose tasks have ended by themselves so often will not get better by waiting.
_MOST_ENDS = 3


def variables(model: str, prompt: str) -> dict[str, Any]:
    """The variables of the deployment: what a user writes in a playbook of his own."""
    return {
        "pasture_stack": STACK,
        "pasture_processors": [
            {
                "name": PROCESSOR,
                "model": model,
                "prompt": prompt,
                # A model this small does better with the same task again than with talk about parts and wholes.
                "combine_prompt": prompt,
                # The same document has the same result each time; a small model's answer may ramble; and tasks
                # that share two cores are quickest with a thread each.
                "options": {
                    "temperature": 0,
                    "seed": 1,
                    "num_predict": 100,
                    "repeat_penalty": 1.2,
                    "num_thread": 1,
                },
                "on_length": "accept",
                "num_ctx": _NUM_CTX,
                "slots": 1,
                "infrastructure": {"instance_type": "m6i.large", "gpus": 0, "max_memory": 4096},
                "max_instances": 2,
                "idle_minutes": 1,
            }
        ],
    }


def demo(
    home: Home,
    *,
    document: Path | None,
    prompt: str | None,
    model: str | None,
    keep: bool,
    port: int,
    record: Path | None,
    timeout: float,
) -> int:
    """Run the demonstration; 0 when every document ended as it should, 1 otherwise."""
    screen = Screen()
    owner = _Owner(home)
    try:
        documents = _documents(document, prompt)
        screen.heading("Starting the embedded cloud")
        state = owner.up(port, record)
        running = "" if owner.started else ", which was running already"
        screen.good(f"AWS emulator at {state.endpoint_url}{running}")
        run = _Run(home, state, screen, time.monotonic() + timeout, fresh=owner.started)
        run.deploy(model or MODEL, prompt or PROMPT)
        well = run.process(documents)
        run.rest()
        if keep:
            owner.release()
        run.summary(kept=keep or not owner.started)
    except (DemoError, StartError) as error:
        screen.still()
        print(error, file=sys.stderr)
        return 1
    except (ClientError, BotoCoreError) as error:
        screen.still()
        print(f"The embedded cloud refused something: {error} Its logs are in {home.logs}.", file=sys.stderr)
        return 1
    else:
        return 0 if well else 1
    finally:
        screen.still()
        owner.end()


def _documents(document: Path | None, prompt: str | None) -> list[Document]:
    """What is to be processed. Raises DemoError when that cannot be."""
    if prompt is not None and not prompt.strip():
        raise DemoError("The prompt is empty: say what the model is to do with each document.")
    return [samples.given(document)] if document else samples.own()


class _Owner:
    """Owns the cloud for as long as the demonstration lasts, unless one was there before."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lifeline = lifecycle.Lifeline()
        self.started = True  # until it is known to be another's
        self._begun = False
        self._released = False

    def up(self, port: int, record: Path | None) -> State:
        self._begun = True
        state, self.started = lifecycle.up(
            self._home, port=port, speed=SPEED, record=record, lifeline=self._lifeline
        )
        return state

    def release(self) -> None:
        """Leave it running."""
        if self.started:
            self._lifeline.release()
        self._released = True

    def end(self) -> None:
        """End it, if it is this demonstration's to end."""
        if self._begun and self.started and not self._released:
            lifecycle.down(self._home)


class _Run:
    def __init__(self, home: Home, state: State, screen: Screen, deadline: float, *, fresh: bool) -> None:
        self._home = home
        self._state = state
        self._screen = screen
        self._deadline = deadline
        self._cloud = Cloud(state.endpoint_url, state.region)
        # In a cloud that has seen a demonstration before, the same keys would have results already.
        self._folder = "" if fresh else f"{time.strftime('%Y%m%d-%H%M%S')}/"
        self._stack: Stack | None = None
        self._results: dict[str, Result] = {}
        self._model = MODEL

    @property
    def stack(self) -> Stack:
        if self._stack is None:
            self._stack = Stack(self._cloud, STACK, PROCESSOR)
        return self._stack

    def _wait(self) -> None:
        """A moment; raises when the time is over or the cloud has gone."""
        if time.monotonic() > self._deadline:
            raise DemoError(f"It is not done in time; what goes on is told by the logs in {self._home.logs}.")
        if not self._home.is_running():
            raise DemoError(f"The embedded cloud has ended unexpectedly; its logs are in {self._home.logs}.")
        time.sleep(_LOOK_SECONDS)

    # --- The stages ---------------------------------------------------------------------------------------------

    def deploy(self, model: str, prompt: str) -> None:
        """The collection's own playbook, against the emulator."""
        self._model = model
        self._screen.heading("Deploying the stack with ansible-playbook pasture.ollama.local")
        roles: list[str] = []
        begun = time.monotonic()

        def progress(role: str, task: str) -> None:
            nonlocal begun
            if not roles or roles[-1] != role:
                if roles:
                    self._screen.good(f"{roles[-1]} ({time.monotonic() - begun:.0f} s)")
                roles.append(role)
                begun = time.monotonic()
            self._screen.moving(f"{role}: {task}")

        done, changed = deployment.run(self._home, variables(model, prompt), progress, self._wait)
        self._screen.still()
        if roles:
            self._screen.good(f"{roles[-1]} ({time.monotonic() - begun:.0f} s)")
        self._screen.good(f"{done} tasks, {changed} of them changed something:")
        for line in self.stack.inventory():
            self._screen.note(line)
        for line in self.stack.models():
            self._screen.note(f"model {line}")

    def process(self, documents: Sequence[Document]) -> bool:
        """Drop the documents, and tell of each how it ended; returns whether all ended as they should."""
        self._screen.heading("Dropping documents into the source bucket")
        self._require_a_rule(documents)
        waiting: dict[str, Document] = {}
        for document in documents:
            key = f"{self._folder}{document.key}"
            url = self.stack.submit(key, document.content)
            waiting[key] = document
            self._screen.good(f"{url} ({document.about}, {len(document.content):,} bytes)")
        self._screen.heading("Processing, by the deployed rule, function, service, alarms and policies")
        well = True
        woken = False
        while waiting:
            self._wait()
            snapshot = self.stack.snapshot()
            self._screen.moving(str(snapshot))
            if snapshot.running and not woken:
                woken = True
                self._screen.good("the service has a running task")
            for key in list(waiting):
                if result := self.stack.result(key):
                    well &= self._tell_result(waiting.pop(key), result)
            if snapshot.rejected:
                for rejection in self.stack.rejections():
                    if rejection.key in waiting:
                        well &= self._tell_rejection(waiting.pop(rejection.key), rejection)
            self._give_up_on_a_service_that_fails()
        self._screen.still()
        return well

    def rest(self) -> None:
        """Wait until the deployed alarms and policies have taken everything to zero."""
        self._screen.heading("Waiting for the service to go back to zero")
        while not (snapshot := self.stack.snapshot()).at_rest:
            self._screen.moving(str(snapshot))
            self._wait()
        self._screen.still()
        self._screen.good("no task, no instance: nothing would be paid for but storage")

    def summary(self, *, kept: bool) -> None:
        """Where things are."""
        screen, state = self._screen, self._state
        screen.heading("Done")
        tokens = sum(r.prompt_tokens + r.output_tokens for r in self._results.values())
        screen.note(f"{len(self._results)} results, {tokens:,} tokens, model {self._model}")
        screen.note(f"logs: {self._home.logs}")
        if not kept:
            screen.note("The cloud and its documents are gone now; --keep (make demo KEEP=1) leaves them.")
            return
        home = "" if self._home.path == Path(".pasture").absolute() else f" --home {self._home.path}"
        command = Path(sys.executable).parent
        screen.note(f"The cloud goes on at {state.endpoint_url}. To look around, and to submit more:")
        screen.line()
        screen.line(f'    export PATH="{command}:$PATH"')
        if collections := os.environ.get("ANSIBLE_COLLECTIONS_PATH"):
            screen.line(f"    export ANSIBLE_COLLECTIONS_PATH={collections}")
        screen.line(f'    eval "$(pasture-local{home} env)"')
        screen.line(
            f"    ansible-playbook pasture.ollama.submit -e pasture_stack={STACK} -e files=FILE -e wait=true"
        )
        screen.line(f"    ansible-playbook pasture.ollama.status -e pasture_stack={STACK}")
        screen.line()
        screen.note(f"To end it: make demo-down, or pasture-local{home} down.")

    # --- Telling ------------------------------------------------------------------------------------------------

    def _require_a_rule(self, documents: Sequence[Document]) -> None:
        """A document that no rule lets through would be waited for in vain."""
        suffixes = self.stack.suffixes()
        for document in documents:
            if suffixes and not document.key.lower().endswith(tuple(suffixes)):
                kinds = ", ".join(suffixes)
                raise DemoError(
                    f"{document.key} is of no kind that the model reads: its name has to end in {kinds}."
                )

    def _tell_result(self, document: Document, result: Result) -> bool:
        self._results[document.key] = result
        screen = self._screen
        line = f"{document.key}: {result.prompt_tokens:,} tokens read, {result.output_tokens:,} written, "
        line += f"{result.parts} part{'s' if result.parts > 1 else ''}, {result.seconds:.1f} s"
        if document.rejected:
            screen.bad(f"{line}; it should have been rejected")
        elif result.dropped > 0:
            screen.bad(f"{line}; {result.dropped} characters were dropped")
        else:
            screen.good(line)
        screen.note(result.url)
        screen.quote(result.text)
        return not document.rejected and result.dropped <= 0

    def _tell_rejection(self, document: Document, rejection: Rejection) -> bool:
        line = f"{document.key}: rejected ({rejection.kind})"
        (self._screen.good if document.rejected else self._screen.bad)(line)
        self._screen.note(rejection.reason)
        return document.rejected

    def _give_up_on_a_service_that_fails(self) -> None:
        ended = self.stack.ended()
        if len(ended) < _MOST_ENDS or self._results:
            return
        last = ended[-1]
        words = re.sub(r"\s+", " ", self.stack.last_words(last.task_id)).strip()
        code = "" if last.exit_code is None else f" (exit status {last.exit_code})"
        raise DemoError(
            f"The worker does not stay up{code}: {words or last.reason}. "
            f"Its logs are in {self._home.logs / 'tasks'}."
        )
