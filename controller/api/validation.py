"""The agent's own check of a declared spec, made whether or not an admission webhook runs. Pure: no input or output.

validate(spec) ─► fields, one by one (models in `spec`) ─► fields together (`rules`) ─► Validated
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from pydantic import ValidationError

from controller.api.conditions import Condition
from controller.api.fields import FieldError as FieldError
from controller.api.node import ContainerNodeStatus
from controller.api.rules import RULES
from controller.api.spec import ContainerSpec
from controller.api.status import ContainerStatus
from controller.api.wording import in_our_words

_MOST_SHOWN: Final = 8
Status = TypeVar("Status", ContainerStatus, ContainerNodeStatus)


@dataclass(frozen=True)
class Validated:
    """Either a spec that breaks no rule, or the rules that are broken."""

    spec: ContainerSpec | None
    errors: tuple[FieldError, ...] = ()

    @property
    def message(self) -> str:
        """What is wrong, for a condition or an event; empty when nothing is. Long lists are cut."""
        told = "; ".join(str(error) for error in self.errors[:_MOST_SHOWN])
        untold = len(self.errors) - _MOST_SHOWN
        return f"{told}; and {untold} more" if untold > 0 else told


def validate(spec: Mapping[str, object]) -> Validated:
    """The spec as a model, or every rule that it breaks.

    The rules between fields are checked once each field is valid by itself; so an object may be corrected in two rounds.
    """
    try:
        parsed = ContainerSpec.model_validate(spec, by_alias=True, by_name=False)
    except ValidationError as failure:
        return Validated(spec=None, errors=in_our_words(failure))
    errors = tuple(error for rule in RULES for error in rule(parsed))
    return Validated(spec=None if errors else parsed, errors=errors)


def read_status(status: Mapping[str, object]) -> ContainerStatus:
    """The status that an agent wrote before, this one or another version of it. What can't be read counts as absent."""
    return _read(ContainerStatus, status)


def read_node_status(status: Mapping[str, object]) -> ContainerNodeStatus:
    """The status of a ContainerNode, by whomever it was written. What can't be read counts as absent."""
    return _read(ContainerNodeStatus, status)


def _read(model: type[Status], status: Mapping[str, object]) -> Status:
    readable = dict(status)
    conditions = readable.get("conditions")
    if isinstance(conditions, list):
        readable["conditions"] = [condition for condition in conditions if _is_condition(condition)]
    try:
        return model.model_validate(readable, by_alias=True, by_name=False)
    except ValidationError as failure:
        unreadable = {error["loc"][0] for error in failure.errors(include_url=False)}
        kept = {name: value for name, value in readable.items() if name not in unreadable}
        return model.model_validate(kept, by_alias=True, by_name=False)


def _is_condition(value: object) -> bool:
    try:
        Condition.model_validate(value, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True
