"""Says in our words what pydantic found wrong. Pure: no input or output."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from controller.api.fields import FieldError, field_path, may_be_secret, shown
from controller.api.scalars import BROKEN_RULE

Context = Mapping[str, Any]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


_TYPE_MISMATCH: Final = {
    "string_type": "must be text",
    "string_unicode": "must be text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object (names and their values)",
    "model_type": "must be an object (names and their values)",
    "model_attributes_type": "must be an object (names and their values)",
}
_BOUNDS: Final[dict[str, Callable[[Context], str]]] = {
    BROKEN_RULE: lambda context: str(context["rule"]),
    "enum": lambda context: f"must be one of {context['expected']}",
    "literal_error": lambda context: f"must be one of {context['expected']}",
    "greater_than_equal": lambda context: f"must be at least {context['ge']}",
    "less_than_equal": lambda context: f"must be at most {context['le']}",
    "string_too_short": lambda _: "must not be empty",
    "too_short": lambda _: "must not be empty",
    "extra_forbidden": lambda _: "is not a field that there is",
    "string_too_long": lambda context: f"must have at most {_plural(context['max_length'], 'character')}",
    "too_long": lambda context: (
        f"may hold at most {_plural(context['max_length'], 'item')}"
        # NB: pydantic does not count a map to its end.
        + ("" if context["actual_length"] is None else f", and has {context['actual_length']}")
    ),
}


def in_our_words(failure: ValidationError) -> tuple[FieldError, ...]:
    """Each error with its field and rule, in the order of the model."""
    return tuple(_reworded(error) for error in failure.errors(include_url=False))


def _reworded(error: ErrorDetails) -> FieldError:
    location = [part for part in error["loc"] if part != "[key]"]
    if error["type"] == "missing":
        return FieldError(field_path(location), "is required")
    return FieldError(field_path(location), _rule(error) + _instead_of(location, error["input"]))


def _rule(error: ErrorDetails) -> str:
    if error["type"] in _BOUNDS:
        return _BOUNDS[error["type"]](error.get("ctx", {}))
    rule = _TYPE_MISMATCH.get(error["type"], "is not valid")
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float):
        return f"{rule}: write it in quotes"
    return rule


def _instead_of(location: list[str | int], value: object) -> str:
    return "" if may_be_secret(location) and isinstance(value, str) else f"; got {shown(value)}"
