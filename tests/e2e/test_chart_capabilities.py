"""The capabilities that the chart gives the agent: enough for what an agent does on a node, and each is needed for something."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import render
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import because, status
from tests.e2e.release import confined

pytestmark = pytest.mark.feature("K1", "K3")
SOMEBODY = 1000
LEFT_BEHIND = "77770"
"""Seconds that the child of an exec check sleeps, by which it is found."""
CHECKS = 3


@dataclass(frozen=True)
class Task:
    """Something that takes a capability: what a Container asks for, and how one sees that it was done, or was not."""

    spec: Callable[[Path], Mapping[str, Any]]
    done: Callable[[Namespace, str, Path], object]
    not_done: Callable[[Namespace, str, Path], object]


def _runs(namespace: Namespace, name: str, _: Path) -> object:
    return namespace.running(name)


def _fails(reason: str) -> Callable[[Namespace, str, Path], object]:
    return lambda namespace, name, _: namespace.wait(name, because(reason))


def _somebody_s(place: Path, mode: int) -> Path:
    """A directory that belongs to somebody else."""
    made = place / "volume"
    made.mkdir()
    made.chmod(0o755)
    os.chown(made, SOMEBODY, SOMEBODY)
    made.chmod(mode)
    return made


def _mount(path: Path, **more: Any) -> Mapping[str, Any]:
    return {"mounts": [{"mountPath": "/data", "hostPath": {"path": str(path), **more.pop("source", {})}, **more}]}


def _keeps_its_group(kept: bool) -> Callable[[Namespace, str, Path], object]:
    def look(namespace: Namespace, name: str, place: Path) -> None:
        namespace.running(name)
        assert bool((place / "volume" / "made").stat().st_mode & stat.S_ISGID) == kept

    return look


def _left_behind() -> int:
    """How many children of exec checks there are."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes() == f"sleep\0{LEFT_BEHIND}\0".encode()
        except OSError:
            continue
    return found


def _checked_often(namespace: Namespace, name: str, _: Path) -> None:
    namespace.wait(name, lambda body: (status(body).get("health") or {}).get("status") == "Unhealthy")
    assert _left_behind() <= 1


def _leaves_children(namespace: Namespace, name: str, _: Path) -> None:
    waiting.until(lambda: _left_behind() >= CHECKS, "children of checks left")


TASKS = {
    "SYS_ADMIN": Task(lambda _: {"securityContext": {"user": "app"}}, _runs, _fails("NodeUnfit")),
    "SYS_PTRACE": Task(_mount, _runs, _fails("StartError")),
    "DAC_OVERRIDE": Task(
        lambda place: _mount(_somebody_s(place, 0o700) / "made", source={"type": "DirectoryOrCreate"}),
        _runs,
        _fails("MountSourceMissing"),
    ),
    "FSETID": Task(
        lambda place: _mount(_somebody_s(place, 0o2770), subPath="made"),
        _keeps_its_group(kept=True),
        _keeps_its_group(kept=False),
    ),
    "KILL": Task(
        lambda _: {
            "securityContext": {"user": str(SOMEBODY)},
            "healthCheck": {
                "exec": {"command": ["sh", "-c", f"sleep {LEFT_BEHIND} & wait"]},
                "intervalSeconds": 0.5,
                "timeoutSeconds": 0.2,
                "retries": CHECKS,
            },
        },
        _checked_often,
        _leaves_children,
    ),
}


@pytest.fixture(scope="module")
def agent(cluster: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent with the chart's capabilities."""
    workload = render().one("DaemonSet")
    made = AgentProcess(
        tmp_path_factory.mktemp("agent"), cluster.kubeconfig, node.containerd, wrapper=confined(workload)
    )
    made.start()
    yield made
    made.stop()


def test_each_capability_has_its_task() -> None:
    context = render().container("DaemonSet")["securityContext"]
    assert set(TASKS) == set(context["capabilities"]["add"])


@pytest.mark.parametrize("capability", TASKS)
def test_the_task_is_done_with_the_chart_s_capabilities(namespace: Namespace, tmp_path: Path, capability: str) -> None:
    task = TASKS[capability]
    namespace.sleeper("web", **task.spec(tmp_path))
    task.done(namespace, "web", tmp_path)


@pytest.mark.parametrize("capability", TASKS)
def test_the_task_is_not_done_without_its_capability(
    namespace: Namespace, agent: AgentProcess, tmp_path: Path, capability: str
) -> None:
    agent.stop()
    wrapper = confined(render().one("DaemonSet"), without=capability)
    # The other's directory for pipes, so that it lets go of those of a container that it removes later.
    same = {"TALLYMAN_RUN_DIR": str(agent.directory / "run")}
    weaker = AgentProcess(tmp_path / "agent", agent.kubeconfig, agent.containerd, settings=same, wrapper=wrapper)
    weaker.start()
    try:
        task = TASKS[capability]
        namespace.sleeper("web", **task.spec(tmp_path))
        task.not_done(namespace, "web", tmp_path)
    finally:
        weaker.stop()


def test_containers_have_more_capabilities_than_their_agent(namespace: Namespace, shared: Path) -> None:
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    namespace.shell("web", "grep CapBnd /proc/self/status > /shared/told; exec sleep 1000", mounts=mounts)
    namespace.running("web")
    waiting.until((shared / "told").exists, "the process told")
    told = waiting.until((shared / "told").read_text, "what it told")
    node = int(next(one for one in Path("/proc/1/status").read_text().splitlines() if "CapBnd" in one).split()[1], 16)
    assert int(told.split()[1], 16) == 0xA80425FB & node
