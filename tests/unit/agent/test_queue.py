"""The work queue on a real event loop whose clock jumps: single flight, repeats, back-off, appointments."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controller.agent.identity import Key
from controller.agent.queue import FIRST_BACKOFF, LAST_BACKOFF, WorkQueue
from tests.unit.agent import virtual_time

A, B, C = ("shop", "a"), ("shop", "b"), ("shop", "c")


class Handler:
    """Notes each look, and does what the test says: return, raise, or wait."""

    def __init__(self) -> None:
        self.looks: list[tuple[Key, float]] = []
        self.active: defaultdict[Key, int] = defaultdict(int)
        self.answers: dict[Key, Callable[[], Awaitable[float | None]]] = {}
        self.looked = asyncio.Condition()

    async def __call__(self, key: Key) -> float | None:
        self.active[key] += 1
        assert self.active[key] == 1, "two looks at one key at a time"
        async with self.looked:
            self.looks.append((key, round(virtual_time.now(), 3)))
            self.looked.notify_all()
        try:
            answer = self.answers.get(key)
            return await answer() if answer is not None else None
        finally:
            self.active[key] -= 1

    async def until(self, count: int, key: Key | None = None) -> None:
        async with self.looked:
            await self.looked.wait_for(lambda: len(self.at(key)) >= count)

    def at(self, key: Key | None = None) -> list[float]:
        return [when for looked, when in self.looks if key in (None, looked)]


@asynccontextmanager
async def working(workers: int = 2) -> Any:
    queue, handler = WorkQueue(), Handler()
    work = asyncio.create_task(queue.run(handler, workers))
    try:
        yield queue, handler
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert work.cancelled()


async def returning(value: float | None) -> float | None:
    return value


async def failing() -> float | None:
    raise ValueError("no")


def virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def in_virtual_time() -> None:
        virtual_time.run(test())

    in_virtual_time.__name__ = test.__name__
    return in_virtual_time


@virtually
async def test_a_key_is_looked_at_once_however_often_it_is_added() -> None:
    async with working() as (queue, handler):
        for _ in range(100):
            queue.add(A)
        queue.add(B)
        await handler.until(2)
        await asyncio.sleep(10)
        assert sorted(key for key, _ in handler.looks) == [A, B]
        assert queue.idle()


@virtually
async def test_what_is_added_during_its_look_is_looked_at_once_more_and_never_beside() -> None:
    async with working(workers=4) as (queue, handler):
        go_on = asyncio.Event()

        async def wait() -> None:
            await go_on.wait()

        handler.answers[A] = wait
        queue.add(A)
        await handler.until(1)
        for _ in range(10):
            queue.add(A)
        assert not queue.idle()
        await asyncio.sleep(5)
        assert len(handler.looks) == 1
        go_on.set()
        await handler.until(2)
        await asyncio.sleep(5)
        assert len(handler.looks) == 2
        assert queue.idle()


@virtually
async def test_a_long_look_does_not_hold_up_other_keys() -> None:
    async with working(workers=2) as (queue, handler):
        handler.answers[A] = asyncio.Event().wait
        for key in (A, B, C):
            queue.add(key)
        await handler.until(3)
        assert {key for key, _ in handler.looks} == {A, B, C}


@virtually
async def test_no_more_looks_at_a_time_than_workers() -> None:
    async with working(workers=2) as (queue, handler):
        for key in (A, B, C):
            handler.answers[key] = asyncio.Event().wait
            queue.add(key)
        await handler.until(2)
        await asyncio.sleep(60)
        assert len(handler.looks) == 2


@virtually
async def test_the_next_look_is_when_the_handler_asks_for_it() -> None:
    async with working() as (queue, handler):
        handler.answers[A] = lambda: returning(7.5)
        queue.add(A)
        await handler.until(4)
        assert handler.at(A) == [0, 7.5, 15, 22.5]


@virtually
async def test_a_wake_makes_the_appointment_void() -> None:
    async with working() as (queue, handler):
        handler.answers[A] = lambda: returning(10)
        queue.add(A)
        await handler.until(1)
        handler.answers[A] = lambda: returning(None)
        await asyncio.sleep(4)
        queue.add(A)
        await handler.until(2)
        await asyncio.sleep(100)
        assert handler.at(A) == [0, 4]


@virtually
async def test_a_later_appointment_replaces_an_earlier_one() -> None:
    async with working() as (queue, handler):
        queue.add_after(A, 5)
        queue.add_after(A, 50)
        await handler.until(1)
        await asyncio.sleep(100)
        assert handler.at(A) == [50]


@virtually
async def test_an_appointment_in_the_past_is_now() -> None:
    async with working() as (queue, handler):
        queue.add_after(A, -5)
        await handler.until(1)
        assert handler.at(A) == [0]


@virtually
async def test_back_off_grows_to_its_cap() -> None:
    async with working() as (queue, handler):
        handler.answers[A] = failing
        queue.add(A)
        await handler.until(12)
        waits = [round(later - when, 3) for when, later in zip(handler.at(A), handler.at(A)[1:], strict=False)]
        assert waits == [min(FIRST_BACKOFF * 2**n, LAST_BACKOFF) for n in range(11)]


@virtually
async def test_back_off_begins_anew_after_a_success() -> None:
    async with working() as (queue, handler):
        handler.answers[A] = failing
        queue.add(A)
        await handler.until(5)
        handler.answers[A] = lambda: returning(None)
        await handler.until(6)
        handler.answers[A] = failing
        queue.add(A)
        await handler.until(8)
        before, after = handler.at(A)[-2:]
        assert after - before == pytest.approx(FIRST_BACKOFF)


@virtually
async def test_a_key_that_fails_for_ever_does_not_stop_the_others() -> None:
    async with working(workers=1) as (queue, handler):
        handler.answers[A] = failing
        queue.add(A)
        await handler.until(3, A)
        queue.add(B)
        await handler.until(1, B)
        await handler.until(5, A)


@virtually
async def test_back_off_is_kept_a_key() -> None:
    async with working() as (queue, handler):
        handler.answers[A] = failing
        queue.add(A)
        await handler.until(8, A)
        handler.answers[B] = failing
        queue.add(B)
        await handler.until(2, B)
        before, after = handler.at(B)
        assert after - before == pytest.approx(FIRST_BACKOFF)


@virtually
async def test_a_wake_during_a_failing_look_is_not_lost() -> None:
    async with working() as (queue, handler):
        go_on = asyncio.Event()

        async def wait_and_fail() -> float | None:
            await go_on.wait()
            raise ValueError("no")

        handler.answers[A] = wait_and_fail
        queue.add(A)
        await handler.until(1)
        queue.add(A)
        handler.answers[A] = lambda: returning(None)
        go_on.set()
        await handler.until(2)
        await asyncio.sleep(60)
        assert handler.at(A) == [0, 0], "the wake makes the retry void"


@virtually
async def test_a_cancellation_from_elsewhere_is_a_failure_like_others() -> None:
    async with working(workers=1) as (queue, handler):

        async def wait_for_something_cancelled() -> float | None:
            something = asyncio.get_running_loop().create_future()
            something.cancel()
            return await something  # type: ignore[no-any-return]

        handler.answers[A] = wait_for_something_cancelled
        queue.add(A)
        await handler.until(3)
        queue.add(B)
        await handler.until(1, B)


@virtually
async def test_a_look_that_swallows_its_cancellation_does_not_keep_the_queue_from_ending() -> None:
    async with working(workers=1) as (queue, handler):

        async def turn_into_an_error() -> float | None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise ValueError("given up") from None
            return None

        handler.answers[A] = turn_into_an_error
        queue.add(A)
        await handler.until(1)
