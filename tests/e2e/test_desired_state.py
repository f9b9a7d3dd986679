"""Running, Stopped, Paused: what the user asks for, and what the process gets to know of it."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from controller.agent.identity import StopCause, StopMark, stop_label
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import condition, container_id, has_exited, in_state, status

LOOP = "touch /shared/ready; while :; do sleep 0.02; done"


def _trapping(namespace: Namespace, shared: Path, trap: str, grace: int) -> None:
    """A container whose shell has its trap set, surely."""
    namespace.shell(
        "web",
        f"{trap}; {LOOP}",
        terminationGracePeriodSeconds=grace,
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    namespace.running("web")
    waiting.until((shared / "ready").exists, "the trap set")


def _has_lines(path: Path, count: int) -> bool:
    return len(path.read_text().splitlines()) == count


@pytest.mark.feature("L7")
def test_a_stopped_container_gets_its_signal_and_keeps_its_exit_code(
    namespace: Namespace, node: Node, shared: Path
) -> None:
    _trapping(namespace, shared, "trap 'exit 7' TERM", grace=60)
    namespace.change("web", desiredState="Stopped")
    body = namespace.wait("web", has_exited)
    shown = status(body)
    assert (shown["exitCode"], shown.get("signal"), shown["stoppedByUser"]) == (7, None, True)
    assert shown["finishedAt"]
    assert "pid" not in shown
    assert condition(body, "Ready")["status"] == "False"
    assert condition(body, "Ready")["reason"] == "Stopped"
    assert condition(body, "Stalled")["status"] == "False"
    assert [one.id for one in node.of(namespace.name, "web")] == [container_id(body)]
    assert node.processes() == {}
    assert len(node.snapshots()) == 1  # its writable layer


@pytest.mark.feature("L7")
def test_a_container_that_ignores_its_signal_is_killed_after_the_grace_period(
    namespace: Namespace, shared: Path
) -> None:
    _trapping(namespace, shared, "trap '' TERM", grace=1)
    namespace.change("web", desiredState="Stopped")
    shown = status(namespace.wait("web", has_exited))
    assert (shown["exitCode"], shown["signal"], shown["oomKilled"]) == (137, 9, False)


@pytest.mark.feature("L7", "L2")
def test_a_stopped_container_runs_again_with_what_it_wrote(namespace: Namespace, node: Node, shared: Path) -> None:
    namespace.shell(
        "web",
        "date +%s%N >> /var/log/starts; cp /var/log/starts /shared/starts; while :; do sleep 0.05; done",
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    first = namespace.running("web")
    waiting.until((shared / "starts").exists, "its first start")
    for restarts in (1, 2):
        namespace.change("web", desiredState="Stopped")
        namespace.wait("web", has_exited)
        namespace.change("web", desiredState="Running")
        body = namespace.running("web")
        assert container_id(body) == container_id(first)
        assert status(body)["restartCount"] == restarts
        assert status(body)["pid"] == node.tasks()[container_id(body)].pid
        assert not {"exitCode", "finishedAt", "stoppedByUser"} & status(body).keys()
        waiting.until(partial(_has_lines, shared / "starts", restarts + 1), "its writable layer kept")


@pytest.mark.feature("L7", "L15")
def test_a_stop_by_the_user_is_remembered_over_a_restart_of_the_agent(
    namespace: Namespace, node: Node, agent: AgentProcess
) -> None:
    namespace.sleeper("web")
    namespace.running("web")
    namespace.change("web", desiredState="Stopped")
    before = namespace.wait("web", has_exited)
    agent.kill()
    agent.start()
    namespace.sleeper("other")  # once this runs, the agent has looked at everything
    namespace.running("other")
    assert namespace.get("web") == before
    assert container_id(before) not in node.processes()
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["restartCount"] == 1


@pytest.mark.feature("L7", "K1")
def test_an_agent_killed_between_the_memory_of_a_stop_and_its_signal_sends_it_later(
    namespace: Namespace, node: Node, agent: AgentProcess, shared: Path
) -> None:
    _trapping(namespace, shared, "trap 'exit 7' TERM", grace=600)
    agent.kill()
    [label] = stop_label(StopMark(StopCause.USER, datetime.now(UTC))).items()
    node.containerd.ctr("containers", "label", container_id(namespace.get("web")), "=".join(label))
    namespace.change("web", desiredState="Stopped")
    agent.start()
    assert status(namespace.wait("web", has_exited))["exitCode"] == 7


@pytest.mark.feature("L7", "L8")
def test_a_paused_container_is_frozen_until_it_is_to_run(namespace: Namespace, node: Node, shared: Path) -> None:
    namespace.shell(
        "web",
        "while :; do date +%s%N > /shared/now; sleep 0.01; done",
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    before = namespace.running("web")
    namespace.change("web", desiredState="Paused")
    paused = namespace.wait("web", in_state("Paused"))
    assert condition(paused, "Ready")["status"] == "False"
    assert condition(paused, "Ready")["reason"] == "Paused"
    assert node.tasks()[container_id(before)].state == "PAUSED"
    assert node.cgroup_file(container_id(before), "freezer/freezer.state", "cgroup.freeze") in {"FROZEN", "1"}
    frozen = (shared / "now").read_text()

    namespace.change("web", desiredState="Running")
    body = namespace.running("web")
    assert status(body)["pid"] == status(before)["pid"]
    assert status(body)["restartCount"] == 0
    waiting.until(lambda: (shared / "now").read_text() > frozen, "it goes on")


@pytest.mark.feature("L7", "L8")
def test_a_paused_container_can_be_stopped_and_deleted(namespace: Namespace, shared: Path) -> None:
    _trapping(namespace, shared, "trap 'exit 7' TERM", grace=60)
    namespace.change("web", desiredState="Paused")
    namespace.wait("web", in_state("Paused"))
    namespace.change("web", desiredState="Stopped")
    assert status(namespace.wait("web", has_exited))["exitCode"] == 7

    namespace.sleeper("frozen", desiredState="Paused")
    namespace.wait("frozen", in_state("Paused"))
    namespace.delete("frozen")
    namespace.wait_gone("frozen")


@pytest.mark.feature("L7", "L8")
def test_what_has_stopped_cannot_be_paused_and_says_so(namespace: Namespace) -> None:
    namespace.create("web", command=["true"])
    namespace.wait("web", has_exited)
    namespace.change("web", desiredState="Paused")
    body = namespace.wait("web", lambda body: condition(body, "Ready")["reason"] == "PauseRefused")
    assert status(body)["state"] == "Exited"
    assert condition(body, "Stalled")["status"] == "True"
    assert "no process to pause" in condition(body, "Ready")["message"]


@pytest.mark.feature("L7")
def test_a_container_that_is_declared_stopped_is_not_made(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web", desiredState="Stopped")
    body = namespace.wait("web", in_state("Pending"))
    assert condition(body, "Ready")["reason"] == "Stopped"
    assert node.of(namespace.name, "web") == []
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["restartCount"] == 0
