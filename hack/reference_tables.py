"""Makes the tables of the pages of the kinds from the models: fields of the spec, fields of the status, reasons, Events. Pure.

In a page each table stands between two comments, the first of which says what it is made of:

    <!-- table spec: image imagePullPolicy -->
    (generated)
    <!-- end -->
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from controller.api.container import ContainerSpec, ContainerStatus
from controller.api.crd import structural
from controller.api.events import EVENTS
from controller.api.model import Change, Model, change_of, wire_name
from controller.api.node import ContainerNodeSpec, ContainerNodeStatus
from controller.api.reasons import OF_NODES, ONLY_OF_NODES, Reason

_TABLE: Final = re.compile(r"(<!-- table (\w+)(?:: ([\w ]+))? -->\n).*?(<!-- end -->)", re.DOTALL)
_SPEC: Final = structural(ContainerSpec, filled_in=True)
_STATUS: Final = structural(ContainerStatus, filled_in=False)
_NODE_SPEC: Final = structural(ContainerNodeSpec, filled_in=True)
_NODE_STATUS: Final = structural(ContainerNodeStatus, filled_in=False)
Schema = dict[str, Any]


def _changes(model: type[Model], above: Change, prefix: str = "") -> Iterator[tuple[str, Change]]:
    """What a change of each field does, by its path; a field without a mark of its own is as the one that it is in."""
    for name, field in model.model_fields.items():
        path, own = prefix + wire_name(name), change_of(field.metadata, above)
        yield path, own
        if isinstance(field.annotation, type) and issubclass(field.annotation, Model):
            yield from _changes(field.annotation, own, f"{path}.")


_KNOWN: Final = ("spec", "status", "reasons", "events", "node_spec", "node_status", "node_reasons")
_CHANGES: Final = dict(_changes(ContainerSpec, Change.RECREATE))


def with_tables(page: str) -> str:
    """The page with every table brought up to date."""
    return _TABLE.sub(lambda found: f"{found[1]}{_table(found[2], (found[3] or '').split())}{found[4]}", page)


def fields_with_a_table(page: str, kind: str) -> set[str]:
    """Top-level fields that some table of this kind in the page is about."""
    return {field for found in _TABLE.finditer(page) if found[2] == kind for field in (found[3] or "").split()}


def _table(kind: str, fields: list[str]) -> str:
    match kind:
        case "spec":
            return _rows(("Field", "Type", "Default", "A change", "Meaning"), _spec_rows(fields))
        case "status":
            return _rows(("Field", "Type", "Meaning"), _status_rows(_STATUS, fields))
        case "reasons":
            return _reasons(set(Reason) - ONLY_OF_NODES)
        case "events":
            occasions = ((f"`{reason}`", told.type, told.when) for reason, told in EVENTS.items())
            return _rows(("Reason", "Type", "When"), occasions)
        case "node_spec":
            return _rows(("Field", "Type", "Default", "Meaning"), _node_spec_rows(fields))
        case "node_status":
            return _rows(("Field", "Type", "Meaning"), _status_rows(_NODE_STATUS, fields))
        case "node_reasons":
            return _reasons(OF_NODES)
    raise ValueError(f"a page asks for a table {kind!r}; there are {', '.join(_KNOWN)}")


def _reasons(of: Iterable[Reason]) -> str:
    rows = ((f"`{reason}`", reason.meaning, reason.next_step) for reason in sorted(of))
    return _rows(("Reason", "What it says", "What to do"), rows)


def _spec_rows(fields: list[str]) -> Iterator[tuple[str, ...]]:
    for path, node, default, meaning in _declared_rows(_SPEC, fields):
        top = path.partition(".")[0].partition("[")[0]
        yield f"`{path}`", _type(node), default, str(_CHANGES.get(path, _CHANGES[top])), meaning


def _node_spec_rows(fields: list[str]) -> Iterator[tuple[str, ...]]:
    for path, node, default, meaning in _declared_rows(_NODE_SPEC, fields):
        yield f"`{path}`", _type(node), default, meaning


def _declared_rows(schema: Schema, fields: list[str]) -> Iterator[tuple[str, Schema, str, str]]:
    """Path, schema, default and meaning of each field, and of those within it."""
    for field in fields:
        required = field in schema.get("required", ())
        for path, node, needed in _flattened(field, schema["properties"][field], required=required):
            meaning, _, default = node["description"].partition(" Default: ")
            yield path, node, "**required**" if needed else default.removesuffix(".") or "—", meaning


def _status_rows(schema: Schema, fields: list[str]) -> Iterator[tuple[str, ...]]:
    for field in fields:
        for path, node, _ in _flattened(field, schema["properties"][field], required=False):
            yield f"`{path}`", _type(node), node["description"]


def _flattened(path: str, node: Schema, *, required: bool) -> Iterator[tuple[str, Schema, bool]]:
    """The field and all fields within it, each with its path and whether it must be given."""
    yield path, node, required
    inner, prefix = (node["items"], f"{path}[].") if "items" in node else (node, f"{path}.")
    for name, child in inner.get("properties", {}).items():
        yield from _flattened(prefix + name, child, required=name in inner.get("required", ()))


def _type(node: Schema) -> str:
    if node.get("x-kubernetes-int-or-string"):
        return "text or number"
    if "enum" in node:
        return " \\| ".join(f"`{value}`" if value else '`""`' for value in node["enum"])
    if "items" in node:
        return f"list of {'objects' if 'properties' in node['items'] else _plural(node['items'])}"
    if "additionalProperties" in node:
        return "map of text"
    if node.get("format") == "date-time":
        return "time"
    if node["type"] == "integer":
        return f"integer{_range(node)}"
    if node["type"] == "number" and "minimum" in node:
        return f"number, {node['minimum']:g} to {node['maximum']:g}"
    return {"string": "text", "boolean": "true or false", "object": "object"}[node["type"]]


def _plural(item: Schema) -> str:
    return "integers" if item.get("type") == "integer" else "texts"


def _range(node: Schema) -> str:
    if "minimum" in node and "maximum" in node:
        return f", {node['minimum']} to {node['maximum']}"
    return ""


def _rows(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
