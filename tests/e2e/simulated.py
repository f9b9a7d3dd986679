"""Nodes that are nothing but objects: a ContainerNode and a Lease each, written as an agent would write them.

The heartbeats of all of them are one thread's work, so that a test can let one fall silent, or have any clock.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from tests.e2e import waiting
from tests.e2e.cluster import GROUP, LEASE_NAMESPACE, NODES, VERSION, Cluster, Namespace
from tests.e2e.objects import Body, condition, status

LEASE_SECONDS = 4
BEAT_SECONDS = 0.5


@dataclass
class SimulatedNode:
    """One node. What is changed on it takes effect with its next heartbeat or write."""

    name: str
    cpu: str = "4"
    memory: str = "8Gi"
    containers: int = 250
    runtimes: tuple[str, ...] = ("runc",)
    labels: Mapping[str, str] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    ready: str = "True"
    clock: timedelta = timedelta()
    """How far its clock is from the right time."""
    silent: bool = False

    def status(self) -> dict[str, Any]:
        """What its agent says."""
        return {
            "agentVersion": "simulated",
            "runtimes": [{"name": name, "available": True} for name in self.runtimes],
            "allocatable": {"cpu": self.cpu, "memory": self.memory, "containers": self.containers},
            "conditions": [
                {
                    "type": "Ready",
                    "status": self.ready,
                    "reason": "AgentReady" if self.ready == "True" else "AgentNotReady",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                }
            ],
        }


class Fleet:
    """All simulated nodes of a test."""

    def __init__(self, cluster: Cluster, lease_namespace: str) -> None:
        self._cluster = cluster
        self._lease_namespace = lease_namespace
        self._nodes: dict[str, SimulatedNode] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeats")

    def add(self, *nodes: SimulatedNode) -> None:
        """Register nodes; each has had a heartbeat when this returns."""
        for node in nodes:
            body = {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": "ContainerNode",
                "metadata": {"name": node.name, "labels": {"kubernetes.io/hostname": node.name, **node.labels}},
                "spec": dict(node.spec),
            }
            self._cluster.objects.create_cluster_custom_object(GROUP, VERSION, NODES, body)
            self._renew(node)
            self._nodes[node.name] = node
            self.report(node)

    def report(self, node: SimulatedNode) -> None:
        """Write the status, as its agent does when it is well."""
        self._cluster.write_node_status(node.name, node.status())

    def ready(self, node: SimulatedNode) -> str:
        """The Ready condition of the object, with its reason."""
        body = self._cluster.node(node.name)
        found = condition(body or {}, "Ready")
        return f"{found['status']} {found['reason']}"

    def lost(self, node: SimulatedNode) -> None:
        """Let a node fall silent, and wait until the cluster takes it for lost."""
        node.silent = True
        waiting.until(
            lambda: self.ready(node) == "Unknown NodeLost", f"{node.name} is lost", seen=lambda: self.ready(node)
        )

    def back(self, node: SimulatedNode) -> None:
        """Let it be heard again."""
        node.silent = False
        self._renew(node)
        self.report(node)

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            for node in list(self._nodes.values()):
                if not node.silent:
                    try:
                        self._renew(node)
                    except (ApiException, HTTPError):
                        # NB: the API server may be away: that is what some tests are about.
                        continue

    def _renew(self, node: SimulatedNode) -> None:
        name = f"tallyman-node-{node.name}"
        spec = {
            "holderIdentity": node.name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": f"{datetime.now(UTC) + node.clock:%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        api = self._cluster.coordination
        try:
            api.patch_namespaced_lease(name, self._lease_namespace, {"spec": spec}, _request_timeout=5)
        except ApiException as error:
            if error.status != 404:
                raise
            body = {"metadata": {"name": name}, "spec": spec}
            api.create_namespaced_lease(self._lease_namespace, body, _request_timeout=5)

    def start(self) -> None:
        """Let their hearts beat."""
        self._thread.start()

    def end(self) -> None:
        """Take all of them away."""
        self._ended.set()
        self._thread.join()
        for name in self._nodes:
            self._cluster.delete_node(name)
            self._cluster.delete_lease(f"tallyman-node-{name}", self._lease_namespace)


@contextmanager
def fleet(cluster: Cluster, lease_namespace: str = LEASE_NAMESPACE) -> Iterator[Fleet]:
    """A fleet without nodes, to which a test adds its own."""
    made = Fleet(cluster, lease_namespace)
    made.start()
    try:
        yield made
    finally:
        made.end()


def run(namespace: Namespace, name: str, node: str) -> Body:
    """Say of a Container what the agent of a node would say that runs it: finalizer and status."""
    namespace.patch(name, {"metadata": {"finalizers": ["tallyman.dev/container"]}})
    return namespace.write_status(name, running(node))


def running(node: str) -> dict[str, Any]:
    """The status of a container that runs."""
    said = [("Ready", "True", "Running"), ("Reconciling", "False", "Settled"), ("Accepted", "True", "Valid")]
    return {
        "observedGeneration": 1,
        "state": "Running",
        "nodeName": node,
        "containerID": "a" * 64,
        "pid": 4711,
        "restartCount": 0,
        "conditions": [
            {"type": kind, "status": holds, "reason": reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
            for kind, holds, reason in said
        ],
    }


def node_of(body: Body) -> tuple[str | None, str | None]:
    """The node that a Container is bound to, by name and by label."""
    label = (body["metadata"].get("labels") or {}).get("tallyman.dev/node")
    return body["spec"].get("nodeName"), label


def is_bound(body: Body) -> bool:
    """Whether a Container is bound to a node."""
    name, label = node_of(body)
    return name is not None and name == label


def because(body: Body) -> str:
    """State, and status and reason of the Ready condition."""
    ready = condition(body, "Ready")
    return f"{status(body).get('state')} {ready['status']} {ready['reason']}"
