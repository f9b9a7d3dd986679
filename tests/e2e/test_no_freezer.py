"""A node that can't freeze anything: a pause is refused with the reason, and all else goes on."""

from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.node import CGROUPS, Node
from tests.e2e.objects import because, condition, container_id, has_exited, is_running, life, status

HIDE = 'mount -t tmpfs none /sys/fs/cgroup/freezer && exec "$@"'
"""In a mount namespace of its own: the agent sees no freezer, whatever there is."""


@pytest.fixture(scope="module")
def agent(
    cluster: Cluster, node: Node, settings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    if (CGROUPS / "cgroup.controllers").exists():
        pytest.skip("cgroup v2 always has a freezer")
    blind = ("unshare", "--mount", "--propagation", "private", "sh", "-c", HIDE, "sh")
    made = AgentProcess(
        tmp_path_factory.mktemp("agent"), cluster.kubeconfig, node.containerd, settings=settings, wrapper=blind
    )
    made.start()
    yield made
    made.stop()


@pytest.mark.feature("L8")
def test_a_pause_is_refused_where_there_is_no_freezer(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    namespace.change("web", desiredState="Paused")
    body = namespace.wait("web", because("PauseRefused"))
    assert "no freezer" in condition(body, "Ready")["message"]
    assert [condition(body, kind)["status"] for kind in ("Ready", "Stalled", "Reconciling")] == [
        "False",
        "True",
        "False",
    ]
    assert status(body)["state"] == "Running"
    assert life(body) == life(before)
    assert node.tasks()[container_id(before)].state == "RUNNING"
    namespace.change("web", desiredState="Running")
    assert life(namespace.wait("web", is_running)) == life(before)
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)
