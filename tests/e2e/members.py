"""Nodes that are real: each has a containerd with root and socket of its own, an agent, and a proxy that counts what that agent is sent."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Cluster
from tests.e2e.counting_proxy import CountingProxy
from tests.e2e.node import Node
from tests.e2e.objects import condition
from tests.e2e.pages import value

LEASE_SECONDS = 8
QUICK = {
    "TALLYMAN_LIST_SECONDS": "1",
    "TALLYMAN_STALE_SECONDS": "6",
    "TALLYMAN_LEASE_DURATION_SECONDS": str(LEASE_SECONDS),
}


@dataclass(frozen=True)
class Member:
    """One node of a fleet."""

    name: str
    cluster: Cluster
    node: Node
    agent: AgentProcess
    proxy: CountingProxy

    def ready(self) -> str:
        """The Ready condition of its object, with its reason; empty without an object."""
        found = condition(self.cluster.node(self.name) or {}, "Ready")
        return f"{found['status']} {found['reason']}".strip()

    def wait_ready(self) -> None:
        """Wait until it is registered, and its agent well."""
        waiting.until(lambda: self.ready() == "True AgentReady", f"{self.name} is ready", seen=self.ready)

    def objects(self, namespace: str) -> list[str]:
        """The objects of a namespace that containerd has containers of, by name."""
        return sorted(one.object for one in self.node.containers(namespace).values())

    def renewed_at(self) -> float:
        """When its agent last renewed its Lease, in Unix seconds."""
        return value(self.agent, "tallyman_lease_last_renewed_seconds")

    def leave(self) -> None:
        """Stop the agent, and take away what the cluster knows of the node."""
        self.agent.stop()
        self.cluster.delete_node(self.name)
        self.cluster.delete_lease(f"tallyman-node-{self.name}")


@contextmanager
def member(cluster: Cluster, name: str, directory: Path, settings: Mapping[str, str]) -> Iterator[Member]:
    """A node whose agent runs."""
    with (
        lab.containerd(directory=directory / "containerd") as containerd,
        CountingProxy(cluster.plane, directory / "proxy").running() as proxy,
    ):
        node = Node(containerd)
        agent = AgentProcess(
            directory / "agent", proxy.kubeconfig, containerd, name, standalone=False, settings={**QUICK, **settings}
        )
        made = Member(name, cluster, node, agent, proxy)
        agent.start()
        made.wait_ready()
        try:
            yield made
        finally:
            made.leave()
            node.close()
