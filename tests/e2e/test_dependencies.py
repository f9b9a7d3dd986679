"""Containers that depend on others: started in order, held back by name, and deleted the other way round."""

import os
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import NODE_LABEL, Cluster, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import Body, because, condition, has_exited, is_running, status

pytestmark = pytest.mark.feature("L13")


@pytest.fixture(scope="module")
def boot_id(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for the kernel's file: another text in it is another boot."""
    path = tmp_path_factory.mktemp("boot") / "boot_id"
    path.write_text("first\n")
    return path


@pytest.fixture(scope="module")
def settings(boot_id: Path) -> Mapping[str, str]:
    return {"TALLYMAN_BOOT_ID_FILE": str(boot_id)}


CHAIN: dict[str, list[str]] = {"web": ["app"], "app": ["db", "cache"], "cache": [], "db": []}


def on(*names: str, condition: str = "Started") -> list[dict[str, str]]:
    return [{"name": name, "condition": condition} for name in names]


def message(body: Body) -> str:
    return str(condition(body, "Ready")["message"])


def test_a_chain_that_is_created_from_its_end_starts_in_order(namespace: Namespace, shared: Path) -> None:
    mount = {"mounts": [{"mountPath": "/data", "hostPath": {"path": str(shared)}}]}
    for name, to in CHAIN.items():
        namespace.shell(name, f"echo {name} >> /data/order; exec sleep 1000", dependsOn=on(*to), **mount)

    namespace.wait_all(["web", "app", "db", "cache"], is_running, "all run")

    order = (shared / "order").read_text().split()
    assert sorted(order[:2]) == ["cache", "db"]
    assert order[2:] == ["app", "web"]


@pytest.mark.feature("L15")
def test_after_a_reboot_they_start_in_order_whatever_their_statuses_say(
    namespace: Namespace, node: Node, agent: AgentProcess, boot_id: Path, shared: Path
) -> None:
    mount = {"mounts": [{"mountPath": "/data", "hostPath": {"path": str(shared)}}]}
    again: dict[str, Any] = {"restartPolicy": {"name": "Always", "backoff": {"initialSeconds": 0}}}
    for name, to in CHAIN.items():
        namespace.shell(name, f"echo {name} >> /data/order; exec sleep 1000", dependsOn=on(*to), **mount, **again)
    namespace.wait_all(CHAIN, is_running, "all run")

    agent.kill()
    for name in CHAIN:
        for one in node.of(namespace.name, name):
            node.containerd.ctr("tasks", "delete", "--force", one.id)
    (shared / "order").unlink()
    boot_id.write_text("second\n")
    agent.start()
    namespace.wait_all(CHAIN, lambda body: is_running(body) and status(body)["restartCount"] == 1, "all run again")

    order = (shared / "order").read_text().split()
    assert sorted(order[:2]) == ["cache", "db"]
    assert order[2:] == ["app", "web"]


def test_a_missing_one_is_named_and_waited_for(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web", dependsOn=on("db"))

    held = namespace.wait("web", because("DependencyMissing"))
    assert message(held) == "container db, which is to be Started first, does not exist in this namespace"
    assert condition(held, "Reconciling")["status"] == "True"
    assert node.containers(namespace.name) == {}
    [event] = waiting.until(partial(namespace.events, "web", "DependencyMissing"), "an event")
    assert (event.type, event.count, event.message) == ("Warning", 1, message(held))

    namespace.sleeper("db")
    namespace.running("web")


def test_what_is_to_complete_must_end_with_success(namespace: Namespace) -> None:
    namespace.sleeper("web", dependsOn=on("migrate", condition="Completed"))
    namespace.shell("migrate", "exit 3")
    namespace.wait("migrate", has_exited)

    failed = namespace.wait("web", because("DependencyFailed"))
    assert "container migrate, which is to be Completed first, has failed" in message(failed)
    assert condition(failed, "Stalled")["status"] == "True"

    namespace.change("migrate", command=["sh", "-c", "exit 0"])
    namespace.running("web")


def test_one_that_failed_to_start_is_named(namespace: Namespace) -> None:
    namespace.sleeper("web", dependsOn=on("db"))
    namespace.sleeper("db", command=["/no/such/program"])

    failed = namespace.wait("web", because("DependencyFailed"))
    assert message(failed) == (
        "container db, which is to be Started first, has failed: its state is Exited (CommandNotFound)"
    )

    namespace.change("db", command=["sleep", "1000"])
    namespace.running("web")


def test_health_is_waited_for_and_it_is_said_when_nothing_checks_it(namespace: Namespace) -> None:
    namespace.sleeper("db")
    namespace.sleeper("web", dependsOn=on("db", condition="Healthy"))
    namespace.running("db")

    held = namespace.wait("web", because("DependencyWaiting"))

    assert message(held) == "waits for container db to be Healthy; it has no healthCheck"


def test_a_cycle_is_named_and_heals(namespace: Namespace, node: Node) -> None:
    for name, to in {"a": "b", "b": "c", "c": "a"}.items():
        namespace.sleeper(name, dependsOn=on(to))

    bodies = namespace.wait_all("abc", because("DependencyCycle"), "all say so")
    assert message(bodies["a"]) == "these containers wait for each other: a → b → c → a"
    assert message(bodies["b"]) == "these containers wait for each other: b → c → a → b"
    assert all(condition(body, "Stalled")["status"] == "True" for body in bodies.values())
    assert node.containers(namespace.name) == {}

    namespace.change("c", dependsOn=None)
    namespace.wait_all("abc", is_running, "all run")


def test_one_that_is_down_postpones_a_restart_and_stops_nobody(namespace: Namespace) -> None:
    again: dict[str, Any] = {"restartPolicy": {"name": "Always", "backoff": {"initialSeconds": 0}}}
    namespace.sleeper("db")
    namespace.sleeper("idle", dependsOn=on("db"))
    namespace.sleeper("web", dependsOn=on("db"), **again)
    before = namespace.wait_all(["db", "idle", "web"], is_running)

    namespace.change("db", desiredState="Stopped")
    namespace.wait("db", has_exited)
    os.kill(status(before["web"])["pid"], signal.SIGKILL)
    held = namespace.wait("web", because("DependencyWaiting"))
    assert status(held)["state"] == "Restarting"
    assert "its state is Exited (Stopped)" in message(held)
    assert status(namespace.running("idle"))["pid"] == status(before["idle"])["pid"]

    namespace.change("db", desiredState="Running")
    after = namespace.wait("web", is_running)
    assert status(after)["restartCount"] == 1
    assert status(after)["containerID"] == status(before["web"])["containerID"]


def test_deleting_together_goes_the_other_way_round(namespace: Namespace, shared: Path) -> None:
    """Each writes its name when it is asked to stop, and takes its time."""
    mount = {"mounts": [{"mountPath": "/data", "hostPath": {"path": str(shared)}}]}
    chain: dict[str, list[str]] = {"a-db": [], "b-app": ["a-db"], "c-web": ["b-app"]}
    for name, to in chain.items():
        script = f"trap 'echo {name} >> /data/order; exit 0' TERM; while :; do sleep 0.1; done"
        namespace.shell(name, script, dependsOn=on(*to), terminationGracePeriodSeconds=10, **mount)
    namespace.wait_all(chain, is_running)

    namespace.kubectl("delete", "containers", "--all", "--wait=false")
    namespace.wait_gone()

    assert (shared / "order").read_text().split() == ["c-web", "b-app", "a-db"]


def test_one_that_is_deleted_alone_is_not_held_for_long(namespace: Namespace) -> None:
    namespace.sleeper("db")
    namespace.sleeper("web", dependsOn=on("db"))
    namespace.running("web")

    namespace.delete("db")
    namespace.wait_gone("db", seconds=10)

    assert is_running(namespace.get("web"))


@pytest.fixture
def other_node(tmp_path: Path) -> Iterator[Node]:
    with lab.containerd(directory=tmp_path / "node") as containerd:
        made = Node(containerd)
        yield made
        made.close()


@pytest.fixture
def other_agent(cluster: Cluster, other_node: Node, tmp_path: Path) -> Iterator[AgentProcess]:
    made = AgentProcess(tmp_path / "agent", cluster.kubeconfig, other_node.containerd, "node-b", standalone=False)
    made.start()
    yield made
    made.stop()


def test_dependencies_may_be_on_another_node(namespace: Namespace, other_agent: AgentProcess, other_node: Node) -> None:
    elsewhere: dict[str, Any] = {"metadata": {"labels": {NODE_LABEL: "node-b"}}, "nodeName": "node-b"}
    namespace.sleeper("web", dependsOn=on("db"))
    namespace.sleeper("circle", dependsOn=on("far"))
    namespace.sleeper("far", dependsOn=on("circle"), **elsewhere)
    namespace.wait("web", because("DependencyMissing"))
    namespace.sleeper("db", **elsewhere)

    namespace.running("web")
    circles = namespace.wait_all(["circle", "far"], because("DependencyCycle"), "both name the circle")

    assert message(circles["circle"]).endswith("circle → far → circle")
    assert message(circles["far"]).endswith("far → circle → far")
    assert len(other_node.containers(namespace.name)) == 1
    namespace.delete_all()
    other_node.wait_clean()
