"""The CustomResourceDefinitions, made from the models. Pure: returns plain data; `hack.generate` writes the files.

The result is a structural schema of apiextensions.k8s.io/v1 as Kubernetes 1.20 knows it: no CEL, no selectable fields, nothing
that an older API server would refuse or that a strict client would call unknown.

Defaults: the API server fills in only what has one fixed value wherever it is absent, and only outside lists. Kubernetes
applies the default of a nested field only if its parent is there, so a parent that shall appear by itself is marked PINNED.
Within lists the agent's models fill in; a default written by the API server there would make every `kubectl apply` of the same
manifest a change, as a list is replaced whole. False and empty are not written either: absent says the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.kinds import GROUP, VERSION, Column, Kind
from controller.api.model import Model

Schema = dict[str, Any]

_KEPT: Final = (
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "oneOf",
    "required",
)
"""What a schema of pydantic and one of Kubernetes say alike. Everything else is either translated below or dropped."""


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of a kind."""
    names = {
        "plural": kind.plural,
        "singular": kind.singular,
        "kind": kind.name,
        "listKind": f"{kind.name}List",
        "shortNames": list(kind.short_names),
        "categories": list(kind.categories),
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*map(_column, kind.columns), *map(_wide_column, kind.wide_columns)],
        "schema": {"openAPIV3Schema": _object_schema(kind)},
    }
    scope = "Namespaced" if kind.namespaced else "Cluster"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.resource},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }


def structural(model: type[Model], *, filled_in: bool) -> Schema:
    """The model's schema in Kubernetes' structural form; `filled_in` says whether absent fields have a meaning: in a spec."""
    schema = model.model_json_schema()
    return _Conversion(schema.get("$defs", {}), tells_defaults=filled_in).of(schema, writes_defaults=filled_in)


def _object_schema(kind: Kind) -> Schema:
    return {
        "type": "object",
        "description": kind.description,
        **({"required": ["spec"]} if kind.needs_spec else {}),
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind.name},
            "metadata": {"type": "object"},
            "spec": structural(kind.spec, filled_in=True),
            "status": structural(kind.status, filled_in=False),
        },
    }


def _column(column: Column) -> Schema:
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
    }


def _wide_column(column: Column) -> Schema:
    return _column(column) | {"priority": 1}


@dataclass(frozen=True)
class _Conversion:
    """The way of one model's schema, with references inlined and what Kubernetes does not know left out."""

    definitions: Mapping[str, Any]
    tells_defaults: bool

    def of(self, node: Mapping[str, Any], *, writes_defaults: bool) -> Schema:
        source = self._resolved(node)
        schema = _type(source)
        description = self._description(source)
        if description:
            schema["description"] = description
        if writes_defaults and _is_written(source):
            schema["default"] = {} if source.get("x-pinned") else source["default"]
        schema.update({key: source[key] for key in _KEPT if key in source})
        return schema | self._children(source, writes_defaults)

    def _children(self, source: Mapping[str, Any], writes_defaults: bool) -> Schema:
        children: Schema = {}
        if "items" in source:
            children["items"] = self.of(source["items"], writes_defaults=False)
        if isinstance(source.get("additionalProperties"), dict):
            children["additionalProperties"] = self.of(source["additionalProperties"], writes_defaults=False)
        if "properties" in source:
            properties = source["properties"].items()
            children["properties"] = {
                name: self.of(child, writes_defaults=writes_defaults) for name, child in properties
            }
        return children

    def _resolved(self, node: Mapping[str, Any]) -> Schema:
        """The node without `$ref` and without the null of an optional field; what stands beside either takes precedence."""
        beside = dict(node)
        reference = beside.pop("$ref", None)
        if reference is not None:
            return self._resolved(self.definitions[reference.rpartition("/")[2]]) | beside
        choices = [choice for choice in beside.get("anyOf", ()) if choice != {"type": "null"}]
        if len(choices) == 1:
            del beside["anyOf"]
            return self._resolved(choices[0]) | beside
        return beside

    def _description(self, source: Mapping[str, Any]) -> str:
        """The field's description; a default that is a plain value is told at its end, in the words of the manifest."""
        text, default = str(source.get("description", "")), source.get("default")
        if not self.tells_defaults or "Default:" in text or not _is_plain(default):
            return text
        return f"{text} Default: `{default if isinstance(default, str) else json.dumps(default)}`."


def _type(source: Mapping[str, Any]) -> Schema:
    if source.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    schema: Schema = {"type": source["type"]}
    if source["type"] == "integer":
        schema["format"] = "int32" if source.get("maximum", 2**63) < 2**31 else "int64"
    elif "format" in source:
        schema["format"] = source["format"]
    return schema


def _is_plain(default: object) -> bool:
    """Whether a default says something in a few characters: true or false, a number, a text, or a list of them, none empty."""
    if isinstance(default, list):
        return bool(default) and all(isinstance(one, str | int | float) for one in default)
    return isinstance(default, str | int | float) and default != ""


def _is_written(source: Mapping[str, Any]) -> bool:
    """Whether the API server shall write the default: a number, a non-empty text, or an object marked as PINNED."""
    default = source.get("default")
    scalar = isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""
    return scalar or source.get("x-pinned") is True
