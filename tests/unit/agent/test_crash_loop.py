"""A container that crash-loops for an hour floods nobody: neither the Events nor the statuses, whatever it does and however fast."""

import asyncio
import threading

import pytest

from controller.agent import allowance
from controller.agent.identity import Key
from controller.agent.observation import Observation
from controller.agent.plan import plan
from controller.agent.queue import WorkQueue
from controller.api.reasons import Reason
from controller.kube import spool
from tests.unit.agent import virtual_time
from tests.unit.agent.crash_loop import HOUR, Crash, hour_of
from tests.unit.agent.objects import NOW, container, declared, ending

ALWAYS = {"name": "Always"}
AT_ONCE = {"name": "Always", "backoff": {"initialSeconds": 0, "factor": 1, "maxSeconds": 0}}
MOST_POSTS = spool.BURST + HOUR / spool.REFILL_SECONDS
MOST_EVENTS = 2 * spool.DISTINCT
MOST_WRITES = allowance.BURST + HOUR / allowance.REFILL_SECONDS

CRASHES = {
    "by default it waits up to a minute": Crash(ALWAYS),
    "without a pause it is as fast as the node": Crash(AT_ONCE),
    "each end is another": Crash(AT_ONCE, code=lambda run: run % 100 + 1),
    "it is over as soon as it begins": Crash(AT_ONCE, run_seconds=0, start_seconds=2),
    "it runs long enough for the waits to begin anew": Crash(ALWAYS, run_seconds=10.5),
    "its command is not there": Crash(ALWAYS, starts=False),
}
"""What each container does."""


@pytest.mark.feature("L19", "L20")
@pytest.mark.parametrize("crash", CRASHES.values(), ids=CRASHES)
def test_an_hour_of_crashes_is_few_posts_and_few_writes_and_nothing_is_lost(crash: Crash) -> None:
    loop = hour_of(crash)
    server, status, tries = loop.server, loop.server.object["status"], loop.starts + loop.failed_starts

    assert tries > 60
    assert server.posts <= MOST_POSTS
    assert len(server.events) <= MOST_EVENTS
    assert loop.news(Reason.STARTED) == loop.starts
    assert loop.news(Reason.COMMAND_NOT_FOUND) == loop.failed_starts

    assert server.writes <= min(MOST_WRITES, 2 * tries + 2)
    assert tries - 1 - status["restartCount"] <= 1 + allowance.REFILL_SECONDS, "the status is not up to date"


WAITING = 1000
WORKERS = 8
WAIT = 300.0


async def _look(_key: Key) -> float | None:
    """A look at a container that has just ended, and is started again after a while."""
    given = declared(restartPolicy={"name": "Always", "backoff": {"initialSeconds": WAIT, "maxSeconds": WAIT}})
    decided = plan(given, Observation((container(given, None, exit=ending(3, Reason.ERROR, at=NOW)),)), NOW)
    assert decided.actions == ()
    assert decided.look_again is not None
    return (decided.look_again - NOW).total_seconds()


async def _wait_together() -> None:
    queue, looks, threads = WorkQueue(), list[Key](), threading.active_count()

    async def look(key: Key) -> float | None:
        looks.append(key)
        return await _look(key)

    running = asyncio.create_task(queue.run(look, WORKERS))
    for number in range(WAITING):
        queue.add(("shop", f"web-{number}"))
    await asyncio.sleep(WAIT / 2)

    assert queue.idle()
    assert len(looks) == WAITING
    assert len(asyncio.all_tasks()) == 2 + WORKERS, "this one, the queue's and its workers'"
    assert threading.active_count() == threads
    await asyncio.sleep(WAIT)
    assert len(looks) == 2 * WAITING, "each is looked at again when its wait is over"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.feature("L9")
def test_a_thousand_containers_that_wait_for_their_restart_cost_no_task_and_no_thread() -> None:
    virtual_time.run(_wait_together())
