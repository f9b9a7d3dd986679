"""Whose health is checked, and when: timers on the event loop, armed while a process runs, and no task until one is due.

Level-triggered like everything: each look at an object tells what runs now, and is told what is known of its health. A change of health
wakes the object; what follows from it is decided by `plan`.
"""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from controller import log
from controller.agent import life
from controller.agent.checks import state
from controller.agent.checks.state import STARTING, CheckRun, Health
from controller.agent.checks.target import Target
from controller.agent.declared import Declared
from controller.agent.identity import Key
from controller.agent.observation import ObservedContainer, TaskState
from controller.api.conditions import ConditionType
from controller.api.container import HealthCheck, HealthStatus
from controller.api.reasons import Reason

FIRST_SECONDS: Final = 1.0
SPACING_SECONDS: Final = 60.0
"""How far apart news of an unchanged health are told, at least: an API server must not hear of each check of each container."""
BUSY_SECONDS: Final = 0.5
_REASONS: Final = {HealthStatus.HEALTHY: Reason.HEALTHY, HealthStatus.UNHEALTHY: Reason.UNHEALTHY}
_ALIVE: Final = (TaskState.RUNNING, TaskState.PAUSED, TaskState.UNKNOWN)
_log = log.get(__name__)


class Asks(Protocol):
    """Makes a check."""

    async def check(self, target: Target, check: HealthCheck) -> CheckRun | None:
        """Make one check; None when it could not be made."""


class Run(NamedTuple):
    """One run of a container's process."""

    container_id: str
    restarts: int
    started_at: datetime | None
    """When this agent saw it start: a container that is made anew has the same id."""


@dataclass(eq=False)
class Watched:
    """A run whose health is checked."""

    key: Key
    run: Run
    check: HealthCheck
    began: datetime | None
    health: Health
    told: Health
    """What was last told of it."""
    told_at: float
    """When, on the event loop's clock."""
    pid: int = 0
    resting: bool = False
    """Nothing is asked: it is paused, or its state is not known."""
    timer: asyncio.TimerHandle | None = None
    epoch: object = field(default_factory=object)
    """Another one from each time on that the timer is set anew or stopped: what was asked before does not count then."""


class HealthMonitor:
    """The health of this node's containers."""

    def __init__(
        self,
        prober: Asks,
        wake: Callable[[Key], None],
        announce: Callable[[Key, Reason, str], None],
        spacing: float = SPACING_SECONDS,
    ) -> None:
        self._spacing = spacing
        self._prober = prober
        self._wake = wake
        self._announce = announce
        self._watched: dict[Key, Watched] = {}
        self._busy: dict[str, asyncio.Task[None]] = {}

    def follow(self, key: Key, declared: Declared | None, containers: Iterable[ObservedContainer]) -> Health | None:
        """Take in what runs now; returns what is to be told of its health, or None when nothing is checked.

        Its status is always the latest; the last checks and the failing streak are brought up to date with a change of it, and
        while there are failures to tell of, once in a while. So what is returned seldom changes, and a look costs no write.
        """
        found = _checked(declared, containers)
        if declared is None or found is None:
            self.forget(key)
            return None
        container, check = found
        known = self._watched.get(key)
        if known is None or known.run != _run(container):
            self.forget(key)
            known = self._begin(declared, container, check)
        self._adjust(known, container, check)
        return known.told

    def forget(self, key: Key) -> None:
        """Nothing of this object is to be checked any more."""
        known = self._watched.pop(key, None)
        if known is not None:
            _stop(known)

    async def rest(self, container_id: str) -> None:
        """Have nothing asked of a container from now on, until a look at it shows that it runs; what is being asked is given up.

        To be awaited before a container is frozen: a command that is frozen while it starts holds up everything in its shim.
        """
        for watched in self._watched.values():
            if watched.run.container_id == container_id:
                _stop(watched)
                watched.resting = True
        await _ended(task for task in (self._busy.get(container_id),) if task is not None)

    async def close(self) -> None:
        """Stop every timer, and wait until what is being asked has been cleared away."""
        for key in list(self._watched):
            self.forget(key)
        await _ended(self._busy.values())

    def _begin(self, declared: Declared, container: ObservedContainer, check: HealthCheck) -> Watched:
        began, health = container.started_at, _remembered(declared, container)
        seen = began is not None and health is None
        if began is None and life.is_told(declared.status, container):
            began = declared.status.started_at
        now, known = asyncio.get_running_loop().time(), health or STARTING
        watched = Watched(declared.key, _run(container), check, began, known, told=known, told_at=now)
        self._watched[declared.key] = watched
        self._arm(watched, self._first(watched) if seen else check.interval_seconds * random.random())  # noqa: S311
        return watched

    def _adjust(self, watched: Watched, container: ObservedContainer, check: HealthCheck) -> None:
        """Follow a pause, its end, and a check that has changed."""
        task = container.task
        resting = task is None or task.state is not TaskState.RUNNING
        watched.pid = task.pid if task is not None else 0
        if (resting, check) == (watched.resting, watched.check):
            return
        watched.resting, watched.check = resting, check
        _stop(watched)
        if not resting:
            self._arm(watched, self._first(watched))

    def _first(self, watched: Watched) -> float:
        """Soon, and not at the same moment for all."""
        soon = min(state.pause(watched.health, watched.check, watched.began, datetime.now(UTC)), FIRST_SECONDS)
        return soon * random.uniform(0.5, 1)  # noqa: S311 - no secret

    def _arm(self, watched: Watched, seconds: float) -> None:
        watched.timer = asyncio.get_running_loop().call_later(max(seconds, 0), self._due, watched)

    def _due(self, watched: Watched) -> None:
        watched.timer = None
        if watched.run.container_id in self._busy:
            # What was asked before a pause or a restart is not cleared away yet.
            self._arm(watched, BUSY_SECONDS)
            return
        container_id = watched.run.container_id
        task = self._busy[container_id] = asyncio.create_task(self._check(watched, watched.epoch))
        task.add_done_callback(lambda _: self._busy.pop(container_id))

    async def _check(self, watched: Watched, epoch: object) -> None:
        if watched.epoch is not epoch:
            return
        began = asyncio.get_running_loop().time()
        try:
            target = Target(watched.run.container_id, watched.pid, watched.key[0])
            made = await self._prober.check(target, watched.check)
        except Exception as error:  # noqa: BLE001 - a defect in one check must not end the others
            _log.error("a health check broke", error=f"{type(error).__name__}: {error}")
            made = None
        if watched.epoch is not epoch:
            return
        if made is not None:
            self._take_in(watched, made)
        took = asyncio.get_running_loop().time() - began
        self._arm(watched, state.pause(watched.health, watched.check, watched.began, datetime.now(UTC)) - took)

    def _take_in(self, watched: Watched, made: CheckRun) -> None:
        before = watched.health.status
        watched.health = state.after(watched.health, made, watched.check, watched.began)
        status = watched.health.status
        if status is before:
            self._tell_of_failures(watched)
            return
        self._tell(watched)
        namespace, name = watched.key
        _log.info("health changed", namespace=namespace, name=name, status=status.value, why=watched.health.message)
        self._announce(watched.key, _REASONS[status], state.in_short(watched.health))

    def _tell_of_failures(self, watched: Watched) -> None:
        """The health is as it was, but there is news of failures: at a bounded rate it is worth telling."""
        news = watched.health.log[-1].exit_code != 0 or watched.health.failing_streak != watched.told.failing_streak
        if news and asyncio.get_running_loop().time() >= watched.told_at + self._spacing:
            self._tell(watched)

    def _tell(self, watched: Watched) -> None:
        watched.told, watched.told_at = watched.health, asyncio.get_running_loop().time()
        self._wake(watched.key)


async def _ended(checks: Iterable["asyncio.Task[None]"]) -> None:
    """Give up what is being asked, and wait until it has been cleared away."""
    asked = list(checks)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


def _stop(watched: Watched) -> None:
    watched.epoch = object()
    if watched.timer is not None:
        watched.timer.cancel()
        watched.timer = None


def _run(container: ObservedContainer) -> Run:
    return Run(container.id, container.restarts, container.started_at)


def _checked(
    declared: Declared | None, containers: Iterable[ObservedContainer]
) -> tuple[ObservedContainer, HealthCheck] | None:
    """The container that is to be checked, and how: one made from the present spec, which runs (as far as is known) and is not being stopped."""
    if declared is None or declared.deleting or declared.spec is None or declared.spec.health_check is None:
        return None
    for container in containers:
        ours = container.uid == declared.uid and container.spec_hash == declared.spec_hash
        alive = container.task is not None and container.task.state in _ALIVE
        if ours and alive and container.stop is None:
            return container, declared.spec.health_check
    return None


def _remembered(declared: Declared, container: ObservedContainer) -> Health | None:
    """What the status tells of the health of this very run; it is all that is left of it when the agent starts anew."""
    known, began = declared.status.health, container.started_at
    if known is None or not life.is_told(declared.status, container):
        return None
    if began is not None and began.replace(microsecond=0) != declared.status.started_at:
        # The container was made anew under the same id since.
        return None
    told = next((one.message for one in declared.status.conditions if one.type is ConditionType.HEALTHY), "")
    return state.resumed(known, told)
