# SPDX-License-Identifier: GPL-3.0-or-later
"""The flow of documents: receive, prepare, infer, finish, on threads of their own.

    receiver -> preparing threads -> ready queue -> one thread per slot -> finishing threads

Each inference slot has a thread that takes the next prepared document the moment it is done with one;
loading and storing go on beside it. The number of messages in hand is bounded, so memory is too,
whatever the backlog. Threads, because all that is waited for are sockets (which release the
interpreter's lock) and botocore is synchronous.

One more thread, the keeper, extends the visibility of all messages in hand, holds the task's
scale-in protection and writes the health file.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ollama_worker import log
from ollama_worker.age import process_age
from ollama_worker.depth import Depth
from ollama_worker.documents import DocumentWork, Job, SkippedError
from ollama_worker.engine.manager import EngineManager
from ollama_worker.errors import EngineError, PermanentError, RetryableError, StoppingError, WorkerError
from ollama_worker.events import DocumentEvent, Ignored, parse
from ollama_worker.health import HealthFile
from ollama_worker.protection import TaskProtection
from ollama_worker.settings import Settings
from ollama_worker.source import SupersededError
from ollama_worker.sqs import BATCH, Message, Queue, retry_delay

_TICK = 0.25
# Between two attempts to receive when SQS cannot be reached.
_RECEIVE_PAUSE = 5.0
# Kept of the stop timeout for handing back, announcing and closing the engine.
_STOP_MARGIN = 12.0
# Threads that prepare, and as many that finish; they are made when they are needed.
_SIDE_THREADS = 8
# After these a document gets its next receive even if the queue counts it as one too many.
_NOT_THE_DOCUMENTS_FAULT = frozenset({StoppingError.slug, EngineError.slug})


@dataclass(slots=True, eq=False)
class Delivery:
    """A message in hand and what became of the documents in it."""

    message: Message
    received: float = field(default_factory=time.monotonic)
    open_documents: int = 0
    retry: RetryableError | None = None
    settled: bool = False
    lost: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Twins:
    """Documents that came twice at the same time: the first is worked on, the others wait for its result."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[Job, list[tuple[Delivery, Job]]]] = {}

    def enter(self, fingerprint: str, work: tuple[Delivery, Job]) -> bool:
        """Whether it is the first; if not, it waits until the first leaves."""
        with self._lock:
            first = self._waiting.get(fingerprint)
            if first is not None:
                first[1].append(work)
                return False
            self._waiting[fingerprint] = (work[1], [])
            return True

    def leave(self, fingerprint: str, job: Job) -> list[tuple[Delivery, Job]]:
        """Those who waited for `job`."""
        with self._lock:
            first = self._waiting.get(fingerprint)
            if first is None or first[0] is not job:
                return []
            del self._waiting[fingerprint]
            return first[1]


class Pipeline:
    """Processes the messages of one queue until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        messages: Queue,
        work: DocumentWork,
        engine: EngineManager,
        metrics: log.Metrics,
        stopping: threading.Event,
    ) -> None:
        self._settings = settings
        self._messages = messages
        self._work = work
        self._engine = engine
        self._metrics = metrics
        self._stopping = stopping
        self._abandon = threading.Event()
        self._done = threading.Event()
        self._in_hand: set[Delivery] = set()
        self._changed = threading.Condition()
        self._ready: queue.SimpleQueue[tuple[Delivery, Job] | None] = queue.SimpleQueue()
        self._health = HealthFile(settings.work_dir)
        self._protection = TaskProtection(settings.ecs_agent_uri)
        self._twins = _Twins()
        self._max_receives: int | None = None
        self._slots = settings.slots
        self._depth = Depth(self._slots)
        self._first = threading.Lock()

    def run(self) -> None:
        """Work until `stopping` is set and everything in hand is finished or handed back.

        :raises EngineError: when the engine cannot be used; all messages were handed back.
        """
        keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        keeper.start()
        try:
            self._await_engine()
            self._slots = min(self._settings.slots, self._engine.facts.slots)
            self._depth = Depth(self._slots)
            self._max_receives = self._read_max_receives()
            self._flow()
        except StoppingError:
            pass
        finally:
            self._done.set()
            keeper.join(10.0)
            self._protection.update(busy=False, final=True)
        if self._engine.failure is not None and not self._stopping.is_set():
            raise self._engine.failure

    @property
    def abandoned(self) -> bool:
        """Whether what is still in inference is to be given up."""
        return self._abandon.is_set()

    def _await_engine(self) -> None:
        while not self._engine.wait_ready(_TICK):
            if self._stopping.is_set():
                raise StoppingError("Told to stop before the engine was ready.")

    def _read_max_receives(self) -> int | None:
        try:
            return self._messages.max_receives()
        except WorkerError as error:
            log.warning("the last receive of a message will not be recognised", error=str(error))
            return None

    def _flow(self) -> None:
        slots = [
            threading.Thread(target=self._slot, name=f"slot-{number}", daemon=True)
            for number in range(self._slots)
        ]
        self._prepare_pool = ThreadPoolExecutor(_SIDE_THREADS, "prepare")
        self._finish_pool = ThreadPoolExecutor(_SIDE_THREADS, "finish")
        try:
            for slot in slots:
                slot.start()
            self._receive_until_stopped()
            self._drain()
        finally:
            for _ in slots:
                self._ready.put(None)
            for slot in slots:
                slot.join(1.0)
            # Whoever is still waiting for a socket is left behind: its message was handed back.
            self._prepare_pool.shutdown(wait=False, cancel_futures=True)
            self._finish_pool.shutdown(wait=False, cancel_futures=True)

    def _receive_until_stopped(self) -> None:
        while not self._stopping.is_set():
            if self._engine.failure is not None:
                return
            with self._changed:
                # One message in each slot, the others being loaded, ready or being stored.
                ahead = self._depth.ahead
                free = self._slots + ahead - len(self._in_hand)
                # Half of those ahead are enough for now: one call then brings several.
                if free < max(1, ahead // 2):
                    self._changed.wait(_TICK)
                    continue
            if not self._engine.ready:
                self._stopping.wait(_TICK)
                continue
            try:
                received = self._messages.receive(min(free, BATCH), self._settings.poll_seconds)
            except WorkerError as error:
                log.warning("receive failed", error=str(error), error_type=error.slug)
                self._stopping.wait(_RECEIVE_PAUSE)
                continue
            for message in received:
                delivery = Delivery(message)
                with self._changed:
                    self._in_hand.add(delivery)
                self._prepare_pool.submit(self._guarded, delivery, self._prepare, delivery)

    def _drain(self) -> None:
        """Finish what is in inference, hand back what is not."""
        begun = time.monotonic()
        margin = min(_STOP_MARGIN, self._settings.stop_timeout / 2)
        patience = self._settings.stop_timeout - margin
        log.info("draining", in_hand=len(self._in_hand))
        with self._changed:
            while self._in_hand:
                late = time.monotonic() - begun > patience
                if (late or self._engine.failure is not None) and not self._abandon.is_set():
                    log.warning("giving up what is in inference", in_hand=len(self._in_hand))
                    self._abandon.set()
                    self._engine.abort()
                if time.monotonic() - begun > patience + margin / 2:
                    break
                self._changed.wait(_TICK)
        for delivery in list(self._in_hand):
            self._settle(delivery, StoppingError("The worker stops."))

    def _prepare(self, delivery: Delivery) -> None:
        """Everything before inference."""
        try:
            parsed = parse(delivery.message.body)
        except PermanentError as error:
            self._reject(delivery, None, error)
            self._settle(delivery)
            return
        events = [event for event in parsed if isinstance(event, DocumentEvent)]
        for entry in parsed:
            if isinstance(entry, Ignored):
                self._metrics.emit("event ignored", {"DocumentsIgnored": 1}, reason=entry.reason)
        delivery.open_documents = len(events)
        if not events:
            self._settle(delivery)
        for event in events:
            self._document(delivery, Job(event), self._prepare_document)

    def _prepare_document(self, delivery: Delivery, job: Job) -> None:
        if self._stopping.is_set():
            raise StoppingError("The worker stops.")
        self._work.look_up(job)
        if job.stored is None:
            self._work.load(job)
        if job.stored is None:
            self._work.extract(job)
        if job.stored is not None:
            self._finish(delivery, job)
            return
        if not self._twins.enter(job.fingerprint, (delivery, job)):
            log.info("the same document is being worked on; waiting for it", **_names(delivery, job))
            job.discard()
            return
        job.seconds["prepared"] = time.monotonic()
        self._ready.put((delivery, job))

    def _slot(self) -> None:
        while (item := self._ready.get()) is not None:
            delivery, job = item
            self._guarded(delivery, self._document, delivery, job, self._infer)

    def _infer(self, delivery: Delivery, job: Job) -> None:
        if self._stopping.is_set():
            raise StoppingError("The worker stops.")
        job.seconds["engine_wait"] = time.monotonic() - job.seconds.pop("prepared")
        self._work.infer(job)
        self._finish_pool.submit(self._guarded, delivery, self._document, delivery, job, self._finish)

    def _finish(self, delivery: Delivery, job: Job) -> None:
        if job.stored is None:
            self._work.store(job)
        self._work.announce(job)
        self._report_success(delivery, job)
        job.close()
        self._close(delivery)

    def _document(self, delivery: Delivery, job: Job, stage: Callable[[Delivery, Job], None]) -> None:
        """Run a stage; its errors end the document, one way or the other."""
        try:
            self._staged(delivery, job, stage)
        finally:
            if job.closed:
                for twin, other in self._twins.leave(job.fingerprint, job):
                    self._prepare_pool.submit(
                        self._guarded, twin, self._document, twin, Job(other.event), self._prepare_document
                    )

    def _staged(self, delivery: Delivery, job: Job, stage: Callable[[Delivery, Job], None]) -> None:
        try:
            stage(delivery, job)
        except (SkippedError, SupersededError) as error:
            job.close()
            self._metrics.emit(
                "document skipped", {"DocumentsIgnored": 1}, **_names(delivery, job), reason=str(error)
            )
            self._close(delivery)
        except PermanentError as error:
            job.close()
            self._reject(delivery, job.event, error)
            self._close(delivery)
        except WorkerError as error:
            # Closed for this receive: twins, and itself when it comes back, may not wait for it any more.
            job.close()
            retry = (
                error if isinstance(error, RetryableError) else RetryableError(str(error), slug=error.slug)
            )
            self._close(delivery, retry, job)
        except Exception as error:
            job.close()
            log.log(40, "unexpected error", exception=error, **_names(delivery, job))
            self._close(delivery, RetryableError(f"Unexpected error: {error!r}", slug="unexpected"), job)

    def _guarded(self, delivery: Delivery, function: Callable[..., None], *arguments: object) -> None:
        """Run something on a thread: what escapes it gives the message back."""
        try:
            function(*arguments)
        except WorkerError as error:
            retry = (
                error if isinstance(error, RetryableError) else RetryableError(str(error), slug=error.slug)
            )
            self._settle(delivery, retry)
        except Exception as error:
            log.log(40, "unexpected error", exception=error, message_id=delivery.message.id)
            self._settle(delivery, RetryableError(f"Unexpected error: {error!r}", slug="unexpected"))

    def _reject(self, delivery: Delivery, event: DocumentEvent | None, error: WorkerError) -> None:
        """Announce a failure and put the message on the dead-letter queue, with the reason."""
        chain_id = event.chain_id if event is not None else ""
        if event is not None:
            self._work.announce_failure(event, error)
        self._messages.bury(delivery.message, error, chain_id)
        self._metrics.emit(
            "document failed",
            {"DocumentsFailed": 1},
            chain_id=chain_id or None,
            document=event.document.url if event is not None else None,
            message_id=delivery.message.id,
            error_type=error.slug,
            error=str(error),
        )

    def _close(self, delivery: Delivery, retry: RetryableError | None = None, job: Job | None = None) -> None:
        """One document of a message has ended."""
        last = self._max_receives is not None and delivery.message.receives >= self._max_receives
        if retry is not None and job is not None and last and retry.slug not in _NOT_THE_DOCUMENTS_FAULT:
            # The queue would move it away silently: say that it failed, and why.
            final = PermanentError(
                f"Given up after {delivery.message.receives} receives: {retry}", slug=retry.slug
            )
            self._reject(delivery, job.event, final)
            retry = None
        with delivery.lock:
            delivery.open_documents -= 1
            delivery.retry = delivery.retry or retry
            if delivery.open_documents > 0:
                return
        self._settle(delivery, delivery.retry)

    def _settle(self, delivery: Delivery, retry: RetryableError | None = None) -> None:
        """Delete a message, or hand it back."""
        with delivery.lock:
            if delivery.settled:
                return
            delivery.settled = True
        message = delivery.message
        try:
            if retry is None:
                self._messages.delete(message)
            elif retry.slug in _NOT_THE_DOCUMENTS_FAULT:
                self._messages.hand_back(message)
                log.info("message handed back", message_id=message.id)
            else:
                delay = retry_delay(message.receives)
                self._metrics.emit(
                    "document will be tried again",
                    {"DocumentsRetried": 1},
                    message_id=message.id,
                    receives=message.receives,
                    delay=delay,
                    error_type=retry.slug,
                    error=str(retry),
                )
                self._messages.hand_back(message, delay)
        except WorkerError as error:
            # Its visibility will end by itself, and the work is found done.
            log.warning("message could not be settled", message_id=message.id, error=str(error))
        finally:
            with self._changed:
                self._in_hand.discard(delivery)
                self._changed.notify_all()

    def _report_success(self, delivery: Delivery, job: Job) -> None:
        stored = job.stored
        if stored is None:
            raise RuntimeError("success without a result")
        names = _names(delivery, job)
        result = f"s3://{self._settings.results_bucket}/{stored.key}"
        if job.answer is None or job.repeated:
            self._metrics.emit("document repeated", {"DocumentsRepeated": 1}, **names, result=result)
            return
        usage = job.answer.usage
        now = time.monotonic()
        infer, waited = job.seconds.get("infer", 0.0), job.seconds.get("engine_wait", 0.0)
        self._depth.observe(now - delivery.received - infer - waited, infer)
        sent = delivery.message.sent
        values: dict[str, float] = {
            "DocumentsSucceeded": 1,
            "TokensIn": usage.prompt_tokens,
            "TokensOut": usage.output_tokens,
            "Parts": usage.parts,
            "EngineWait": waited,
            "LoadTime": job.seconds.get("load", 0.0),
            "ExtractTime": job.seconds.get("extract", 0.0),
            "InferTime": infer,
            "StoreTime": job.seconds.get("store", 0.0),
            "DocumentTime": now - delivery.received,
        }
        # Nobody gives it back: only the first one gets it.
        if self._first.acquire(blocking=False):
            values["FirstDocumentTime"] = process_age()
        if sent:
            values["QueueWait"] = max(0.0, time.time() - (now - delivery.received) - sent)
        self._metrics.emit("document processed", values, **names, result=result)

    def _keep(self) -> None:
        """Extend visibility, hold protection, write the health file."""
        interval = min(self._settings.visibility_seconds / 3, 60.0)
        extended = time.monotonic()
        written = 0.0
        while not self._done.wait(_TICK):
            now = time.monotonic()
            try:
                if now - written > 5.0:
                    written = now
                    self._health.write("working" if self._engine.ready else "starting")
                with self._changed:
                    deliveries = list(self._in_hand)
                self._protection.update(busy=bool(deliveries))
                if now - extended > interval:
                    extended = now
                    self._extend([d for d in deliveries if not d.settled and not d.lost])
            except WorkerError as error:
                log.warning("heartbeat failed", error=str(error))
            except Exception as error:
                log.log(40, "heartbeat failed", exception=error)

    def _extend(self, deliveries: list[Delivery]) -> None:
        by_receipt = {delivery.message.receipt: delivery for delivery in deliveries}
        for message in self._messages.extend([delivery.message for delivery in deliveries]):
            delivery = by_receipt[message.receipt]
            if not delivery.settled:
                delivery.lost = True
                log.warning("message is not ours any more", message_id=message.id)


def _names(delivery: Delivery, job: Job) -> dict[str, object]:
    return {
        "chain_id": job.event.chain_id,
        "document": job.event.document.url,
        "message_id": delivery.message.id,
        "receives": delivery.message.receives,
    }
