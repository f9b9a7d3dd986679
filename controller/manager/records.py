"""What the manager keeps of each object: little, for there may be ten thousand of them. Pure.

What stands in an object may be anything that its schema lets pass; nothing of it makes `container` or `node` raise.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from pydantic import ValidationError

from controller.api import quantity
from controller.api.conditions import ConditionType
from controller.api.container import FINALIZER, NODE_LABEL, RESTARTED_AT_ANNOTATION, DesiredState
from controller.api.model import Model
from controller.api.node import OUT_OF_SERVICE_TAINT
from controller.api.placement import ReschedulePolicy, Taint, Toleration
from controller.api.reasons import Reason
from controller.manager.binding import Candidate, Demand

Key = tuple[str, str]
"""Namespace and name of a Container."""
Body = Mapping[str, Any]
APP_LABEL: Final = "app.kubernetes.io/name"
M = TypeVar("M", bound=Model)
_LONGEST_REQUEST: Final = 256
"""So much of a request for a restart the agent answers to."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The Ready condition, as far as it matters here."""

    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class ContainerRecord:
    """One Container."""

    key: Key
    uid: str
    version: str
    """Its resourceVersion."""
    deleting: bool
    ours: bool
    """Whether our finalizer is on it."""
    node: str | None
    """As `spec.nodeName` says."""
    label: str | None
    """As the label says by which agents watch."""
    demand: Demand
    movable: bool
    """Whether it is to be bound anew when its node is gone, and has not ended for good."""
    state: str | None
    status_node: str | None
    """The node whose agent wrote the status."""
    released: bool
    """Whether what its status said of a node that is gone was taken back, so that it can be bound to another."""
    ready: Ready | None

    @property
    def home(self) -> str | None:
        """The node that it is bound to, is claimed for, or was seen on."""
        return self.node or self.label or self.status_node

    @property
    def unbound(self) -> bool:
        """Whether no agent is told of it, or what it carries is at odds with the node that runs it and does not name another one."""
        return not self.deleting and (self.label is None or self._torn)

    @property
    def _torn(self) -> bool:
        """Whether somebody has changed its label, or has taken its node out, while it runs."""
        if self.status_node is None:
            return False
        right_node, right_label = self.node == self.status_node, self.label == self.status_node
        return (right_node and not right_label) or (right_label and self.node is None)


@dataclass(frozen=True, slots=True, eq=False)
class NodeRecord:
    """One ContainerNode."""

    name: str
    uid: str
    version: str
    out_of_service: bool
    """Whether its operator vouches that nothing runs on it."""
    ready: Ready | None
    candidate: Candidate


def container(body: Body) -> ContainerRecord:
    """One Container, as the API server sent it."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    return ContainerRecord(
        key=(intern(metadata["namespace"]), metadata["name"]),
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        deleting="deletionTimestamp" in metadata,
        ours=FINALIZER in (metadata.get("finalizers") or ()),
        node=_interned(spec.get("nodeName")),
        label=_interned((metadata.get("labels") or {}).get(NODE_LABEL)),
        demand=_demand(metadata, spec),
        movable=spec.get("reschedule") == ReschedulePolicy.WHEN_NODE_GONE and not _ended(metadata, spec, status),
        state=_interned(status.get("state")),
        status_node=_interned(status.get("nodeName")),
        released=is_released(
            status.get("nodeName"), (str(one.get("reason")) for one in status.get("conditions") or ())
        ),
        ready=_ready(status),
    )


def is_released(node: str | None, reasons: Iterable[str]) -> bool:
    """Whether a status, by its `nodeName` and its conditions' reasons, has had taken back what it said of a node that is gone.

    The manager alone does that, before it binds the Container to another one.
    """
    return not node and Reason.RESCHEDULED in reasons


def node(body: Body) -> NodeRecord:
    """One ContainerNode, as the API server sent it."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    ready = _ready(status)
    taints = tuple(_parsed(Taint, spec.get("taints")))
    runtimes = status.get("runtimes") or []
    allocatable = status.get("allocatable") or {}
    return NodeRecord(
        name=metadata["name"],
        uid=metadata["uid"],
        version=metadata["resourceVersion"],
        out_of_service=any(taint.key == OUT_OF_SERVICE_TAINT for taint in taints),
        ready=ready,
        candidate=Candidate(
            name=metadata["name"],
            not_ready=_not_ready(ready),
            leaving="deletionTimestamp" in metadata,
            unschedulable=spec.get("unschedulable") is True,
            taints=taints,
            labels=dict(metadata.get("labels") or {}),
            runtimes=frozenset(one.get("name", "") for one in runtimes if one.get("available") is True),
            default_runtime=runtimes[0].get("name", "") if runtimes else "",
            cpu=_amount(quantity.milli, allocatable.get("cpu")),
            memory=_amount(quantity.whole, allocatable.get("memory")),
            containers=_amount(quantity.whole, allocatable.get("containers")),
        ),
    )


def _not_ready(ready: Ready | None) -> str | None:
    if ready is None:
        return "no status yet"
    return None if ready.status == "True" else ready.reason


def _ready(status: Body) -> Ready | None:
    for condition in status.get("conditions") or ():
        if condition.get("type") == ConditionType.READY:
            words = (str(condition.get(name, "")) for name in ("status", "reason", "message"))
            return _shared_ready(*words)
    return None


@lru_cache(maxsize=4096)
def _shared_ready(status: str, reason: str, message: str) -> Ready:
    return Ready(status, reason, message)


def _ended(metadata: Body, spec: Body, status: Body) -> bool:
    """Whether its process has ended and nobody wants it started again: then there is nothing to move.

    An end is told by the exit code, which stays in the status of a lost node; the agent takes it out when a process runs.
    """
    if spec.get("desiredState") == DesiredState.STOPPED or status.get("stoppedByUser") is True:
        return False
    asked = str((metadata.get("annotations") or {}).get(RESTARTED_AT_ANNOTATION, ""))[:_LONGEST_REQUEST]
    answered = str(status.get("restartedAt") or "")
    return status.get("exitCode") is not None and status.get("nextRestartAt") is None and asked == answered


_demands: WeakValueDictionary[Demand, Demand] = WeakValueDictionary()


def _demand(metadata: Body, spec: Body) -> Demand:
    """What is asked of a node; one object for all that ask for the same."""
    resources = spec.get("resources") or {}
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    labels = metadata.get("labels") or {}
    made = Demand(
        cpu=_asked(quantity.milli, requests.get("cpu"), limits.get("cpu")),
        memory=_asked(quantity.whole, requests.get("memory"), limits.get("memory")),
        runtime=spec.get("runtimeName"),
        selector=tuple(sorted((spec.get("nodeSelector") or {}).items())),
        tolerations=tuple(_parsed(Toleration, spec.get("tolerations"))),
        group=intern(f"{metadata['namespace']}/{labels.get(APP_LABEL, '')}"),
    )
    return _demands.setdefault(made, made)


def _asked(read: Callable[[str], int], request: object, limit: object) -> int:
    """The request; as in Kubernetes a limit without a request is the request too."""
    return _amount(read, request) or _amount(read, limit) or 0


def _amount(read: Callable[[str], int], raw: object) -> int | None:
    """What was not given, or is no quantity (which the agent refuses), counts as not said."""
    return None if raw is None else _read(read, str(raw))


@lru_cache(maxsize=1024)
def _read(read: Callable[[str], int], text: str) -> int | None:
    try:
        return read(text)
    except ValueError:
        return None


def _parsed(model: type[M], raw: Iterable[object] | None) -> Iterable[M]:
    """Those that are valid; the agent refuses an object with others."""
    for one in raw or ():
        try:
            yield model.model_validate(one)
        except ValidationError:
            continue


def _interned(text: str | None) -> str | None:
    return intern(text) if text else None
