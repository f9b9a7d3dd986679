"""Ending a process, and taking its end down: what is remembered before a signal is sent, and what the cgroup tells afterwards."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent import cgroups, identity
from controller.agent.act import Actor
from controller.agent.actions import KillContainer, RecordExit, SignalStop
from controller.agent.excerpts import Output
from controller.agent.identity import StopCause, StopMark
from controller.agent.observation import ObservedContainer
from controller.agent.observed import ObservedStore
from controller.agent.processes import Processes
from controller.agent.settings import Settings
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.containerd.event_types import TaskOOM
from controller.oci.inputs import NodeFacts
from tests.unit.agent.objects import BASE, ID, NODE, ago, container, ended

pytestmark = pytest.mark.feature("L7", "L11")


class Containerd:
    """Notes what is asked of it, in order; a process is always there."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self.asked: list[str] = []
        self.containers = self.tasks = self

    async def update_labels(self, _container_id: str, labels: Mapping[str, str]) -> None:
        self.labels.update(labels)
        for name in labels:
            stop = identity.read_stop(self.labels) if name == identity.STOP else None
            self.asked.append(f"{name.rpartition('/')[2]}{' by SIGKILL' if stop and stop.killed_at else ''}")

    async def kill(self, _container_id: str, number: int, *, all_processes: bool = False) -> None:
        self.asked.append(f"signal {number}{' to all' if all_processes else ''}")

    async def get(self, container_id: str) -> Any:
        raise errors.NotFound("Containers.Get", container_id)


@pytest.fixture
def containerd() -> Containerd:
    return Containerd()


@pytest.fixture
def observed(containerd: Containerd) -> ObservedStore:
    return ObservedStore(cast(Any, containerd))


async def _no_output(_container: ObservedContainer) -> Output:
    return Output()


@pytest.fixture
def processes(containerd: Containerd, observed: ObservedStore, tmp_path: Path) -> Processes:
    return Processes(
        containerd=cast(Any, containerd),
        observed=observed,
        node=cast(Any, SimpleNamespace(facts=NodeFacts(NODE))),
        streams=cast(Any, SimpleNamespace(drained=_no_output, release=lambda _container_id: None)),
        settings=Settings(node_name=NODE),
        cgroup_root=tmp_path,
    )


@pytest.fixture
def actor(processes: Processes, observed: ObservedStore) -> Actor:
    nothing: Any = None
    return Actor(
        api=nothing,
        declared=nothing,
        observed=observed,
        images=nothing,
        health=nothing,
        failures=nothing,
        dependencies=nothing,
        creator=nothing,
        starter=nothing,
        processes=processes,
        remover=nothing,
        streams=nothing,
    )


# --- what is remembered first -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "action", "asked"),
    [
        pytest.param(
            None,
            SignalStop(ID, 15, StopCause.USER),
            ["stop", "signal 15"],
            id="a stop signal",
        ),
        pytest.param(
            None,
            SignalStop(ID, 9, StopCause.USER),
            ["stop by SIGKILL", "signal 9"],
            id="SIGKILL for a stop signal",
        ),
        pytest.param(
            None,
            KillContainer(ID, StopCause.HEALTH_KILL),
            ["stop by SIGKILL", "signal 9 to all"],
            id="SIGKILL at once",
        ),
        pytest.param(
            StopMark(StopCause.USER, ago(10)),
            KillContainer(ID),
            ["stop by SIGKILL", "signal 9 to all"],
            id="SIGKILL after the grace period",
        ),
        pytest.param(
            StopMark(StopCause.USER, ago(10)),
            SignalStop(ID, 9),
            ["stop by SIGKILL", "signal 9"],
            id="SIGKILL for a stop signal, by the agent that follows",
        ),
        pytest.param(
            StopMark(StopCause.USER, ago(20), ago(10)),
            KillContainer(ID),
            ["signal 9 to all"],
            id="SIGKILL once more",
        ),
    ],
)
async def test_that_sigkill_is_sent_is_remembered_before_it_is(
    actor: Actor,
    observed: ObservedStore,
    containerd: Containerd,
    stop: StopMark | None,
    action: KillContainer | SignalStop,
    asked: list[str],
) -> None:
    observed.put(container(stop=stop))
    await actor.perform(action, BASE)
    assert containerd.asked == asked


async def test_of_two_sigkills_the_first_is_remembered(actor: Actor, observed: ObservedStore) -> None:
    mark = StopMark(StopCause.USER, ago(20), ago(10))
    observed.put(container(stop=mark))
    await actor.perform(KillContainer(ID), BASE)
    now = observed.get(ID)
    assert now is not None
    assert now.stop == mark


async def test_a_clock_that_was_set_back_leaves_a_sigkill_no_later_than_now(
    processes: Processes, observed: ObservedStore, containerd: Containerd
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    current = container(stop=StopMark(StopCause.USER, later, later + timedelta(seconds=10)))
    observed.put(current)
    await processes.correct_times(current)
    mark = identity.read_stop(containerd.labels)
    assert mark is not None
    assert mark.killed_at is not None
    assert mark.killed_at <= datetime.now(UTC)


# --- what the cgroup tells ----------------------------------------------------------------------------------------------

Hierarchy = Callable[[int | None], None]


@pytest.fixture(params=["v1", "v2"])
def counted(request: pytest.FixtureRequest, tmp_path: Path) -> Hierarchy:
    """Has the cgroup count so many kills; None: there is no cgroup."""
    v2 = request.param == "v2"
    path = cgroups.path_of(NodeFacts(NODE).cgroup_parent, Settings(node_name=NODE).containerd_namespace, ID).lstrip("/")
    directory = tmp_path / path if v2 else tmp_path / "memory" / path
    if v2:
        (tmp_path / "cgroup.controllers").touch()

    def count(kills: int | None) -> None:
        if kills is not None:
            directory.mkdir(parents=True)
            (directory / ("memory.events" if v2 else "memory.oom_control")).write_text(f"oom_kill {kills}\n")

    return count


def _oom_event() -> TaskOOM:
    return TaskOOM("tallyman", "/tasks/oom", ago(1), ID)


async def _recorded(processes: Processes, observed: ObservedStore, current: ObservedContainer) -> tuple[Any, ...]:
    observed.put(current)
    await processes.record_exit(current, RecordExit(ID, None, ago(60), 1), init=False)
    known = observed.get(ID)
    assert known is not None
    assert known.exit is not None
    return known.exit.code, known.exit.oom_killed, known.exit.reason


async def test_an_oom_kill_is_told_by_the_counter_and_its_event_may_come_late(
    processes: Processes, observed: ObservedStore, containerd: Containerd, counted: Hierarchy
) -> None:
    counted(1)
    assert await _recorded(processes, observed, container(task=ended(137))) == (137, True, Reason.OOM_KILLED)
    before = list(containerd.asked)
    assert observed.tell(_oom_event()) is None, "nothing is to be looked at again"
    await observed.settle(BASE.key)
    assert containerd.asked == before


async def test_the_event_alone_is_no_proof(processes: Processes, observed: ObservedStore, counted: Hierarchy) -> None:
    counted(0)
    current = container(task=ended(137))
    observed.put(current)
    assert observed.tell(_oom_event()) is None
    assert await _recorded(processes, observed, current) == (137, False, Reason.ERROR)


async def test_without_the_cgroup_a_sigkill_is_a_sigkill(
    processes: Processes, observed: ObservedStore, counted: Hierarchy
) -> None:
    counted(None)
    assert await _recorded(processes, observed, container(task=ended(137))) == (137, False, Reason.ERROR)


async def test_one_that_obeyed_its_stop_signal_was_not_killed_though_a_child_was(
    processes: Processes, observed: ObservedStore, counted: Hierarchy
) -> None:
    counted(3)
    assert await _recorded(processes, observed, container(task=ended(143))) == (143, False, Reason.ERROR)


async def test_the_sigkill_of_an_agent_that_went_is_no_oom_kill_though_a_child_met_one(
    processes: Processes, observed: ObservedStore, counted: Hierarchy
) -> None:
    counted(1)
    left = container(task=ended(137), stop=StopMark(StopCause.USER, ago(20), ago(10)))
    assert left.killed_at is None, "the agent that records it has sent nothing"
    assert await _recorded(processes, observed, left) == (137, False, Reason.ERROR)
