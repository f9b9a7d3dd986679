"""What is known of containerd: which events matter, and that no race between events, lists, answers and actions loses one."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from controller.agent import identity
from controller.agent.identity import StopCause, StopMark
from controller.agent.observation import ObservedContainer, TaskState
from controller.agent.observed import ObservedStore, affects, from_records
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.containers import ContainerRecord
from controller.containerd.event_types import (
    ContainerCreate,
    ContainerDelete,
    ContainerUpdate,
    Event,
    OtherEvent,
    TaskCreate,
    TaskDelete,
    TaskExit,
    TaskOOM,
    TaskPaused,
    TaskResumed,
    TaskStart,
)
from controller.containerd.tasks import TaskRecord, TaskStatus
from tests.unit.agent.objects import (
    CREATED,
    ID,
    KEY,
    NOW,
    PAUSED,
    PID,
    RUNNING,
    UID,
    ago,
    container,
    ended,
    ending,
    mark,
)

HEAD = ("tallyman", "/some/topic", NOW)
LABELS = {
    identity.NAMESPACE: KEY[0],
    identity.NAME: KEY[1],
    identity.UID: UID,
    identity.SPEC_HASH: "abcd",
    identity.FINGERPRINT: "args=1,image=2",
    identity.RESOURCES: "r",
    identity.IMAGE_ID: "sha256:1",
    identity.CHAIN_ID: "sha256:2",
    identity.RUNTIME: "runc",
    identity.STOP_SIGNAL: "3",
    identity.GRACE: "30",
    identity.RESTARTS: "2",
}


def record(labels: Mapping[str, str] = LABELS, container_id: str = ID) -> ContainerRecord:
    return ContainerRecord(container_id, dict(labels), "image", "runc", "overlayfs", container_id, b"{}", ago(60), NOW)


def task(status: TaskStatus = TaskStatus.RUNNING, pid: int = PID, code: int = 0, container_id: str = ID) -> TaskRecord:
    at = ago(1) if status is TaskStatus.STOPPED else None
    return TaskRecord(container_id, status, pid, code, at)


KNOWN = from_records(record(), None)
assert KNOWN is not None


def known(process: Any = None, **changes: Any) -> ObservedContainer:
    assert KNOWN is not None
    return replace(KNOWN, task=process, **changes)


def task_exit(exec_id: str = ID, pid: int = PID) -> TaskExit:
    return TaskExit(*HEAD, ID, exec_id, pid, 3, ago(1))


def task_delete(exec_id: str = ID) -> TaskDelete:
    return TaskDelete(*HEAD, ID, exec_id, PID, 3, ago(1))


# --- reading ------------------------------------------------------------------------------------------------------------


def test_a_record_is_read_with_what_its_labels_remember() -> None:
    labels = {
        **LABELS,
        **identity.stop_label(StopMark(StopCause.USER, ago(3))),
        **identity.exit_label(ending(3, Reason.ERROR)),
    }
    seen = from_records(record(labels), task(TaskStatus.STOPPED, code=3))
    assert seen is not None
    assert (seen.id, seen.key, seen.uid, seen.spec_hash) == (ID, KEY, UID, "abcd")
    assert seen.fingerprint == {"args": "1", "image": "2"}
    assert (seen.stop_signal, seen.grace_seconds, seen.restarts) == (3, 30, 2)
    assert (seen.image_id, seen.chain_id, seen.runtime_name, seen.resources) == ("sha256:1", "sha256:2", "runc", "r")
    assert seen.stop == StopMark(StopCause.USER, ago(3))
    assert seen.exit == ending(3, Reason.ERROR)
    assert seen.task is not None
    assert (seen.task.state, seen.task.exit_code, seen.task.exited_at) == (TaskState.STOPPED, 3, ago(1))


def test_what_is_not_ours_is_not_seen() -> None:
    assert from_records(record({}), task()) is None


@pytest.mark.parametrize("status", TaskStatus)
def test_every_state_of_a_task_has_one_of_ours(status: TaskStatus) -> None:
    seen = from_records(record(), task(status))
    assert seen is not None
    assert seen.task is not None
    expected = "Running" if status is TaskStatus.PAUSING else status.value
    assert seen.task.state.value == expected


# --- events -------------------------------------------------------------------------------------------------------------

OTHER_LABELS = {**LABELS, identity.RESTARTS: "3"}
AFFECTS: dict[str, tuple[ObservedContainer | None, Event, bool]] = {
    "a container that is not known was made": (None, ContainerCreate(*HEAD, ID, "image"), True),
    "a container that is known was made": (known(), ContainerCreate(*HEAD, ID, "image"), False),
    "labels that are known were written": (known(), ContainerUpdate(*HEAD, ID, "image", LABELS), False),
    "other labels were written": (known(), ContainerUpdate(*HEAD, ID, "image", OTHER_LABELS), True),
    "a mark was written": (
        known(),
        ContainerUpdate(*HEAD, ID, "image", {**LABELS, **identity.stop_label(mark())}),
        True,
    ),
    "the mark that is known was written": (
        known(stop=mark()),
        ContainerUpdate(*HEAD, ID, "image", {**LABELS, **identity.stop_label(mark())}),
        False,
    ),
    "labels of a container that is not known were written": (None, ContainerUpdate(*HEAD, ID, "image", LABELS), True),
    "a known container went": (known(), ContainerDelete(*HEAD, ID), True),
    "an unknown container went": (None, ContainerDelete(*HEAD, ID), False),
    "a process was made": (known(), TaskCreate(*HEAD, ID, PID), True),
    "a process that runs was made": (known(RUNNING), TaskCreate(*HEAD, ID, PID), False),
    "a process was started": (known(CREATED), TaskStart(*HEAD, ID, PID), True),
    "a process that runs was started": (known(RUNNING), TaskStart(*HEAD, ID, PID), False),
    "another process was started": (known(RUNNING), TaskStart(*HEAD, ID, PID + 1), True),
    "a process that runs ended": (known(RUNNING), task_exit(), True),
    "a paused process ended": (known(PAUSED), task_exit(), True),
    "a process ended that is known to have ended": (known(ended(3)), task_exit(), False),
    "a process ended before its start was answered": (known(), task_exit(), True),
    "a process ended whose end is written down": (known(exit=ending(3, at=ago(1))), task_exit(), False),
    "a process ended, and another end is written down": (known(exit=ending(3, at=ago(9))), task_exit(), True),
    "an exec ended": (known(RUNNING), task_exit("exec-1"), False),
    "a process of a container that is not known ended": (None, task_exit(), False),
    "a process was deleted": (known(ended(3)), task_delete(), True),
    "a process that is known to be gone was deleted": (known(), task_delete(), False),
    "an exec was deleted": (known(RUNNING), task_delete("exec-1"), False),
    "a process was paused": (known(RUNNING), TaskPaused(*HEAD, ID), True),
    "a paused process was paused": (known(PAUSED), TaskPaused(*HEAD, ID), False),
    "a process was resumed": (known(PAUSED), TaskResumed(*HEAD, ID), True),
    "a running process was resumed": (known(RUNNING), TaskResumed(*HEAD, ID), False),
    "memory ran out": (known(RUNNING), TaskOOM(*HEAD, ID), False),
    "something unknown happened": (known(RUNNING), OtherEvent(*HEAD, "containerd.events.Future"), False),
}


@pytest.mark.parametrize(("before", "event", "expected"), AFFECTS.values(), ids=AFFECTS.keys())
def test_an_event_matters_when_it_tells_something_new(
    before: ObservedContainer | None, event: Event, expected: bool
) -> None:
    assert affects(before, event) is expected


# --- the store ----------------------------------------------------------------------------------------------------------

Hook = Callable[[], Awaitable[None]]


@dataclass
class FakeContainerd:
    """containerd's answers; a hook runs between its making an answer and the answer's arrival."""

    records: dict[str, ContainerRecord] = field(default_factory=dict)
    processes: dict[str, TaskRecord] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    broken: Exception | None = None

    async def _answer(self, call: str) -> None:
        self.calls.append(call)
        if self.broken is not None:
            raise self.broken
        await asyncio.sleep(0)

    async def _arrive(self) -> None:
        if self.hooks:
            await self.hooks.pop(0)()

    async def get(self, container_id: str) -> ContainerRecord:
        await self._answer("get")
        found = self.records.get(container_id)
        await self._arrive()
        if found is None:
            raise errors.NotFound("Containers.Get", "no such container")
        return found

    async def get_task(self, container_id: str) -> TaskRecord:
        await self._answer("task")
        found = self.processes.get(container_id)
        await self._arrive()
        if found is None:
            raise errors.NotFound("Tasks.Get", "no such task")
        return found

    async def list(self, filters: Any = ()) -> tuple[ContainerRecord, ...]:
        await self._answer("list")
        found = tuple(self.records.values())
        await self._arrive()
        return found

    async def list_tasks(self) -> tuple[TaskRecord, ...]:
        await self._answer("list tasks")
        return tuple(self.processes.values())

    def client(self) -> Containerd:
        @dataclass
        class Tasks:
            get: Any
            list: Any

        @dataclass
        class Client:
            containers: Any
            tasks: Any

        return cast(Containerd, Client(self, Tasks(self.get_task, self.list_tasks)))


@pytest.fixture
def containerd() -> FakeContainerd:
    return FakeContainerd({ID: record()}, {ID: task()})


@pytest.fixture
def store(containerd: FakeContainerd) -> ObservedStore:
    return ObservedStore(containerd.client())


def state_of(store: ObservedStore) -> TaskState | None:
    seen = store.get(ID)
    assert seen is not None
    return seen.task.state if seen.task is not None else None


async def test_a_list_shows_what_there_is_and_whose_keys_changed(store: ObservedStore) -> None:
    assert store.last_list is None
    assert await store.list() == {KEY}
    assert [seen.id for seen in store.of(KEY)] == [ID]
    assert [seen.id for seen in store.all()] == [ID]
    assert store.keys() == {KEY}
    assert store.last_list is not None
    assert await store.list() == set()


async def test_a_list_leaves_out_what_is_not_ours(containerd: FakeContainerd, store: ObservedStore) -> None:
    containerd.records["foreign"] = record({"io.kubernetes.pod.name": "x"}, "foreign")
    await store.list()
    assert store.get("foreign") is None


async def test_a_list_finds_what_has_gone(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    containerd.records.clear()
    assert await store.list() == {KEY}
    assert store.of(KEY) == ()
    assert store.keys() == set()


async def test_an_event_is_asked_about_once_it_is_looked_at(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    containerd.processes[ID] = task(TaskStatus.STOPPED, code=3)
    containerd.calls.clear()
    assert store.tell(task_exit()) == KEY
    assert state_of(store) is TaskState.RUNNING, "an event changes nothing by itself"
    await store.settle(KEY)
    assert state_of(store) is TaskState.STOPPED
    assert containerd.calls == ["task"], "the end of a process leaves the container's record as it was"
    await store.settle(KEY)
    assert containerd.calls == ["task"], "asked once"


async def test_all_of_a_container_is_asked_about_when_its_record_has_changed(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    await store.list()
    labels = {**LABELS, identity.RESTARTS: "3"}
    containerd.records[ID], containerd.processes[ID] = record(labels), task(TaskStatus.STOPPED, code=3)
    containerd.calls.clear()
    store.tell(task_exit())
    store.tell(ContainerUpdate(*HEAD, ID, "image", labels))
    await store.settle(KEY)
    assert containerd.calls == ["get", "task"]
    assert state_of(store) is TaskState.STOPPED
    assert store.of(KEY)[0].restarts == 3


async def test_a_process_that_has_gone_is_no_longer_shown(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    del containerd.processes[ID]
    store.tell(task_delete())
    await store.settle(KEY)
    assert state_of(store) is None


async def test_who_makes_a_container_need_not_be_told_of_it(store: ObservedStore) -> None:
    created = ContainerCreate(*HEAD, ID, "image")
    assert store.is_news(created)
    with store.making(ID):
        assert not store.is_news(created)
    assert store.is_news(created), "it came to nothing"
    store.put(known())
    assert not store.is_news(created)


async def test_an_event_that_tells_nothing_new_costs_nothing(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    containerd.calls.clear()
    assert store.tell(TaskStart(*HEAD, ID, PID)) is None
    assert store.tell(ContainerDelete(*HEAD, "of another")) is None
    await store.settle(KEY)
    assert containerd.calls == []


async def test_an_event_that_an_action_has_overtaken_costs_nothing(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    await store.list()
    assert store.tell(TaskPaused(*HEAD, ID)) == KEY
    store.change(ID, task=PAUSED)
    containerd.calls.clear()
    await store.settle(KEY)
    assert containerd.calls == []


@pytest.mark.feature("L7")
async def test_an_end_that_comes_before_the_answer_to_the_start_is_seen(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    """The process ends within a millisecond: its events are here before the start is answered."""
    del containerd.processes[ID]
    await store.list()
    for event in (TaskCreate(*HEAD, ID, PID), TaskStart(*HEAD, ID, PID), task_exit()):
        assert store.tell(event) == KEY
    containerd.processes[ID] = task(TaskStatus.STOPPED, code=3)
    store.change(ID, task=RUNNING, started_at=NOW)
    await store.settle(KEY)
    assert state_of(store) is TaskState.STOPPED


async def test_an_event_is_not_forgotten_when_containerd_does_not_answer(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    await store.list()
    containerd.processes[ID] = task(TaskStatus.STOPPED)
    store.tell(task_exit())
    containerd.broken = errors.DeadlineExceeded("Containers.Get", "no answer")
    with pytest.raises(errors.DeadlineExceeded):
        await store.settle(KEY)
    containerd.broken = None
    await store.settle(KEY)
    assert state_of(store) is TaskState.STOPPED


async def test_an_event_during_the_asking_is_asked_about_again(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    await store.list()
    store.tell(TaskPaused(*HEAD, ID))

    async def end_now() -> None:
        containerd.processes[ID] = task(TaskStatus.STOPPED)
        store.tell(task_exit())

    containerd.hooks = [end_now]
    await store.settle(KEY)
    assert state_of(store) is TaskState.RUNNING
    await store.settle(KEY)
    assert state_of(store) is TaskState.STOPPED


async def test_an_answer_that_an_action_has_overtaken_is_asked_for_again(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    await store.list()

    async def act() -> None:
        containerd.records[ID] = record({**LABELS, **identity.stop_label(mark())})
        store.change(ID, stop=mark())

    containerd.hooks = [act]
    seen = await store.refresh(ID)
    assert seen is not None
    assert seen.stop == mark()


async def test_an_old_answer_that_a_container_is_gone_does_not_drop_the_new_one(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    del containerd.records[ID]

    async def make() -> None:
        containerd.records[ID] = record()
        store.put(known())

    containerd.hooks = [make]
    assert await store.refresh(ID) is not None
    assert store.get(ID) is not None


async def test_an_older_list_does_not_undo_an_action(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()

    async def act() -> None:
        store.change(ID, stop=mark())

    containerd.hooks = [act]
    await store.list()
    seen = store.get(ID)
    assert seen is not None
    assert seen.stop == mark()


async def test_an_older_list_does_not_bring_back_what_was_removed(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    await store.list()

    async def remove() -> None:
        del containerd.records[ID]
        store.drop(ID)

    containerd.hooks = [remove]
    assert await store.list() == set()
    assert store.get(ID) is None


async def test_an_older_list_does_not_drop_what_was_made(containerd: FakeContainerd, store: ObservedStore) -> None:
    del containerd.records[ID]

    async def make() -> None:
        containerd.records[ID] = record()
        store.put(known())

    containerd.hooks = [make]
    assert await store.list() == set()
    assert store.get(ID) is not None


async def test_what_containerd_does_not_tell_is_remembered(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    store.change(ID, started_at=ago(9), killed_at=ago(1))
    await store.list()
    seen = await store.refresh(ID)
    assert seen is not None
    assert (seen.started_at, seen.killed_at) == (ago(9), ago(1))
    del containerd.processes[ID]
    seen = await store.refresh(ID)
    assert seen is not None
    assert (seen.started_at, seen.killed_at) == (ago(9), None), "the next process was not killed yet"


async def test_a_container_that_lost_our_labels_is_dropped(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    containerd.records[ID] = record({})
    assert await store.refresh(ID) is None
    assert store.get(ID) is None


async def test_a_container_that_is_gone_is_dropped(containerd: FakeContainerd, store: ObservedStore) -> None:
    await store.list()
    containerd.records.clear()
    assert store.tell(ContainerDelete(*HEAD, ID)) == KEY
    await store.settle(KEY)
    assert store.of(KEY) == ()


async def test_changing_what_is_not_known_changes_nothing(store: ObservedStore) -> None:
    store.change(ID, stop=mark())
    store.drop(ID)
    assert store.all() == ()


async def test_an_ended_container_that_is_met_may_have_a_shim_left(
    containerd: FakeContainerd, store: ObservedStore
) -> None:
    containerd.records[ID] = record({**LABELS, **identity.exit_label(ending())})
    containerd.processes.clear()
    await store.list()
    seen = store.get(ID)
    assert seen is not None
    assert seen.shim_unsure
    store.change(ID, shim_unsure=False)
    seen = await store.refresh(ID)
    assert seen is not None
    assert not seen.shim_unsure


async def test_nothing_is_remembered_of_containers_long_gone(containerd: FakeContainerd, store: ObservedStore) -> None:
    for number in range(50):
        store.put(container(id=f"id-{number}"))
        store.drop(f"id-{number}")
    containerd.records.clear()
    await store.list()
    await store.list()
    assert not store._version
    assert not store._gone
    assert not store._told
    assert not store._ids
