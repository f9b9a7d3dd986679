"""What the manager writes into statuses: merge patches, each made from the object as it is. Pure.

A Container's status is its agent's. The manager writes one only where no agent can: while there is no node, and when the node is lost.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from controller.api.conditions import ConditionStatus, ConditionType
from controller.api.container import ContainerState, ContainerStatus
from controller.api.model import wire_name
from controller.api.reasons import Reason
from controller.manager.records import Body

MAX_MESSAGE: Final = 4096
Patch = dict[str, Any]
_KEPT: Final = frozenset({"observedGeneration", "history", "conditions"})
"""What a status keeps when its container is to be made anew elsewhere."""
_RESET: Final = {wire_name(name): None for name in ContainerStatus.model_fields if wire_name(name) not in _KEPT}


def unbindable(body: Body, message: str, now: datetime) -> Patch:
    """There is no node for the container."""
    ready = _ready(body, ConditionStatus.FALSE, Reason.UNBINDABLE, message, now)
    others = _others(body)
    return {
        "observedGeneration": body["metadata"].get("generation", 1),
        "state": ContainerState.PENDING.value,
        "conditions": [ready, *others],
    }


def node_lost(body: Body, message: str, now: datetime) -> Patch:
    """Nobody knows what has become of the container. Everything else stays as its agent last saw it."""
    ready = _ready(body, ConditionStatus.UNKNOWN, Reason.NODE_LOST, message, now)
    return {"state": ContainerState.UNKNOWN.value, "conditions": [ready, *_others(body)]}


def rescheduled(body: Body, message: str, now: datetime) -> Patch:
    """The container is to be made anew on another node: nothing of the former one is left but its history.

    Ready may come to say something else, such as that it fits on no node. Reconciling goes on saying this until the next agent writes.
    """
    ready = _ready(body, ConditionStatus.FALSE, Reason.RESCHEDULED, message, now)
    moving = {**ready, "type": ConditionType.RECONCILING.value, "status": ConditionStatus.TRUE.value}
    return {**_RESET, "state": ContainerState.PENDING.value, "conditions": [ready, moving]}


def agent_lost(body: Body, message: str, now: datetime) -> Patch:
    """The same of a ContainerNode: its agent is not heard of."""
    ready = _ready(body, ConditionStatus.UNKNOWN, Reason.NODE_LOST, message, now)
    return {"conditions": [ready, *_others(body)]}


def _ready(body: Body, status: ConditionStatus, reason: Reason, message: str, now: datetime) -> Patch:
    before = next((one for one in _conditions(body) if one.get("type") == ConditionType.READY), {})
    since = before.get("lastTransitionTime") if before.get("status") == status else None
    return {
        "type": ConditionType.READY.value,
        "status": status.value,
        "reason": reason.value,
        "message": message[:MAX_MESSAGE],
        "observedGeneration": body["metadata"].get("generation", 1),
        "lastTransitionTime": since or f"{now:%Y-%m-%dT%H:%M:%SZ}",
    }


def _others(body: Body) -> list[Body]:
    return [one for one in _conditions(body) if one.get("type") != ConditionType.READY]


def _conditions(body: Body) -> Iterable[Body]:
    return (body.get("status") or {}).get("conditions") or ()
