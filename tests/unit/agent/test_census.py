"""What is counted of the agent's memory when somebody asks, and that what is known to come is counted from 0."""

import asyncio
from typing import Any, cast

import pytest

from controller import metrics
from controller.agent.census import Census
from controller.agent.compare import SOURCES
from controller.agent.declared import DeclaredStore
from controller.agent.queue import WorkQueue
from controller.api.container import ContainerState, DesiredState
from controller.kube import errors
from controller.kube.events import Recorder
from tests.unit.agent.objects import KEY, NODE, body

pytestmark = pytest.mark.feature("K4")


class _Recorder:
    def waiting(self) -> int:
        return 5


def _value(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(f"tallyman_{name}", labels)


def _ready(status: str, reason: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status, "reason": reason}]}


def _census(store: DeclaredStore, *queues: WorkQueue) -> Census:
    return Census(store, queues or (WorkQueue(),), cast(Recorder, _Recorder()))


def test_containers_are_counted_by_state_by_wish_and_by_reason() -> None:
    store = DeclaredStore(NODE)
    store.put(body(status={"state": "Running", **_ready("True", "Running")}))
    census = _census(store)
    census.take()
    assert (_value("containers", state="Running"), _value("containers", state="Exited")) == (1, 0)
    assert _value("containers_desired", state="Running") == 1
    assert _value("containers_not_ready", reason="Running") is None
    assert _value("events_waiting") == 5

    stopped = {"state": "Exited", **_ready("False", "Stopped")}
    store.put(body(status=stopped, version="101", generation=2, desiredState="Stopped"))
    census.take()
    assert (_value("containers", state="Running"), _value("containers", state="Exited")) == (0, 1)
    assert (_value("containers_desired", state="Running"), _value("containers_desired", state="Stopped")) == (0, 1)
    assert _value("containers_not_ready", reason="Stopped") == 1

    store.drop(KEY)
    census.take()
    assert (_value("containers", state="Exited"), _value("containers_not_ready", reason="Stopped")) == (0, 0)


def test_an_object_without_a_status_or_with_an_invalid_spec_is_pending() -> None:
    store = DeclaredStore(NODE)
    store.put(body(command="not a list"))
    _census(store).take()
    assert _value("containers", state="Pending") == 1
    assert sum(_value("containers_desired", state=state) or 0 for state in DesiredState) == 0


async def test_the_load_of_all_queues_is_told() -> None:
    queue, other, go_on, began = WorkQueue(), WorkQueue(), asyncio.Event(), asyncio.Event()

    async def look(key: tuple[str, str]) -> None:
        if key[1] == "bad":
            raise ValueError("no")
        began.set()
        await go_on.wait()

    census = _census(DeclaredStore(NODE), queue, other)
    work = asyncio.create_task(queue.run(look, 1))
    for name in ("bad", "slow", "waiting"):
        queue.add(("shop", name))
    other.add(("shop", "waiting"))
    await began.wait()
    census.take()
    assert (_value("queue_depth"), _value("queue_backing_off")) == (2, 1)
    waits, looks = _value("queue_longest_wait_seconds"), _value("reconcile_longest_running_seconds")
    assert waits is not None
    assert looks is not None
    assert waits >= looks > 0
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def test_nothing_to_do_is_no_age() -> None:
    _census(DeclaredStore(NODE)).take()
    assert (_value("queue_longest_wait_seconds"), _value("reconcile_longest_running_seconds")) == (0, 0)


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (metrics._SOURCES, SOURCES),
        (metrics._STATES, tuple(ContainerState)),
        (metrics._DESIRED, tuple(DesiredState)),
        (metrics._OUTCOMES, ("ok", *sorted(one.__name__ for one in errors.KubeError.__subclasses__()))),
    ],
    ids=["sources of lists", "states", "desired states", "outcomes of requests"],
)
def test_what_can_come_is_counted_from_the_start(told: tuple[str, ...], known: tuple[str, ...]) -> None:
    assert told == known


def test_the_outcome_of_a_write_is_ok_or_the_class_of_the_error() -> None:
    fine, lost = _value("status_writes_total", outcome="ok"), _value("status_writes_total", outcome="Unavailable")
    assert fine is not None
    assert lost is not None
    with metrics.status_write():
        pass
    with pytest.raises(errors.Unavailable), metrics.status_write():
        raise errors.Unavailable("away")
    assert _value("status_writes_total", outcome="ok") == fine + 1
    assert _value("status_writes_total", outcome="Unavailable") == lost + 1
