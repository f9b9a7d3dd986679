"""What is removed, in which order, and what is refused: against a containerd whose answers are scripted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent.observation import ObservedContainer, ObservedTask
from controller.agent.removal import Remover, TearDownError
from controller.containerd import errors
from controller.containerd.errors import ContainerdError
from tests.unit.agent.objects import CREATED, ID, PAUSED, RUNNING, container, ended

STILL_RUNS = ContainerdError("Tasks.Delete", "failed to delete task: cannot delete a running process: unknown")
RUNTIME_GONE = ContainerdError("Tasks.Delete", "failed to delete task: fork/exec /no/runc: no such file or directory")
BUSY = ContainerdError("Tasks.Delete", "device or resource busy")
GONE = errors.NotFound("any", "not found")


@dataclass
class Node:
    """One container as the agent knows it, as it is, and what happens to it."""

    known: ObservedTask | None
    truth: ObservedTask | None
    process: ContainerdError | None = None
    snapshot: ContainerdError | None = None
    record: ContainerdError | None = None
    lives: bool = False
    done: list[str] = field(default_factory=list)

    def _call(self, name: str, error: ContainerdError | None) -> Callable[..., Any]:
        async def call(*_arguments: object) -> None:
            self.done.append(name)
            if error is not None:
                raise error

        return call

    async def _refresh(self, _container_id: str) -> ObservedContainer:
        return container(task=self.truth)

    def remover(self) -> Remover:
        parts = {
            "tasks": SimpleNamespace(delete=self._call("process", self.process)),
            "snapshots": SimpleNamespace(remove=self._call("snapshot", self.snapshot)),
            "containers": SimpleNamespace(delete=self._call("record", self.record)),
        }
        observed = SimpleNamespace(
            get=lambda _id: container(task=self.known), refresh=self._refresh, drop=lambda _id: self.done.append("drop")
        )
        return Remover(
            containerd=cast(Any, SimpleNamespace(**parts)),
            observed=cast(Any, observed),
            streams=cast(Any, SimpleNamespace(release=lambda _id: None)),
            remains=cast(
                Any, SimpleNamespace(live=lambda _id: self.lives, clear=lambda _id: self.done.append("remains"))
            ),
            snapshotter="overlayfs",
            end_shim=lambda _id: self.done.append("shim"),
        )


@pytest.mark.feature("L17")
@pytest.mark.parametrize(
    ("node", "touched"),
    [
        (Node(RUNNING, RUNNING), []),
        (Node(PAUSED, PAUSED), []),
        (Node(ended(0), RUNNING, process=STILL_RUNS), ["process"]),
        (Node(None, PAUSED, process=STILL_RUNS), ["process"]),
        (Node(None, CREATED, process=RUNTIME_GONE), ["process"]),
        (Node(None, None, process=GONE, lives=True), ["process"]),
    ],
    ids=[
        "it runs",
        "it is paused",
        "it runs, though it was taken for ended",
        "it is paused, though nothing was known of it",
        "it was made, and its runtime is gone",
        "containerd has lost sight of it",
    ],
)
async def test_what_is_in_use_is_not_removed(node: Node, touched: list[str]) -> None:
    with pytest.raises(errors.FailedPrecondition, match="stop it before it is removed"):
        await node.remover().remove(ID)
    assert node.done == touched


@pytest.mark.feature("L17", "D6")
@pytest.mark.parametrize(
    "node",
    [
        Node(ended(0), ended(0)),
        Node(None, None, process=GONE),
        Node(None, None, process=GONE, snapshot=GONE),
        Node(None, None, process=GONE, snapshot=GONE, record=GONE),
    ],
    ids=["it has ended", "its process is gone", "its snapshot, too", "all of it is gone"],
)
async def test_what_is_gone_counts_as_removed_and_the_record_goes_last(node: Node) -> None:
    await node.remover().remove(ID)
    assert node.done == ["process", "snapshot", "remains", "record", "drop"]


@pytest.mark.feature("L18")
async def test_an_ended_process_whose_runtime_is_gone_goes_with_its_shim() -> None:
    node = Node(ended(0), ended(0), process=RUNTIME_GONE)
    with pytest.raises(errors.Unavailable, match="its shim was ended"):
        await node.remover().remove(ID)
    assert node.done == ["process", "shim"]


@pytest.mark.parametrize(
    ("node", "touched"),
    [
        (Node(ended(0), ended(0), process=BUSY), ["process", "snapshot"]),
        (Node(ended(0), ended(0), snapshot=BUSY), ["process", "snapshot"]),
        (Node(ended(0), ended(0), record=BUSY), ["process", "snapshot", "remains", "record"]),
    ],
    ids=["process", "snapshot", "record"],
)
async def test_the_record_stays_until_all_else_is_released(node: Node, touched: list[str]) -> None:
    with pytest.raises(TearDownError, match="busy"):
        await node.remover().remove(ID)
    assert node.done == touched
