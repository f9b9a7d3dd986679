"""Whether a Container's spec may be acted on: the one check behind both doors, in the same words.

The manager's admission webhook asks before an object is stored, the agent whenever it sees one. What is here knows no node: what
depends on one is found out when the container is made. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.container import ContainerSpec
from controller.api.reasons import Reason
from controller.api.validation import FieldError, Validated, validate
from controller.oci.errors import InvalidReference
from controller.oci.reference import Reference, parse

_IMAGE: Final = "spec.image"


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
    if spec is not None and node is not None and spec.node_name not in (None, node):
        return moved(node)
    errors = [*validated.errors, *_on_itself(raw, name)]
    reference, no_reference = _reference(raw, errors)
    if no_reference is not None:
        # What else is wrong comes first: the reason of an image alone is for where nothing else is.
        reason = Reason.INVALID_SPEC if errors else no_reference.reason
        return Checked(None, errors=(*errors, FieldError(_IMAGE, str(no_reference))), reason=reason)
    return Checked(None, errors=tuple(errors)) if errors else Checked(spec, reference)


def moved(node: str) -> Checked:
    """What there is to say of an object that is bound to this node and was to be moved."""
    error = FieldError(
        "spec.nodeName",
        f"must stay {node!r}: a container can't be moved; set it back, or delete the object and create it anew",
    )
    return Checked(None, errors=(error,), reason=Reason.NODE_CHANGED)


def _on_itself(raw: Mapping[str, Any], name: str) -> tuple[FieldError, ...]:
    """Of a spec that may be invalid otherwise, too."""
    depends_on = raw.get("dependsOn")
    return tuple(
        FieldError(f"spec.dependsOn[{index}].name", "must not be the container itself")
        for index, dependency in enumerate(depends_on if isinstance(depends_on, list) else ())
        if isinstance(dependency, Mapping) and dependency.get("name") == name
    )


def _reference(
    raw: Mapping[str, Any], errors: Iterable[FieldError]
) -> tuple[Reference | None, InvalidReference | None]:
    """The image's reference, or why it is none; neither where something else is wrong with the field."""
    if any(error.field == _IMAGE for error in errors):
        return None, None
    try:
        return parse(raw["image"]), None
    except InvalidReference as error:
        return None, error
