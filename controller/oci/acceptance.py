"""Whether a Container's spec may be acted on: the one check behind both doors, in the same words.

The manager's admission webhook asks before an object is stored, the agent whenever it sees one. What is here knows no node: what
depends on one is found out when the container is made. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.api.container import ContainerSpec
from controller.api.reasons import Reason
from controller.api.validation import FieldError, Validated, validate
from controller.oci.errors import InvalidReference
from controller.oci.reference import Reference, parse


@dataclass(frozen=True)
class Checked:
    """A spec that may be acted on, or why it may not."""

    spec: ContainerSpec | None
    reference: Reference | None = None
    errors: tuple[FieldError, ...] = ()
    reason: Reason = Reason.INVALID_SPEC

    @property
    def message(self) -> str:
        """What is wrong; empty when nothing is."""
        return Validated(None, self.errors).message


def check(raw: Mapping[str, Any], *, name: str, node: str | None) -> Checked:
    """The spec of the object of this name, of which `node` is what it is bound to, or None when it may be bound to any."""
    validated = validate(raw)
    spec = validated.spec
    if spec is None:
        return Checked(None, errors=validated.errors)
    if node is not None and spec.node_name not in (None, node):
        return moved(node)
    if itself := _on_itself(spec, name):
        return Checked(None, errors=itself)
    try:
        return Checked(spec, parse(spec.image))
    except InvalidReference as error:
        return Checked(None, errors=(FieldError("spec.image", str(error)),), reason=error.reason)


def moved(node: str) -> Checked:
    """What there is to say of an object that is bound to this node and was to be moved."""
    error = FieldError(
        "spec.nodeName", f"must stay {node!r}: a container can't be moved; delete the object and create it anew"
    )
    return Checked(None, errors=(error,), reason=Reason.NODE_CHANGED)


def _on_itself(spec: ContainerSpec, name: str) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(f"spec.dependsOn[{index}].name", "must not be the container itself")
        for index, dependency in enumerate(spec.depends_on)
        if dependency.name == name
    )
