"""Whose health is checked and when: timers that follow what runs, and no task until one is due."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from controller.agent.checks.monitor import HealthMonitor
from controller.agent.checks.state import STARTING, CheckRun
from controller.agent.checks.target import Target
from controller.agent.declared import Declared
from controller.agent.identity import Key
from controller.api.container import HealthCheck, HealthStatus
from controller.api.reasons import Reason
from tests.unit.agent.objects import KEY, PAUSED, UNKNOWN, container, declared, mark

pytestmark = pytest.mark.feature("L14")


class Answers:
    """Answers at once, as the test says; None stands for no answer, and `held` for one that takes its time."""

    def __init__(self) -> None:
        self.code: int | None = 0
        self.asked: list[Target] = []
        self.held: asyncio.Event | None = None
        self.called = asyncio.Event()

    async def check(self, target: Target, check: HealthCheck) -> CheckRun | None:
        self.asked.append(target)
        self.called.set()
        if self.held is not None:
            await self.held.wait()
        now = datetime.now(UTC)
        return None if self.code is None else CheckRun(now, now, self.code, "said")

    async def next(self, count: int = 1) -> None:
        for _ in range(count):
            self.called.clear()
            async with asyncio.timeout(5):
                await self.called.wait()
        await asyncio.sleep(0)


class Bench:
    """A monitor, and what it has told."""

    def __init__(self, spacing: float = 3600) -> None:
        self.answers = Answers()
        self.woken: list[Key] = []
        self.told: list[tuple[Reason, str]] = []
        self.monitor = HealthMonitor(
            self.answers,
            self.woken.append,
            lambda _, reason, message: self.told.append((reason, message)),
            spacing,
        )


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.monitor.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def checked(**more: Any) -> Declared:
    check = {"tcpSocket": {"port": 80}, "intervalSeconds": 0.01, "retries": 2, **more.pop("check", {})}
    return declared(healthCheck=check, **more)


def running(**changes: Any) -> Any:
    return container(**{"started_at": datetime.now(UTC), **changes})


async def test_a_change_of_health_wakes_the_object_and_is_told_once(bench: Bench) -> None:
    given, current = checked(), running()
    assert bench.monitor.follow(KEY, given, (current,)) == STARTING
    await bench.answers.next(3)
    bench.answers.code = 1
    await bench.answers.next(4)
    health = bench.monitor.follow(KEY, given, (current,))
    assert health is not None
    assert health.status is HealthStatus.UNHEALTHY
    assert bench.woken == [KEY, KEY]
    assert bench.told == [
        (Reason.HEALTHY, "the health check succeeded"),
        (Reason.UNHEALTHY, "2 health checks in a row failed"),
    ]
    assert set(bench.answers.asked) == {Target(current.id, current.task.pid, KEY[0])}


async def test_further_checks_of_the_same_health_are_not_told(bench: Bench) -> None:
    given, current = checked(check={"retries": 1000}), running()
    bench.monitor.follow(KEY, given, (current,))
    await bench.answers.next(2)
    before = bench.monitor.follow(KEY, given, (current,))
    bench.answers.code = 1
    await bench.answers.next(5)
    assert bench.monitor.follow(KEY, given, (current,)) == before
    assert bench.woken == [KEY]


async def test_but_news_of_failures_are_after_a_while_until_it_is_well_again() -> None:
    bench = Bench(spacing=0)
    given, current = checked(check={"retries": 1000}), running()
    bench.monitor.follow(KEY, given, (current,))
    await bench.answers.next(4)
    assert bench.woken == [KEY], "successes are no news"
    bench.answers.code = 1
    await bench.answers.next(3)
    streak, woken = told_streak(bench, given, current), len(bench.woken)
    assert streak >= 1
    assert woken >= 2
    await bench.answers.next(3)
    assert told_streak(bench, given, current) > streak
    bench.answers.code = 0
    await bench.answers.next(2)
    assert told_streak(bench, given, current) == 0
    woken = len(bench.woken)
    await bench.answers.next(3)
    assert len(bench.woken) == woken
    await bench.monitor.close()


def told_streak(bench: Bench, given: Declared, current: Any) -> int:
    health = bench.monitor.follow(KEY, given, (current,))
    assert health is not None
    return health.failing_streak


async def test_no_answer_changes_nothing(bench: Bench) -> None:
    bench.answers.code = None
    bench.monitor.follow(KEY, checked(), (running(),))
    await bench.answers.next(4)
    assert bench.woken == []


@pytest.mark.parametrize(
    ("sentence", "given", "changes"),
    [
        ("no object", None, {}),
        ("no health check", declared(), {}),
        ("the object is deleted", checked(deleting=True), {}),
        ("the spec is invalid", checked(workingDir="relative"), {}),
        ("there is no process", checked(), {"task": None}),
        ("it is being stopped", checked(), {"stop": mark()}),
        ("it was made from another spec", checked(), {"spec_hash": "other"}),
        ("it is another object's", checked(), {"uid": "other"}),
    ],
)
async def test_when_nothing_is_checked(bench: Bench, sentence: str, given: Declared | None, changes: Any) -> None:
    bench.monitor.follow(KEY, checked(), (running(),))
    await bench.answers.next()
    assert bench.monitor.follow(KEY, given, (running(**changes),)) is None, sentence
    count = len(bench.answers.asked)
    await asyncio.sleep(0.05)
    assert len(bench.answers.asked) == count, sentence


@pytest.mark.parametrize("task", [PAUSED, UNKNOWN])
async def test_while_it_rests_nothing_is_asked_and_nothing_forgotten(bench: Bench, task: Any) -> None:
    given, current = checked(), running()
    bench.monitor.follow(KEY, given, (current,))
    await bench.answers.next(2)
    before = bench.monitor.follow(KEY, given, (replace(current, task=task),))
    count = len(bench.answers.asked)
    await asyncio.sleep(0.05)
    assert len(bench.answers.asked) == count
    assert bench.monitor.follow(KEY, given, (current,)) == before
    await bench.answers.next()


async def test_before_a_pause_what_is_asked_is_given_up(bench: Bench) -> None:
    given, current = checked(), running()
    bench.answers.held = asyncio.Event()
    bench.monitor.follow(KEY, given, (current,))
    await bench.answers.next()
    await bench.monitor.rest(current.id)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    bench.answers.held = None
    count = len(bench.answers.asked)
    await asyncio.sleep(0.05)
    assert len(bench.answers.asked) == count
    bench.monitor.follow(KEY, given, (current,))  # the pause was refused: it still runs
    await bench.answers.next()


async def test_a_new_run_begins_anew_and_late_answers_of_the_last_one_do_not_count(bench: Bench) -> None:
    given, current = checked(), running()
    bench.answers.held = asyncio.Event()
    bench.monitor.follow(KEY, given, (current,))
    await bench.answers.next()
    bench.answers.held.set()
    assert bench.monitor.follow(KEY, given, (replace(current, restarts=1),)) == STARTING
    await asyncio.sleep(0)
    assert bench.woken == []


async def test_a_changed_check_applies_and_health_stays(bench: Bench) -> None:
    given, current = checked(), running()
    bench.monitor.follow(KEY, given, (current,))
    await bench.answers.next(2)
    slow = checked(check={"intervalSeconds": 600})
    health = bench.monitor.follow(KEY, slow, (current,))
    assert health is not None
    assert health.status is HealthStatus.HEALTHY
    await bench.answers.next()
    await asyncio.sleep(0.05)
    count = len(bench.answers.asked)
    await asyncio.sleep(0.05)
    assert len(bench.answers.asked) == count


async def test_another_agent_begins_where_the_status_is(bench: Bench) -> None:
    current = container()
    status = {
        "containerID": current.id,
        "restartCount": 0,
        "health": {"status": "Unhealthy", "failingStreak": 2},
        "conditions": [{"type": "Healthy", "status": "False", "reason": "Unhealthy", "message": "why"}],
    }
    health = bench.monitor.follow(KEY, checked(status=status), (current,))
    assert health is not None
    assert (health.status, health.failing_streak, health.message) == (HealthStatus.UNHEALTHY, 2, "why")
    restarted = bench.monitor.follow(KEY, checked(status=status), (replace(current, restarts=1),))
    assert restarted == STARTING
    anew = replace(current, started_at=datetime.now(UTC))
    assert bench.monitor.follow(KEY, checked(status=status), (anew,)) == STARTING


async def test_a_thousand_containers_cost_no_task_each_and_are_not_asked_at_once(bench: Bench) -> None:
    given, current = checked(check={"intervalSeconds": 60}), running()
    for number in range(1000):
        key = ("shop", f"web-{number}")
        bench.monitor.follow(key, replace(given, key=key), (replace(current, id=str(number)),))
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await bench.answers.next()
    assert len(bench.answers.asked) < 500
