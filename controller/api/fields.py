"""A broken rule and the field that breaks it, in words that are safe to show in a status, an event and a log.

What a user wrote may be hostile or secret: values are quoted, escaped and shortened here, and those of fields that may hold
a password are not shown at all. Pure: no input or output.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LONGEST_SHOWN: Final = 60
_MAY_BE_SECRET: Final = frozenset({"value", "args", "command"})


@dataclass(frozen=True)
class FieldError:
    """One broken rule."""

    field: str
    """Path of the field, such as `spec.mounts[0].mountPath`."""
    message: str
    """The rule and the way out; completes the sentence "this field …"."""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def field_path(location: Sequence[str | int]) -> str:
    """The path as Kubernetes writes it; keys that are no plain names, such as those of sysctls, stand in brackets."""
    path = "spec"
    for part in location:
        plain = isinstance(part, str) and part.isascii() and part.isalnum()
        path += f".{part}" if plain and len(str(part)) <= _LONGEST_SHOWN else f"[{_key(part)}]"
    return path


def shown(value: object) -> str:
    """The value as far as a reader needs it: one short line, control characters escaped."""
    if isinstance(value, str):
        return repr(value) if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]!r}… ({len(value)} characters)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e18 else "a very large number"
    return "a list" if isinstance(value, Sequence) else "an object"


def may_be_secret(location: Sequence[str | int]) -> bool:
    """Whether the field can hold what must not be repeated in a message."""
    return any(part in _MAY_BE_SECRET for part in location)


def _key(part: str | int) -> str:
    text = str(part)
    if text.isascii() and text.isprintable() and len(text) <= _LONGEST_SHOWN:
        return text
    return shown(text)
