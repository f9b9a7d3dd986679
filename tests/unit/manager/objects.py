"""Containers, ContainerNodes and Leases as the API server sends them."""

from collections.abc import Mapping
from typing import Any

from controller.api.container import FINALIZER, NODE_LABEL
from controller.manager.binding import Candidate

NAMESPACE = "shop"
GIBIBYTE = 2**30


def container(
    name: str = "web",
    *,
    namespace: str = NAMESPACE,
    node: str | None = None,
    label: str | None = None,
    labels: Mapping[str, str] | None = None,
    version: int = 1,
    uid: str = "",
    deleting: bool = False,
    finalizers: tuple[str, ...] = (),
    annotations: Mapping[str, str] | None = None,
    status: Mapping[str, Any] | None = None,
    **spec: Any,
) -> dict[str, Any]:
    """A Container. `node` is its `spec.nodeName`, `label` the node that the label names."""
    metadata: dict[str, Any] = {
        "namespace": namespace,
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "labels": {**(labels or {}), **({NODE_LABEL: label} if label else {})},
        "finalizers": list(finalizers),
        "annotations": dict(annotations or {}),
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T10:00:00Z"
    body = {"metadata": metadata, "spec": {"image": "busybox:1", **({"nodeName": node} if node else {}), **spec}}
    return body | ({"status": dict(status)} if status is not None else {})


def bound(name: str, node: str, **more: Any) -> dict[str, Any]:
    """A Container that runs on a node."""
    settings = {"label": node, "finalizers": (FINALIZER,), "status": running(node), **more}
    return container(name, node=node, **settings)


def running(node: str, **more: Any) -> dict[str, Any]:
    """What an agent says of a container that runs."""
    return {
        "observedGeneration": 1,
        "state": "Running",
        "nodeName": node,
        "containerID": "a" * 64,
        "pid": 17,
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Running", "lastTransitionTime": "2026-11-22T09:00:00Z"},
            {"type": "Accepted", "status": "True", "reason": "Valid", "lastTransitionTime": "2026-11-22T09:00:00Z"},
        ],
        **more,
    }


def asks(cpu: str | None = None, memory: str | None = None) -> dict[str, Any]:
    """The `resources` of a spec that requests so much."""
    asked = {name: amount for name, amount in (("cpu", cpu), ("memory", memory)) if amount is not None}
    return {"requests": asked}


def node(
    name: str = "node-a",
    *,
    version: int = 1,
    uid: str = "",
    ready: str | None = "True",
    reason: str = "AgentReady",
    cpu: str = "4",
    memory: str = "8Gi",
    containers: int = 250,
    runtimes: tuple[str, ...] = ("runc",),
    labels: Mapping[str, str] | None = None,
    taints: tuple[Mapping[str, str], ...] = (),
    unschedulable: bool = False,
    deleting: bool = False,
) -> dict[str, Any]:
    """A ContainerNode."""
    metadata: dict[str, Any] = {
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "generation": 1,
        "labels": {"kubernetes.io/hostname": name, **(labels or {})},
    }
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T10:00:00Z"
    condition = {"type": "Ready", "status": ready, "reason": reason, "lastTransitionTime": "2026-11-22T09:00:00Z"}
    return {
        "metadata": metadata,
        "spec": {"unschedulable": unschedulable, "taints": [dict(taint) for taint in taints]},
        "status": {
            "runtimes": [{"name": runtime, "available": True} for runtime in runtimes],
            "allocatable": {"cpu": cpu, "memory": memory, "containers": containers},
            "conditions": [condition] if ready is not None else [],
        },
    }


def taint(key: str, value: str = "") -> dict[str, str]:
    return {"key": key, "value": value, "effect": "NoSchedule"}


def lease(name: str, renewed: str, duration: int = 40) -> dict[str, Any]:
    """The Lease of a node."""
    return {
        "metadata": {"name": f"tallyman-node-{name}", "uid": f"uid-lease-{name}"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": duration, "renewTime": renewed},
    }


def candidate(name: str = "node-a", **changes: Any) -> Candidate:
    """A node that everything fits on, but for the changes."""
    settings: dict[str, Any] = {
        "runtimes": frozenset({"runc"}),
        "default_runtime": "runc",
        "cpu": 4000,
        "memory": 8 * GIBIBYTE,
        "containers": 250,
        **changes,
    }
    return Candidate(name=name, **settings)
