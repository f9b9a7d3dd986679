"""Containers in every state that alerts and dashboards tell of: what runs, loops, is ill, waits, and what has failed."""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.gated_registry import GatedRegistry
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, because, condition, has_exited, is_running, status

SOON: Final = {"intervalSeconds": 0.2, "retries": 1}
WANTED: Final[dict[str, dict[str, Any]]] = {
    "busy": {
        "command": ["sh", "-c", "while :; do :; done"],
        "resources": {
            "limits": {"cpu": "20m", "memory": "64Mi", "pids": 50},
            "requests": {"cpu": "10m", "memory": "16Mi"},
        },
    },
    "loops": {
        "command": ["sh", "-c", "echo bye; exit 3"],
        "restartPolicy": {"name": "Always", "backoff": {"initialSeconds": 0.5, "factor": 10, "maxSeconds": 3600}},
    },
    "ill": {"command": ["sleep", FOREVER], "healthCheck": {"exec": {"command": ["false"]}, **SOON}},
    "failed": {"command": ["false"]},
    "greedy": {
        "command": ["sh", "-c", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done"],
        "resources": {"limits": {"memory": "16Mi"}},
    },
    "wrong": {"command": ["/no/such/program"]},
    "done": {"command": ["true"]},
    "stopped": {"command": ["sleep", FOREVER], "desiredState": "Stopped"},
    "waiting": {"command": ["sleep", FOREVER], "dependsOn": [{"name": "nobody", "condition": "Started"}]},
    "homeless": {"command": ["sleep", FOREVER], "nodeSelector": {"example.com/disk": "none"}},
    "stubborn": {
        "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
        "terminationGracePeriodSeconds": 3600,
    },
}
"""The containers by name, and their specs."""


@contextmanager
def made(cluster: Cluster, node: Node, agent: AgentProcess, images: Images) -> Iterator[Namespace]:
    """All of them, each in the state that it is to be in; in the end nothing is left."""
    with GatedRegistry(images.registry.url).running() as gated:
        namespace = cluster.namespace(images.busybox)
        try:
            for name, spec in WANTED.items():
                namespace.create(name, **spec)
            namespace.sleeper("imageless", image=f"{images.registry.address}/missing:1")
            _wait(namespace)
            _interrupt(node, agent)
            # After containerd was away: a pull that it cut off would fail for a moment.
            namespace.sleeper("pulling", image=_large(images, gated))
            namespace.wait("pulling", lambda body: bool((status(body).get("pull") or {}).get("totalBytes")))
            yield namespace
        finally:
            _remove(namespace, node)


def _large(images: Images, gated: GatedRegistry) -> str:
    """An image of which the gate lets the first half through."""
    size = 8 << 20
    layer = lab.layer({f"data/{uuid.uuid4().hex}": os.urandom(size)}, compression="none")
    lab.push(images.registry.address, "large:1", lab.Image([*lab.busybox().layers, layer]))
    gated.allow(size // 2)
    return f"{gated.address}/large:1"


def _wait(namespace: Namespace) -> None:
    namespace.running("busy")
    namespace.wait("loops", lambda body: because("CrashLoopBackOff")(body) and status(body)["restartCount"] >= 2)
    namespace.wait("ill", because("Unhealthy"))
    namespace.wait_all(["failed", "greedy", "done"], has_exited)
    namespace.wait("wrong", because("CommandNotFound"))
    namespace.wait("stopped", because("Stopped"))
    namespace.wait("waiting", because("DependencyMissing"))
    namespace.wait("homeless", because("Unbindable"))
    namespace.wait("imageless", lambda body: condition(body, "ImageReady")["reason"] == "ImagePullBackOff")
    namespace.wait("stubborn", is_running)
    namespace.delete("stubborn")
    namespace.wait("stubborn", in_removal)


def in_removal(body: Any) -> bool:
    return bool(status(body)["state"] == "Removing")


def _interrupt(node: Node, agent: AgentProcess) -> None:
    """containerd is away for a moment, so that some calls fail and its event stream breaks."""
    node.containerd.kill()
    waiting.until(lambda: agent.page("/readyz")[0] == 503, "the agent misses containerd")
    node.containerd.start()
    waiting.until(lambda: agent.page("/readyz")[0] == 200, "the agent sees containerd again")


def _remove(namespace: Namespace, node: Node) -> None:
    tasks = node.tasks()
    for one in node.of(namespace.name, "stubborn"):
        if one.id in tasks:
            os.kill(tasks[one.id].pid, signal.SIGKILL)
    try:
        namespace.delete_all()
        node.wait_clean()
    finally:
        namespace.strip_finalizers()
