"""The base of every model of the API: camelCase on the wire, snake_case in the code, values frozen.

An absent field and a null one mean the same, and unknown fields are ignored, because the API server treats both so.
Pure: no input or output.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator
from pydantic.alias_generators import to_camel

PINNED: Final[dict[str, JsonValue]] = {"x-pinned": True}
"""Marks an object whose default the API server writes into each new object, so that a later release with another default
does not change what already runs. Used as a field's `json_schema_extra`; it does not reach the CRD."""

DISTINCT: Final[dict[str, JsonValue]] = {"x-kubernetes-list-type": "set"}
"""Marks a list of scalars in which none may appear twice."""


class Change(StrEnum):
    """What it takes to bring a changed field into effect; annotates the fields of a spec. Unmarked ones recreate."""

    IN_PLACE = "in place"
    RECREATE = "recreate"
    IMMUTABLE = "immutable"


def keyed_by(*fields: str) -> dict[str, JsonValue]:
    """Marks a list of objects that are told apart by the named fields, so that the API server refuses duplicates."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(fields)}


def wire_name(name: str) -> str:
    """The field's name on the wire: camelCase, with the initialisms that Kubernetes writes in capitals."""
    camel = to_camel(name)
    for plain, proper in (("Id", "ID"), ("Ip", "IP")):
        if camel.endswith(plain):
            return camel[: -len(plain)] + proper
    return camel


class Model(BaseModel):
    """A frozen part of an object."""

    model_config = ConfigDict(
        alias_generator=wire_name,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: object) -> object:
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data


def fields_that_change(model: type[Model], how: Change) -> frozenset[str]:
    """Names (in the code) of the model's fields that come into effect in the given way."""
    return frozenset(name for name, field in model.model_fields.items() if change_of(field.metadata) is how)


def change_of(metadata: list[object], otherwise: Change = Change.RECREATE) -> Change:
    """The mark among a field's annotations; without one, a change recreates the container, or does what the field around does."""
    return next((mark for mark in metadata if isinstance(mark, Change)), otherwise)
