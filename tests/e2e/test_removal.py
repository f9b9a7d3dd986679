"""Nothing is removed while it is in use, and what is gone counts as removed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, Predicate, container_id, has_exited, in_state, is_running, status

SLOW_END = "trap 'sleep 1; touch /shared/ended; exit 0' TERM; touch /shared/ready; while :; do sleep 0.02; done"


@pytest.mark.feature("L17")
@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
@pytest.mark.parametrize("way", ["deleted", "replaced"])
def test_a_container_is_not_removed_before_its_process_has_ended(
    namespace: Namespace, node: Node, shared: Path, way: str, paused: bool
) -> None:
    namespace.shell(
        "web",
        SLOW_END,
        terminationGracePeriodSeconds=60,
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    before = container_id(namespace.running("web"))
    waiting.until((shared / "ready").exists, "the trap set")
    if paused:
        namespace.change("web", desiredState="Paused")
        namespace.wait("web", in_state("Paused"))
    if way == "deleted":
        namespace.delete("web")
    else:
        namespace.change("web", command=["sleep", FOREVER], desiredState="Running")
    waiting.until(lambda: not node.has(before), "the container gone")
    assert (shared / "ended").exists(), "its process had its time"
    if way == "replaced":
        namespace.change("web", terminationGracePeriodSeconds=0)
        namespace.running("web")


SESSION = "4711"
"""Seconds that somebody's command would sleep; it is known by them."""


def _sessions() -> list[Path]:
    """The processes of the command that somebody runs in a container."""
    wanted = f"sleep\0{SESSION}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == wanted:
                found.append(process)
        except OSError:
            continue
    return found


@pytest.mark.feature("L17")
@pytest.mark.parametrize(
    ("change", "settled"),
    [
        ({}, None),
        ({"command": ["sleep", "1234567"]}, is_running),
        ({"desiredState": "Stopped"}, has_exited),
    ],
    ids=["its object is deleted", "it is replaced", "it is stopped"],
)
def test_a_session_in_a_container_ends_with_it_and_holds_up_nothing(
    namespace: Namespace, node: Node, change: dict[str, Any], settled: Predicate | None
) -> None:
    namespace.sleeper("web", healthCheck={"exec": {"command": ["true"]}, "intervalSeconds": 0.2})
    before = namespace.running("web")
    session = "task", "exec", "--exec-id", "somebody", container_id(before), "sleep", SESSION
    with ThreadPoolExecutor(1) as aside:
        attached = aside.submit(node.containerd.ctr, *session)
        waiting.until(_sessions, "the session begun")
        if settled is None:
            namespace.delete("web")
            namespace.wait_gone("web")
        else:
            namespace.change("web", **change)
            after = namespace.wait(
                "web", lambda body: settled(body) and status(body).get("pid") != status(before)["pid"]
            )
            assert (container_id(after) == container_id(before)) is ("command" not in change)
        assert "137" in str(attached.exception(timeout=waiting.SECONDS)), "who holds the session is told of its end"
    assert _sessions() == []


def _take(node: Node, container: str, what: str) -> None:
    ctr = node.containerd.ctr
    if what in {"process", "everything"}:
        ctr("task", "kill", "--signal", "SIGKILL", container)
        waiting.until(lambda: node.tasks()[container].state == "STOPPED", "the process ended")
        ctr("task", "rm", container)
    if what in {"snapshot", "everything"}:
        ctr("snapshot", "rm", container)
    if what in {"record", "everything"}:
        ctr("container", "rm", "--keep-snapshot", container)


@pytest.mark.feature("L17", "D6")
@pytest.mark.parametrize(
    ("what", "spec"),
    [
        ("process", {}),
        ("snapshot", {"desiredState": "Stopped"}),
        ("record", {"desiredState": "Stopped"}),
        ("everything", {}),
    ],
)
def test_what_somebody_else_has_taken_counts_as_removed(
    namespace: Namespace, node: Node, agent: AgentProcess, what: str, spec: dict[str, Any]
) -> None:
    namespace.sleeper("web")
    container = container_id(namespace.running("web"))
    if spec:
        namespace.change("web", **spec)
        namespace.wait("web", has_exited)
        node.processes()
    agent.kill()
    try:
        _take(node, container, what)
        namespace.delete("web")
    finally:
        agent.start()
    namespace.wait_gone("web")
    node.wait_clean()
