"""Conditions as Kubernetes writes them, and how a new list is merged with the one before. Pure."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from controller.api.model import Model


class ConditionType(StrEnum):
    """The conditions of a Container. Ready, Reconciling and Stalled are those that kstatus, `kubectl wait` and Helm know."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    ACCEPTED = "Accepted"
    IMAGE_READY = "ImageReady"
    HEALTHY = "Healthy"


class ConditionStatus(StrEnum):
    """Kubernetes' three-valued truth."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Model):
    """One aspect of the container's state."""

    type: ConditionType
    """Aspect that this condition speaks of."""
    status: ConditionStatus
    """True, False or Unknown."""
    reason: Annotated[str, Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)]
    """One CamelCase word; the same in conditions, events, metrics and docs."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """What happened and what to do about it, for people."""
    observed_generation: int | None = None
    """The generation of the spec that this condition was computed from."""
    last_transition_time: datetime | None = None
    """When the status last changed."""

    @model_serializer(mode="wrap")
    def _without_empty_message(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An empty message is left out: it says nothing, and some API servers take an empty text for null and refuse it."""
        written: dict[str, Any] = write(self)
        return {name: value for name, value in written.items() if value != ""}


def merged(new: Iterable[Condition], previous: Iterable[Condition], now: datetime) -> list[Condition]:
    """The new conditions; each whose status did not change keeps its earlier transition time, the others get `now`."""
    before = {condition.type: condition for condition in previous}
    result = []
    for condition in new:
        old = before.get(condition.type)
        since = old.last_transition_time if old is not None and old.status == condition.status else None
        result.append(condition.model_copy(update={"last_transition_time": since or now}))
    return result
