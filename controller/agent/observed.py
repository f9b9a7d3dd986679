"""What containerd has, kept in memory: built from a list, kept by events, checked by a periodic list.

An event never changes a record: it only says which container to ask about. So nothing here is guessed, and two events in the
wrong order do no harm. Decides nothing and changes nothing in containerd.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from controller.agent import identity
from controller.agent.identity import Key
from controller.agent.observation import ObservedContainer, ObservedTask, TaskState
from controller.containerd import errors, event_types
from controller.containerd.client import Containerd
from controller.containerd.containers import ContainerRecord
from controller.containerd.tasks import TaskRecord, TaskStatus

Answer = TypeVar("Answer")
OURS = f'labels."{identity.UID}"'
"""containerd's filter for containers that carry an object's uid."""

_STATES = {
    TaskStatus.CREATED: TaskState.CREATED,
    TaskStatus.RUNNING: TaskState.RUNNING,
    TaskStatus.STOPPED: TaskState.STOPPED,
    TaskStatus.PAUSED: TaskState.PAUSED,
    TaskStatus.PAUSING: TaskState.RUNNING,
    TaskStatus.UNKNOWN: TaskState.UNKNOWN,
}


def from_records(record: ContainerRecord, task: TaskRecord | None) -> ObservedContainer | None:
    """One container as we see it; None when it is not one of ours."""
    labels = record.labels
    key = identity.key_of(labels)
    if key is None:
        return None
    return ObservedContainer(
        id=record.id,
        key=key,
        created_at=record.created_at,
        task=None if task is None else from_task(task),
        **_remembered(labels),
    )


def from_task(task: TaskRecord) -> ObservedTask:
    """One process as we see it."""
    return ObservedTask(_STATES[task.status], task.pid, task.exit_status, task.exited_at)


def _remembered(labels: Mapping[str, str]) -> dict[str, Any]:
    """The fields that live in labels."""
    return {
        "uid": labels[identity.UID],
        "spec_hash": labels.get(identity.SPEC_HASH, ""),
        "fingerprint": identity.read_fingerprint(labels),
        "resources": labels.get(identity.RESOURCES, ""),
        "image_id": labels.get(identity.IMAGE_ID, ""),
        "chain_id": labels.get(identity.CHAIN_ID, ""),
        "runtime_name": labels.get(identity.RUNTIME, ""),
        "log_driver": labels.get(identity.LOG_DRIVER, ""),
        "stop_signal": identity.read_number(labels, identity.STOP_SIGNAL, 15),
        "grace_seconds": identity.read_number(labels, identity.GRACE, 10),
        "restarts": identity.read_number(labels, identity.RESTARTS, 0),
        "retries": identity.read_number(labels, identity.RETRIES, 0),
        "short_runs": identity.read_number(labels, identity.SHORT_RUNS, 0),
        "restarted_at": labels.get(identity.RESTARTED_AT, ""),
        "boot_id": labels.get(identity.BOOT_ID, ""),
        "history": identity.read_history(labels),
        "stop": identity.read_stop(labels),
        "exit": identity.read_exit(labels),
    }


def affects(known: ObservedContainer | None, event: event_types.Event) -> bool:
    """Whether the event tells of something that the record does not show."""
    task = known.task if known is not None else None
    match event:
        case event_types.ContainerCreate():
            return known is None
        case event_types.ContainerUpdate(labels=labels):
            return known is None or any(getattr(known, field) != value for field, value in _labelled(labels).items())
        case event_types.ContainerDelete():
            return known is not None
        case event_types.TaskCreate() | event_types.TaskStart():
            return task is None or task.pid != event.pid or task.state is TaskState.CREATED
        case event_types.TaskExit():
            return event.is_task and known is not None and not _shows_end(known, event)
        case event_types.TaskDelete():
            return event.id == event.container_id and task is not None
        case event_types.TaskPaused():
            return task is None or task.state is not TaskState.PAUSED
        case event_types.TaskResumed():
            return task is None or task.state is TaskState.PAUSED
        case _:
            return False


def _shows_end(known: ObservedContainer, event: event_types.TaskExit) -> bool:
    """Whether the record shows this end.

    One without a process does not: a start is noted when containerd has answered it, and the process may have ended by then.
    """
    if known.task is not None:
        return known.task.state is TaskState.STOPPED
    return known.exit is not None and known.exit.finished_at == event.exited_at


def _is_about_process(event: event_types.Event) -> bool:
    """Whether it leaves the container's record as it was."""
    record = event_types.ContainerCreate | event_types.ContainerUpdate | event_types.ContainerDelete
    return not isinstance(event, record)


def _labelled(labels: Mapping[str, str]) -> dict[str, Any]:
    return _remembered(labels) if identity.key_of(labels) is not None else {}


class ObservedStore:
    """The containers of this node, by key."""

    def __init__(self, containerd: Containerd) -> None:
        self._containerd = containerd
        self._by_id: dict[str, ObservedContainer] = {}
        self._ids: defaultdict[Key, set[str]] = defaultdict(set)
        self._told: defaultdict[str, list[event_types.Event]] = defaultdict(list)
        self._version: defaultdict[str, int] = defaultdict(int)
        self._gone: set[str] = set()
        self._being_made: set[str] = set()
        self.last_list: datetime | None = None
        self.tasks_listed: frozenset[str] = frozenset()
        """The ids of all processes in the last list, of whomever they are."""

    def of(self, key: Key) -> tuple[ObservedContainer, ...]:
        """The containers of one object."""
        return tuple(self._by_id[container_id] for container_id in sorted(self._ids.get(key, ())))

    def get(self, container_id: str) -> ObservedContainer | None:
        """One container, or None."""
        return self._by_id.get(container_id)

    def all(self) -> tuple[ObservedContainer, ...]:
        """Every container of ours."""
        return tuple(self._by_id.values())

    def keys(self) -> set[Key]:
        """The keys that have containers."""
        return {key for key, ids in self._ids.items() if ids}

    def put(self, container: ObservedContainer) -> None:
        """Take in what an action or a read has shown."""
        self._by_id[container.id] = container
        self._ids[container.key].add(container.id)
        self._version[container.id] += 1

    def change(self, container_id: str, **changes: Any) -> None:
        """Change fields of a record to what an action has just made true."""
        known = self._by_id.get(container_id)
        if known is not None:
            self.put(replace(known, **changes))

    def drop(self, container_id: str) -> None:
        """Forget a container that containerd no longer has."""
        known = self._by_id.pop(container_id, None)
        self._version[container_id] += 1
        self._gone.add(container_id)
        self._told.pop(container_id, None)
        if known is not None:
            self._ids[known.key].discard(container_id)
            if not self._ids[known.key]:
                del self._ids[known.key]

    @contextmanager
    def making(self, container_id: str) -> Iterator[None]:
        """While this lasts the container is being made, and whoever makes it puts what containerd answers."""
        self._being_made.add(container_id)
        try:
            yield
        finally:
            self._being_made.discard(container_id)

    def is_news(self, event: event_types.ContainerCreate) -> bool:
        """Whether nobody here knows of that container, nor is making it."""
        return event.container_id not in self._by_id and event.container_id not in self._being_made

    def tell(self, event: event_types.ContainerEvent) -> Key | None:
        """Note an event; returns the key to look at, or None when there is nothing new or the container is not known."""
        known = self._by_id.get(event.container_id)
        if known is None or not affects(known, event):
            return None
        self._told[event.container_id].append(event)
        return known.key

    async def settle(self, key: Key) -> None:
        """Ask containerd about those containers of the key of which events told something new."""
        for container in self.of(key):
            told = self._told.pop(container.id, [])
            news = [event for event in told if affects(container, event)]
            if news:
                try:
                    if all(_is_about_process(event) for event in news):
                        await self._refresh_task(container.id)
                    else:
                        await self.refresh(container.id)
                except BaseException:
                    # What was told is not known yet: the next look asks again.
                    self._told[container.id][:0] = told
                    raise

    async def refresh(self, container_id: str) -> ObservedContainer | None:
        """Ask containerd about one container; raises `ContainerdError`."""
        seen = await self._undisturbed(container_id, self._ask)
        if seen is None:
            self.drop(container_id)
            return None
        self.put(_with_memory(seen, self._by_id.get(container_id)))
        return self._by_id[container_id]

    async def _refresh_task(self, container_id: str) -> None:
        """Ask containerd about the process of one container."""
        task = await self._undisturbed(container_id, self._task)
        known = self._by_id.get(container_id)
        if known is not None:
            self.put(_with_memory(replace(known, task=None if task is None else from_task(task)), known))

    async def _undisturbed(self, container_id: str, ask: Callable[[str], Awaitable[Answer]]) -> Answer:
        """An answer about one container that nothing has overtaken."""
        while True:
            version = self._version[container_id]
            answer = await ask(container_id)
            if self._version[container_id] == version:
                return answer
            # NB: an action or a list came in between; which of the two is newer, only another answer tells.

    async def _ask(self, container_id: str) -> ObservedContainer | None:
        try:
            record = await self._containerd.containers.get(container_id)
        except errors.NotFound:
            return None
        return from_records(record, await self._task(container_id))

    async def _task(self, container_id: str) -> TaskRecord | None:
        try:
            return await self._containerd.tasks.get(container_id)
        except errors.NotFound:
            return None

    async def list(self) -> set[Key]:
        """Ask containerd about everything; returns the keys of which something changed. Raises `ContainerdError`."""
        versions = dict(self._version)
        records, tasks = await asyncio.gather(self._containerd.containers.list([OURS]), self._containerd.tasks.list())
        self.last_list = datetime.now(UTC)
        self.tasks_listed = frozenset(task.id for task in tasks)
        by_id = {task.id: task for task in tasks}
        seen = [from_records(record, by_id.get(record.id)) for record in records]
        changed = self._take_in([container for container in seen if container is not None], versions)
        self._prune(versions)
        return changed

    def _prune(self, versions: Mapping[str, int]) -> None:
        """Nothing need be known any more of what went before a list was begun that has now been taken in."""
        for container_id in [gone for gone in self._gone if self._version[gone] == versions.get(gone)]:
            self._gone.discard(container_id)
            if container_id not in self._by_id:
                del self._version[container_id]

    def _take_in(self, listed: Iterable[ObservedContainer], versions: Mapping[str, int]) -> set[Key]:
        """Compare with a list. What an action changed while the list was made is left: the list may be older."""
        changed = set()
        present = set()
        for container in listed:
            present.add(container.id)
            known = self._by_id.get(container.id)
            fresh = _with_memory(container, known)
            if fresh != known and self._version[container.id] == versions.get(container.id, 0):
                self.put(fresh)
                changed.add(container.key)
        for gone in set(self._by_id) - present:
            if self._version[gone] == versions.get(gone, 0):
                changed.add(self._by_id[gone].key)
                self.drop(gone)
        return changed


def _with_memory(seen: ObservedContainer, known: ObservedContainer | None) -> ObservedContainer:
    """What containerd can't tell is carried over: when we saw the process start, what we sent it, whether a shim may be left."""
    if known is None:
        return replace(seen, shim_unsure=seen.task is None and seen.exit is not None)
    return replace(
        seen,
        started_at=known.started_at,
        signalled=known.signalled and seen.task is not None,
        killed_at=known.killed_at if seen.task else None,
        shim_unsure=known.shim_unsure and seen.task is None,
    )
