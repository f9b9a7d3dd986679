"""A fleet that is nothing but objects: nodes with heartbeats, and containers that an agent seems to run, as large as real ones.

Whatever writes here writes as a user or an agent would: over HTTP, one object at a time. Nothing is put into etcd behind the API server.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeVar

from aiohttp import ClientSession

from bench.cluster import open_session
from bench.watching import Body
from controller.api.container import FINALIZER, GROUP, KIND, NODE_LABEL, PLURAL, VERSION
from controller.api.node import (
    DEFAULT_LEASE_NAMESPACE,
    LEASE_DURATION_SECONDS,
    LEASE_RENEWALS,
    NODE_KIND,
    NODE_PLURAL,
    lease_name,
)

API = f"/apis/{GROUP}/{VERSION}"
LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{DEFAULT_LEASE_NAMESPACE}/leases"
MERGE_PATCH = "application/merge-patch+json"
WRITERS = 16
"""So many requests are under way at once while objects are made."""
SINCE = "2026-01-01T00:00:00Z"
T = TypeVar("T")
Kind = Callable[[str], dict[str, Any]]
"""Makes a container of that name."""


class Api:
    """The requests that the bench makes itself."""

    def __init__(self, session: ClientSession, server: str) -> None:
        self.session = session
        self.server = server

    async def call(self, verb: str, path: str, body: Body | None = None) -> Body:
        """Send one request and return its answer."""
        kind = MERGE_PATCH if verb == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {"Content-Type": kind}
        async with self.session.request(verb, self.server + path, data=data, headers=headers) as answer:
            answer.raise_for_status()
            made: Body = json.loads(await answer.read())
            return made


@asynccontextmanager
async def api() -> AsyncIterator[Api]:
    """A client by the kubeconfig."""
    async with open_session() as (session, server):
        yield Api(session, server)


async def at_once(limit: int, things: Iterable[T], work: Callable[[T], Awaitable[object]]) -> None:
    """Do the work for all things in their order, for so many at once."""
    left = iter(things)

    async def worker() -> None:
        for thing in left:
            await work(thing)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(worker())


# --- nodes --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def nodes(api: Api, names: Sequence[str]) -> AsyncIterator[None]:
    """Nodes that are well for as long as this lasts: each has its object and renews its Lease as an agent does."""
    await at_once(WRITERS, names, lambda name: _register(api, name))
    beating = asyncio.create_task(_beat(api, names))
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


async def _register(api: Api, name: str) -> None:
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux"}
    node = {"apiVersion": f"{GROUP}/{VERSION}", "kind": NODE_KIND, "metadata": {"name": name, "labels": labels}}
    await api.call("POST", f"{API}/{NODE_PLURAL}", {**node, "spec": {}})
    await api.call("POST", LEASES, {"metadata": {"name": lease_name(name)}, "spec": _renewed(name)})
    await api.call("PATCH", f"{API}/{NODE_PLURAL}/{name}/status", {"status": _node_status()})


async def _beat(api: Api, names: Sequence[str]) -> None:
    """One Lease after the other, each as often as an agent would: fifty agents do not beat as one either."""
    while True:
        for name in names:
            await asyncio.sleep(LEASE_DURATION_SECONDS / LEASE_RENEWALS / len(names))
            await api.call("PATCH", f"{LEASES}/{lease_name(name)}", {"spec": _renewed(name)})


def _renewed(name: str) -> Body:
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    return {"holderIdentity": name, "leaseDurationSeconds": LEASE_DURATION_SECONDS, "renewTime": now}


def _node_status() -> Body:
    room = {"cpu": "64", "memory": "256Gi", "containers": 500}
    return {
        "agentVersion": "0.1.0",
        "containerdVersion": "v1.7.27",
        "kernelVersion": "6.1.0-40-amd64",
        "architecture": "amd64",
        "operatingSystem": "linux",
        "osImage": "Debian GNU/Linux 12 (bookworm)",
        "runtimes": [{"name": "runc", "binary": "/usr/bin/runc", "available": True}],
        "capacity": room,
        "allocatable": room,
        "conditions": [_condition("Ready", "True", "AgentReady", "")],
    }


# --- containers ---------------------------------------------------------------------------------------------------------


def collection(namespace: str) -> str:
    """The path of a namespace's containers."""
    return f"{API}/namespaces/{namespace}/{PLURAL}"


async def make_namespace(api: Api, name: str) -> None:
    """Make a namespace."""
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


async def make_pending(api: Api, namespace: str, names: Iterable[str], kind: Kind) -> dict[str, Body]:
    """Make containers that have no node yet; returns them as they were made, by name."""
    made: dict[str, Body] = {}

    async def make(name: str) -> None:
        made[name] = await api.call("POST", collection(namespace), kind(name))

    await at_once(WRITERS, names, make)
    return made


async def make_running(api: Api, namespace: str, names: Sequence[str], homes: Sequence[str]) -> None:
    """Make containers that their nodes, taken in turn, say they run."""

    async def make(number: int) -> None:
        name, home = names[number], homes[number % len(homes)]
        await api.call("POST", collection(namespace), bound(name, home))
        await api.call("PATCH", f"{collection(namespace)}/{name}/status", {"status": running(name, home)})

    await at_once(WRITERS, range(len(names)), make)


async def remove(api: Api, namespace: str, names: Iterable[str]) -> None:
    """Delete containers that no agent has a say in."""
    await at_once(WRITERS, names, lambda name: api.call("DELETE", f"{collection(namespace)}/{name}"))


def pending(name: str) -> dict[str, Any]:
    """A container as people write them, for no particular node."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "shop", "app.kubernetes.io/part-of": "bench"}},
        "spec": {
            "image": "registry.example.com/team/shop:1.4.2",
            "command": ["/usr/bin/shop", "serve", "--listen=0.0.0.0:8080"],
            "env": [{"name": f"SHOP_SETTING_{number}", "value": f"value number {number}"} for number in range(6)],
            "resources": {
                "requests": {"cpu": "100m", "memory": "64Mi"},
                "limits": {"cpu": "1", "memory": "256Mi"},
            },
            "restartPolicy": {"name": "Always"},
            "healthCheck": {"httpGet": {"path": "/healthz", "port": 8080}, "intervalSeconds": 10},
            "securityContext": {"runAsUser": 1000, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        },
    }


def small(name: str) -> dict[str, Any]:
    """One as schedulers are measured with: an image and what it asks for, and nothing else."""
    made = pending(name)
    return {**made, "spec": {key: made["spec"][key] for key in ("image", "resources")}}


def bound(name: str, home: str) -> dict[str, Any]:
    """The same once a node has it."""
    made = pending(name)
    made["metadata"]["labels"][NODE_LABEL] = home
    made["metadata"]["finalizers"] = [FINALIZER]
    made["spec"]["nodeName"] = home
    return made


def running(name: str, home: str) -> dict[str, Any]:
    """What its agent says of it."""
    return {
        "observedGeneration": 1,
        "state": "Running",
        "nodeName": home,
        "containerID": sha256(name.encode()).hexdigest(),
        "imageID": f"sha256:{'a' * 64}",
        "pid": 4711,
        "runtimeName": "runc",
        "createdAt": SINCE,
        "startedAt": SINCE,
        "restartCount": 0,
        "specHash": "b" * 16,
        "health": {"status": "Healthy", "failingStreak": 0},
        "conditions": [
            _condition("Accepted", "True", "Valid", ""),
            _condition("ImageReady", "True", "Present", "registry.example.com/team/shop:1.4.2 is on the node"),
            _condition("Reconciling", "False", "Settled", ""),
            _condition("Stalled", "False", "Settled", ""),
            _condition("Healthy", "True", "CheckSucceeded", ""),
            _condition("Ready", "True", "Running", "the container runs"),
        ],
    }


def _condition(kind: str, status: str, reason: str, message: str) -> Body:
    words = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**words, "observedGeneration": 1, "lastTransitionTime": SINCE}
