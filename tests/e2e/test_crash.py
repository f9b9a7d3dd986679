"""The agent, containerd or the API server dies at any moment: afterwards there is one container for each object, nothing
else, and every status is true."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.containerd.wire import containers_pb2
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.node import LABEL, Node
from tests.e2e.objects import FOREVER, Body, because, container_id, has_exited, is_running, life, status

MANY = 20
ROUNDS = 3
API_AWAY_SECONDS = 30.0
"""How long the API server is away; the issue says so."""
MOST_LAG = 0.05
"""Seconds, at most, between the moment that a crash is aimed at and the crash: two steps of the agent are not further apart."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"TALLYMAN_LIST_SECONDS": "2"}


@pytest.fixture
def chance() -> random.Random:
    """Chance with a seed that is printed, and can be given as TALLYMAN_TEST_SEED."""
    seed = int(os.environ.get("TALLYMAN_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"TALLYMAN_TEST_SEED={seed}")
    return random.Random(seed)


def _spec(number: int, shared: Path, version: str) -> dict[str, Any]:
    """A container that notes its start under its own name; every second one ends at once, with code 3."""
    then = "exit 3" if number % 2 else f"exec sleep {FOREVER}"
    return {
        "command": ["sh", "-c", f"echo $HOSTNAME >> /shared/starts; {then}"],
        "env": [{"name": "VERSION", "value": version}],
        "mounts": [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    }


def _as_it_should_be(number: int) -> Callable[[Body], bool]:
    return has_exited if number % 2 else is_running


def _assert_true(namespace: Namespace, node: Node, numbers: Mapping[str, int]) -> None:
    """One container for each object, nothing orphaned, and what the status says is what there is."""
    for name, number in numbers.items():
        namespace.wait(name, _as_it_should_be(number))
    bodies, registered, tasks = namespace.listed(), node.containers(), node.processes()
    assert Counter(one.uid for one in registered.values()) == Counter(
        bodies[name]["metadata"]["uid"] for name in numbers
    )
    for name, number in numbers.items():
        shown = status(bodies[name])
        assert registered[shown["containerID"]].uid == bodies[name]["metadata"]["uid"]
        if number % 2:
            assert (shown["exitCode"], shown["restartCount"]) == (3, 0), name
            assert shown["containerID"] not in tasks
        else:
            assert tasks[shown["containerID"]].state == "RUNNING"
            assert (tasks[shown["containerID"]].pid, 0) == (shown["pid"], shown["restartCount"]), name
    assert sorted(node.snapshots()) == sorted(registered)
    assert node.leases() == []
    waiting.until(
        lambda: len(node.shims()) == len(tasks), "no shim without a process", seen=lambda: (node.shims(), node.tasks())
    )
    assert sorted({path.name for path in node.cgroups()}) == sorted(tasks)


def _crash(agent: AgentProcess, chance: random.Random, moment: Callable[[], bool]) -> None:
    """Kill the agent a little after that moment, or when it would not come any more, and start it again."""
    deadline = time.monotonic() + waiting.SECONDS
    while not moment() and time.monotonic() < deadline:
        pass
    time.sleep(chance.uniform(0, MOST_LAG))
    agent.kill()
    agent.start()


def _has_made(node: Node, namespace: str, before: set[str], count: int) -> bool:
    return len(set(node.containers(namespace)) - before) > count


def _has_left(node: Node, namespace: str, count: int) -> bool:
    return len(node.containers(namespace)) <= count


@pytest.mark.feature("K1", "L3", "L15", "D6")
def test_an_agent_killed_at_any_moment_leaves_one_container_for_each_object(
    namespace: Namespace, node: Node, agent: AgentProcess, shared: Path, chance: random.Random
) -> None:
    for turn in range(ROUNDS):
        numbers = {f"box-{turn}-{number}": number for number in range(MANY)}
        aims = [chance.randrange(MANY) for _ in range(3)]
        print(f"round {turn}: aims {aims}")

        for name, number in numbers.items():
            namespace.create(name, **_spec(number, shared, "first"))
        _crash(agent, chance, partial(_has_made, node, namespace.name, set(), aims[0]))
        _assert_true(namespace, node, numbers)

        first = set(node.containers(namespace.name))
        for name, number in numbers.items():
            namespace.change(name, **_spec(number, shared, "second"))
        _crash(agent, chance, partial(_has_made, node, namespace.name, first, aims[1]))
        _assert_true(namespace, node, numbers)
        assert not first & set(node.containers(namespace.name))

        for name in numbers:
            namespace.delete(name)
        _crash(agent, chance, partial(_has_left, node, namespace.name, aims[2]))
        namespace.wait_gone()
        node.wait_clean()

    starts = Counter((shared / "starts").read_text().split())
    assert len(starts) == 2 * MANY * ROUNDS
    twice = [box for box, times in starts.items() if times > 1]
    assert not twice, "started more than once"


@pytest.mark.feature("L15", "L16", "L5")
def test_containers_survive_a_crash_of_containerd_and_what_happened_meanwhile_is_found(
    namespace: Namespace, node: Node, agent: AgentProcess
) -> None:
    for name in ("steady", "killed", "deleted", "changed", "stopped"):
        namespace.sleeper(name)
    before = namespace.wait_all(["steady", "killed", "deleted", "changed", "stopped"], is_running)
    node.containerd.kill()
    os.kill(status(before["killed"])["pid"], signal.SIGKILL)
    namespace.delete("deleted")
    namespace.change("changed", env=[{"name": "VERSION", "value": "second"}])
    namespace.change("stopped", desiredState="Stopped")
    namespace.sleeper("new")
    node.containerd.start()

    namespace.running("new")
    namespace.wait_gone("deleted")
    killed = namespace.wait("killed", has_exited)
    assert (status(killed)["exitCode"], container_id(killed)) == (137, container_id(before["killed"]))
    assert status(namespace.wait("stopped", has_exited))["stoppedByUser"] is True
    changed = namespace.running("changed")
    assert container_id(changed) != container_id(before["changed"])
    steady = namespace.running("steady")
    assert life(steady) == life(before["steady"])
    assert node.tasks()[container_id(steady)].pid == status(steady)["pid"]
    assert Counter(one.object for one in node.containers(namespace.name).values()) == Counter(
        ["steady", "killed", "changed", "stopped", "new"]
    )
    assert agent.daemon.alive()


@pytest.mark.feature("L15", "L16")
def test_a_containerd_that_stays_away_is_told_and_nothing_is_claimed(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    node.containerd.kill()
    away = namespace.wait("web", because("ContainerdUnavailable"))
    assert (status(away)["state"], status(away)["containerID"]) == ("Unknown", container_id(before))
    node.containerd.start()
    assert life(namespace.running("web")) == life(before)


@pytest.mark.feature("L15")
def test_agent_and_containerd_die_together(namespace: Namespace, node: Node, agent: AgentProcess) -> None:
    for name in ("steady", "killed"):
        namespace.sleeper(name)
    before = namespace.wait_all(["steady", "killed"], is_running)
    agent.kill()
    node.containerd.kill()
    os.kill(status(before["killed"])["pid"], signal.SIGKILL)
    namespace.sleeper("new")
    node.containerd.start()
    agent.start()
    namespace.running("new")
    assert status(namespace.wait("killed", has_exited))["exitCode"] == 137
    assert life(namespace.running("steady")) == life(before["steady"])
    assert len(node.containers(namespace.name)) == 3


def _plant(node: Node, namespace: str, name: str, uid: str) -> str:
    """Register a container as if an agent had made it for an object that is gone."""
    planted = f"planted-{uid}"
    labels = {f"{LABEL}namespace": namespace, f"{LABEL}name": name, f"{LABEL}uid": uid}
    node.register(containers_pb2.Container(id=planted, labels=labels))
    return planted


@pytest.mark.feature("L15", "L20", "L5", "K1")
def test_what_happens_while_the_api_server_is_away_is_told_when_it_is_back(
    namespace: Namespace, node: Node, cluster: Cluster, agent: AgentProcess
) -> None:
    names = ["steady", "killed", "removed"]
    for name in names:
        namespace.sleeper(name)
    before = namespace.wait_all(names, is_running)
    cluster.plane.kill_apiserver()
    away_since = time.monotonic()
    os.kill(status(before["killed"])["pid"], signal.SIGKILL)
    removed = container_id(before["removed"])
    node.containerd.ctr("tasks", "kill", "--signal", "KILL", removed)
    waiting.until(lambda: node.tasks().get(removed, None) is None or node.tasks()[removed].state == "STOPPED", "killed")
    orphan = _plant(node, namespace.name, "nobody", "00000000-0000-0000-0000-000000000000")
    steady = container_id(before["steady"])
    while time.monotonic() - away_since < API_AWAY_SECONDS:
        assert node.tasks()[steady].pid == status(before["steady"])["pid"]
        assert set(node.containers()) >= {steady, orphan, container_id(before["killed"]), removed}
        time.sleep(1)
    cluster.plane.start_apiserver()

    namespace.sleeper("new")
    namespace.running("new")
    for name in ("killed", "removed"):
        shown = status(namespace.wait(name, has_exited))
        assert (shown["exitCode"], shown["signal"], shown["restartCount"]) == (137, 9, 0)
    waiting.until(lambda: not node.has(orphan), "the orphan is gone", seen=node.containers)
    assert namespace.get("steady")["status"] == before["steady"]["status"]
    namespace.delete("killed")
    namespace.wait_gone("killed")
    assert agent.page("/readyz")[0] == 200
