# SPDX-License-Identifier: GPL-3.0-or-later
"""Which models are in memory, with what profile, and for how long."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pasture_local.engine.errors import ApiError
from pasture_local.engine.runner import Profile, Runner
from pasture_local.engine.store import Stored

# How often it is looked for models whose time is over, in seconds.
_REAP_INTERVAL = 0.25
_BUSY = "server busy, please try again.  maximum pending requests exceeded"


@dataclass
class Loaded:
    """A model in memory."""

    model: Stored
    runner: Runner
    keep_alive: float  # seconds
    expires_at: float  # seconds since 1970
    users: int = 0


class Scheduler:
    """Loads models when they are asked for, and unloads them when nobody has for a while."""

    def __init__(self, keep_alive: float, max_queue: int, load: Callable[[Profile], Runner] = Runner) -> None:
        self._keep_alive, self._max_queue, self._load = keep_alive, max_queue, load
        self._changed = threading.Condition()
        # By model and by whether it makes embeddings: the two need different settings of llama.cpp.
        self._loaded: dict[tuple[str, bool], Loaded] = {}
        self._loading: set[tuple[str, bool]] = set()
        self._waiting = 0
        self._closed = False
        threading.Thread(target=self._reap, name="reaper", daemon=True).start()

    @contextlib.contextmanager
    def use(self, model: Stored, profile: Profile, keep_alive: float | None) -> Iterator[Runner]:
        """A model with that profile, loaded if need be, for the time of the block.

        :param keep_alive: seconds to keep it afterwards; None for the server's default.
        :raises ApiError: when too many wait for a model to be loaded, or it cannot be loaded.
        """
        loaded = self._acquire(model, profile, keep_alive)
        try:
            yield loaded.runner
        finally:
            with self._changed:
                loaded.users -= 1
                loaded.expires_at = time.time() + loaded.keep_alive
                self._changed.notify_all()
            if loaded.keep_alive <= 0:
                self._unload_expired()

    def _acquire(self, model: Stored, profile: Profile, keep_alive: float | None) -> Loaded:
        key = (model.digest, profile.embedding)
        with self._changed:
            if self._waiting >= self._max_queue:
                raise ApiError(503, _BUSY)
            self._waiting += 1
            try:
                while True:
                    loaded = self._loaded.get(key)
                    if loaded and loaded.runner.profile == profile:
                        return self._taken(loaded, keep_alive)
                    if key not in self._loading and (loaded is None or loaded.users == 0):
                        break
                    self._changed.wait()
                self._loading.add(key)
                previous = self._loaded.pop(key, None)
            finally:
                self._waiting -= 1
        # Outside of the lock: it takes a while, and others can go on with what is loaded.
        try:
            if previous:
                previous.runner.close()
            loaded = Loaded(model, self._load(profile), self._keep_alive, 0.0)
            with self._changed:
                self._loaded[key] = loaded
                return self._taken(loaded, keep_alive)
        finally:
            with self._changed:
                self._loading.discard(key)
                self._changed.notify_all()

    def _taken(self, loaded: Loaded, keep_alive: float | None) -> Loaded:
        loaded.users += 1
        if keep_alive is not None:
            loaded.keep_alive = keep_alive
        loaded.expires_at = time.time() + loaded.keep_alive
        return loaded

    def expire(self, model: Stored) -> None:
        """Unload a model as soon as nobody uses it."""
        with self._changed:
            for (digest, _), loaded in self._loaded.items():
                if digest == model.digest:
                    loaded.keep_alive = loaded.expires_at = 0.0
        self._unload_expired()

    def loaded(self) -> list[Loaded]:
        """What is in memory, the one that stays longest first."""
        with self._changed:
            return sorted(self._loaded.values(), key=lambda one: one.expires_at, reverse=True)

    def close(self) -> None:
        """Unload everything that nobody uses."""
        self._closed = True
        with self._changed:
            for loaded in self._loaded.values():
                loaded.expires_at = 0.0
        self._unload_expired()

    def _unload_expired(self) -> None:
        now = time.time()
        with self._changed:
            expired = [key for key, one in self._loaded.items() if one.users == 0 and one.expires_at <= now]
            runners = [self._loaded.pop(key).runner for key in expired]
        for runner in runners:
            runner.close()

    def _reap(self) -> None:
        while not self._closed:
            time.sleep(_REAP_INTERVAL)
            self._unload_expired()
