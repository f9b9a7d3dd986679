"""Where a container may run: what it asks of a node, and what a node keeps away with its taints.

Part of the specs of `Container` and `ContainerNode`; who binds containers reads both. Pure: no input or output.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.model import Model
from controller.api.scalars import LabelKey, LabelValue

NodeSelector = Annotated[dict[str, LabelValue], Field(max_length=64)]


class TaintEffect(StrEnum):
    """What a taint does to containers that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"


class Taint(Model):
    """Keeps containers away from a node, as a taint of a Kubernetes Node does. What runs there already stays."""

    key: LabelKey
    """Name of the taint, written like the key of a label: `example.com/gpu`."""
    value: LabelValue = ""
    """Value that a toleration may have to match. Default: empty."""
    effect: TaintEffect
    """NoSchedule: nothing is bound to the node that does not tolerate the taint."""


class TolerationOperator(StrEnum):
    """How a toleration is compared with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class Toleration(Model):
    """Lets a container be bound to nodes with a matching taint, as a toleration of a Kubernetes Pod does."""

    key: LabelKey | None = None
    """Name of the taint. Default: every taint, with operator Exists."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """Equal (the value must be the taint's too) or Exists (the key alone counts)."""
    value: LabelValue = ""
    """With Equal: the taint's value. Default: empty."""
    effect: TaintEffect | None = None
    """Effect of the taint. Default: every effect."""

    def tolerates(self, taint: Taint) -> bool:
        """Whether the taint does not keep away a container that has this toleration."""
        if (self.effect or taint.effect, self.key or taint.key) != (taint.effect, taint.key):
            return False
        return self.operator is TolerationOperator.EXISTS or (self.key is not None and self.value == taint.value)


class ReschedulePolicy(StrEnum):
    """What becomes of a container whose node is gone for good."""

    NEVER = "Never"
    WHEN_NODE_GONE = "WhenNodeGone"


def first_untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> Taint | None:
    """The first taint that none of the tolerations matches: it keeps the container away."""
    known = tuple(tolerations)
    return next((taint for taint in taints if not any(each.tolerates(taint) for each in known)), None)
