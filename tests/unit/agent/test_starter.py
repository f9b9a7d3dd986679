"""Starting a process: what was mounted is confirmed before it runs, whoever has made it."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent import hostpaths
from controller.agent.observation import ObservedContainer
from controller.agent.observed import ObservedStore
from controller.agent.policy import PolicyKeeper
from controller.agent.settings import Settings
from controller.agent.starter import Starter
from tests.unit.agent.objects import CREATED, NODE, RUNNING, container, declared

pytestmark = pytest.mark.feature("P6", "S1")
ALLOWED = "rules: [{namespaces: ['*'], allow: {hostPaths: [{path: /}]}}]"


class Tasks:
    """This process stands in for the container's: its root is the node's root."""

    def __init__(self) -> None:
        self.called: list[str] = []

    async def get(self, _container_id: str) -> Any:
        return SimpleNamespace(pid=os.getpid())

    async def start(self, _container_id: str) -> int:
        self.called.append("start")
        return os.getpid()

    async def delete(self, _container_id: str) -> None:
        self.called.append("delete")


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


@pytest.fixture
def observed(tasks: Tasks) -> ObservedStore:
    return ObservedStore(cast(Any, SimpleNamespace(tasks=tasks)))


@pytest.fixture
def starter(tasks: Tasks, observed: ObservedStore, tmp_path: Path) -> Starter:
    policy = tmp_path / "policy.yaml"
    policy.write_text(ALLOWED)
    return Starter(
        containerd=cast(Any, SimpleNamespace(tasks=tasks)),
        observed=observed,
        node=cast(Any, SimpleNamespace(boot_id="")),
        runtimes=cast(Any, None),
        streams=cast(Any, SimpleNamespace(release=lambda _container_id: None)),
        policy=PolicyKeeper(policy, lambda: None),
        settings=Settings(node_name=NODE),
    )


def _mounted(source: Path, target: Path) -> Any:
    spec = declared(mounts=[{"mountPath": str(target), "hostPath": {"path": str(source)}}]).spec
    assert spec is not None
    return spec


def _known(observed: ObservedStore, one: ObservedContainer) -> ObservedContainer:
    observed.put(one)
    return one


async def test_a_process_that_a_killed_agent_has_made_is_not_started_with_another_mount(
    starter: Starter, observed: ObservedStore, tasks: Tasks, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    made = _known(observed, container(task=CREATED))

    with pytest.raises(hostpaths.SourceExchanged):
        await starter.start(made, _mounted(tmp_path, tmp_path / "other"), again=None)

    assert tasks.called == ["delete"]
    now = observed.get(made.id)
    assert now is not None
    assert now.task is None


async def test_one_with_the_right_mount_is(
    starter: Starter, observed: ObservedStore, tasks: Tasks, tmp_path: Path
) -> None:
    made = _known(observed, container(task=CREATED))

    await starter.start(made, _mounted(tmp_path, tmp_path), again=None)

    assert tasks.called == ["start"]


async def test_one_that_runs_already_is_left_alone(
    starter: Starter, observed: ObservedStore, tasks: Tasks, tmp_path: Path
) -> None:
    running = _known(observed, container(task=RUNNING))

    await starter.start(running, _mounted(tmp_path, tmp_path / "missing"), again=None)

    assert tasks.called == ["start"]
