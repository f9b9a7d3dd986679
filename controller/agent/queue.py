"""The one queue of keys to look at: single flight per key, bounded workers, back-off per key, delayed looks.

Knows keys, not what they stand for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic

from controller import log, metrics
from controller.agent.identity import Key

FIRST_BACKOFF = 0.2
LAST_BACKOFF = 10.0
Handler = Callable[[Key], Awaitable[float | None]]
"""Looks at one key; returns the seconds after which to look again, or None. What it raises is retried with back-off."""

_log = log.get(__name__)


@dataclass(frozen=True)
class Load:
    """How much a queue has to do."""

    waiting: int
    longest_wait: float
    """Seconds that the key which has waited longest has been waiting; 0 when none waits."""
    longest_look: float
    """Seconds that the look which began first has taken; 0 when there is none."""
    backing_off: int
    """Keys whose last look failed."""


class WorkQueue:
    """Keys waiting for a look."""

    def __init__(self) -> None:
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._since: dict[Key, float] = {}
        self._active: dict[Key, float] = {}
        self._dirty: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}

    def add(self, key: Key) -> None:
        """Look at the key soon. While it is being looked at: once more afterwards."""
        if key in self._active:
            self._dirty.add(key)
        elif key not in self._since:
            self._since[key] = monotonic()
            self._ready.put_nowait(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Look at the key after a while, unless something wakes it before; replaces an earlier appointment."""
        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(max(seconds, 0), self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def idle(self) -> bool:
        """Whether nothing is waiting or being worked on; appointments don't count."""
        return not self._since and not self._active

    def load(self) -> Load:
        """What there is to do, for the metrics."""
        now = monotonic()
        return Load(
            waiting=len(self._since),
            longest_wait=now - min(self._since.values(), default=now),
            longest_look=now - min(self._active.values(), default=now),
            backing_off=len(self._failures),
        )

    async def run(self, handler: Handler, workers: int) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._work(handler))

    async def _work(self, handler: Handler) -> None:
        while True:
            key = await self._ready.get()
            now = monotonic()
            metrics.queue_waited(now - self._since.pop(key))
            self._active[key] = now
            self._cancel_timer(key)
            try:
                await self._look(handler, key)
            finally:
                del self._active[key]
                if key in self._dirty:
                    self._dirty.discard(key)
                    self.add(key)

    async def _look(self, handler: Handler, key: Key) -> None:
        try:
            again = await handler(key)
        except (Exception, asyncio.CancelledError) as error:
            # Whatever goes wrong with one object must not stop the others, a cancellation of what it waited for included.
            if _cancelled():
                raise asyncio.CancelledError from error
            count = self._failures[key] = self._failures.get(key, 0) + 1
            seconds = min(FIRST_BACKOFF * 2 ** min(count - 1, 16), LAST_BACKOFF)
            metrics.reconciled("error")
            _log.warning(
                "a look at an object failed and is repeated",
                namespace=key[0],
                name=key[1],
                attempt=count,
                seconds=round(seconds, 1),
                error=f"{type(error).__name__}: {error}",
            )
            self.add_after(key, seconds)
            return
        self._failures.pop(key, None)
        metrics.reconciled("look_again" if again is not None else "settled")
        if again is not None:
            self.add_after(key, again)


def _cancelled() -> bool:
    """Whether this worker itself is to end."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
