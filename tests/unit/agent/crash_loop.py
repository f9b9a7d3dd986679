"""A container that ends again and again, through all that tells of it: the queue, the plan, the news, the Events' spool and the writer
of the status are the real ones, in virtual time. Only the node and the API server are made up: they do at once what they are told.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

from controller.agent import allowance, endings, news, publish, queue
from controller.agent.actions import (
    Action,
    Announcement,
    CreateContainer,
    EnsureImage,
    FreeProcess,
    RecordExit,
    RecordFailedStart,
    StartContainer,
)
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.failures import FailureBook, StartFailed
from controller.agent.identity import HISTORY_LENGTH, ExitRecord, Key
from controller.agent.observation import Observation, ObservedContainer, ObservedImage, past_ends
from controller.agent.plan import plan
from controller.agent.publish import Publisher
from controller.agent.queue import WorkQueue
from controller.api.events import type_of
from controller.api.reasons import Reason
from controller.kube import events
from controller.kube.client import Client
from controller.kube.containers import Containers
from controller.kube.events import Recorder
from controller.kube.spool import News, Regarding
from controller.oci import exits
from controller.oci.start_errors import StartFailure
from tests.unit.agent import virtual_time
from tests.unit.agent.objects import KEY, NODE, RUNNING, body, container, ended, present
from tests.unit.agent.world import merge_patch

HOUR = 3600.0
BEGIN = datetime(2026, 11, 22, 10, tzinfo=UTC)
NOT_FOUND = StartFailure(127, Reason.COMMAND_NOT_FOUND, "there is no such command")
_MOST_STEPS = 12


def _now() -> datetime:
    return BEGIN + timedelta(seconds=virtual_time.now())


class _Datetime(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _now().astimezone(tz)


@dataclass
class Server:
    """The API server: one object, and the Events about it."""

    object: dict[str, Any]
    writes: int = 0
    posts: int = 0
    events: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def patch_status(
        self, _space: str, _name: str, _uid: str, status: Mapping[str, Any], _version: str | None
    ) -> Mapping[str, Any]:
        self.writes += 1
        metadata = {**self.object["metadata"], "resourceVersion": str(1000 + self.writes)}
        self.object = {**self.object, "metadata": metadata, "status": merge_patch(self.object["status"], status)}
        return self.object

    async def create(self, _path: str, event: dict[str, Any]) -> Any:
        self.posts += 1
        self.events[event["metadata"]["name"]] = dict(event)
        return event

    async def patch(self, path: str, told: dict[str, Any]) -> Any:
        self.posts += 1
        self.events[path.rpartition("/")[2]] |= told
        return told

    def told(self, reason: Reason) -> int:
        """How often something was news, by the Events."""
        return sum(event["count"] for event in self.events.values() if event["reason"] == reason)


@dataclass(frozen=True)
class Crash:
    """How a container ends, again and again."""

    restart_policy: Mapping[str, Any]
    run_seconds: float = 1
    start_seconds: float = 1
    code: Callable[[int], int] = lambda _run: 3
    """The exit code of each run, by its number."""
    starts: bool = True
    """Whether the command is there at all."""


class Loop:
    """One agent with one such container."""

    def __init__(self, crash: Crash) -> None:
        self.server = Server(body(restartPolicy=crash.restart_policy))
        self.starts = 0
        self.failed_starts = 0
        self._crash = crash
        self._store = DeclaredStore(NODE)
        self._queue = WorkQueue()
        self._failures = FailureBook()
        self._recorder = Recorder(cast(Client, self.server), NODE)
        self._publisher = Publisher(cast(Containers, self.server), self._store, NODE, self._announce, lambda: True)
        self._container: ObservedContainer | None = None
        self._image: ObservedImage | None = None

    def _announce(self, declared: Declared, told: Announcement) -> None:
        regarding = Regarding(*declared.key, declared.uid, declared.resource_version)
        self._recorder.record(News(regarding, type_of(told.reason).value, told.reason, told.message, told.alike))

    def news(self, reason: Reason) -> int:
        """How often something was news: told by the Events so far, or waiting to be."""
        kinds = self._recorder._spool._kinds.values()
        return self.server.told(reason) + sum(kind.waiting for kind in kinds if kind.news.reason == reason)

    # --- the agent ------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """An hour of it."""
        self._store.put(self.server.object)
        self._queue.add(KEY)
        tasks = [asyncio.create_task(self._queue.run(self._look, 1)), asyncio.create_task(self._recorder.run())]
        await asyncio.sleep(HOUR)
        for task in tasks:
            assert not task.done(), task.exception()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, key: Key) -> float | None:
        """As `reconcile` does it."""
        for _ in range(_MOST_STEPS):
            declared = self._store.get(key)
            assert declared is not None
            decided = plan(declared, self._observation(), _now())
            if decided.say_first and decided.facts is not None:
                await self._publisher.publish(declared, decided.facts)
            if not decided.actions:
                again = None if decided.look_again is None else (decided.look_again - _now()).total_seconds()
                later = None if decided.facts is None else await self._publisher.publish(declared, decided.facts)
                return min((max(wait, 0) for wait in (again, later) if wait is not None), default=None)
            for action in decided.actions:
                await self._perform(action, declared)
        raise AssertionError(f"still to do: {decided.actions}")

    def _observation(self) -> Observation:
        containers = () if self._container is None else (self._container,)
        return Observation(containers, self._image, self._failures.of(KEY))

    async def _perform(self, action: Action, declared: Declared) -> None:
        before = self._container
        try:
            await self._carry_out(action, declared)
        except StartFailed as error:
            failure = self._failures.note(declared, error, _now())
            self._announce(declared, Announcement(failure.reason, failure.message))
            return
        for told in news.of_step(action, declared, before, self._container):
            self._announce(declared, told)

    # --- the node -------------------------------------------------------------------------------------------------------

    async def _carry_out(self, action: Action, declared: Declared) -> None:
        match action:
            case EnsureImage():
                self._image = present(declared)
            case CreateContainer():
                self._container = container(declared, None, created_at=_now())
            case StartContainer():
                await self._start(action)
            case RecordExit():
                self._change(exit=self._end(action))
            case RecordFailedStart():
                said = (action.code, None, action.at, False, action.reason, action.message)
                self._change(exit=ExitRecord(*said, short_runs=action.short_runs))
                self._failures.forget(KEY)
            case FreeProcess():
                self._change(task=None)
            case _:
                raise AssertionError(f"nothing but its restarts was to be done: {action}")

    def _change(self, **fields: Any) -> None:
        assert self._container is not None
        self._container = replace(self._container, **fields)

    async def _start(self, action: StartContainer) -> None:
        if action.again is not None and self._container is not None:
            self._change(
                exit=None,
                restarts=self._container.restarts + 1,
                retries=action.again.retries,
                short_runs=action.again.short_runs,
                history=past_ends(self._container)[:HISTORY_LENGTH],
            )
        await asyncio.sleep(self._crash.start_seconds)
        if not self._crash.starts:
            self.failed_starts += 1
            raise StartFailed(NOT_FOUND)
        self._change(task=RUNNING, started_at=_now())
        self.starts += 1
        asyncio.get_running_loop().call_later(self._crash.run_seconds, self._ends)

    def _ends(self) -> None:
        self._change(task=ended(self._crash.code(self.starts), at=_now()))
        self._queue.add(KEY)

    def _end(self, action: RecordExit) -> ExitRecord:
        """With output that is never twice the same."""
        assert self._container is not None
        assert self._container.task is not None
        told = exits.describe(self._container.task.exit_code)
        output = f"{endings.LAST_OUTPUT}it is {_now():%X} and run {self.starts} fails"
        return ExitRecord(
            told.code,
            told.signal,
            self._container.task.exited_at or _now(),
            False,
            told.reason,
            told.message + output,
            action.started_at,
            action.short_runs,
        )


def hour_of(crash: Crash) -> Loop:
    """What an hour of it came to."""
    loop = Loop(crash)
    with ExitStack() as stack:
        for module in (queue, events):
            stack.enter_context(patch.object(module, "monotonic", virtual_time.now))
        for module in (publish, events):
            stack.enter_context(patch.object(module, "datetime", _Datetime))
        loop._publisher._allowance = allowance.Allowance(virtual_time.now)
        virtual_time.run(loop.run())
    return loop
