"""Nothing is removed while it is in use, and what is gone counts as removed."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, container_id, has_exited, in_state

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
