"""Reads helm/tallyman/values.yaml with its comments, and makes from it the table of the chart's README and values.schema.json. Pure.

The file is the only place where a value, its default and its meaning are written down. A comment makes a key a value of its own, which
may be a map; a map without a comment is a group.

    # What it means.
    #   an example, indented
    # @schema {minimum: 1}          what of its schema does not follow from its default
    port: 9464
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

Schema = dict[str, Any]
_MARK: Final = "@schema "
_TYPES: Final[Mapping[type, str]] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


class UndocumentedValue(ValueError):
    """A value without a comment, or one whose comment can't be read."""


@dataclass(frozen=True)
class Value:
    """One value of the chart."""

    path: tuple[str, ...]
    default: Any
    meaning: str
    schema: Schema

    @property
    def name(self) -> str:
        """Its path as one writes it after `--set`."""
        return ".".join(self.path)


def read(text: str, named: Mapping[str, Schema]) -> list[Value]:
    """Every value of a values file, in order. `named` holds the schemas that it refers to by name.

    Raises:
        UndocumentedValue: one has no comment.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise UndocumentedValue("the values are no map")
    return list(_values(root, (), text.splitlines(), named))


def _values(
    node: yaml.MappingNode, above: tuple[str, ...], lines: Sequence[str], named: Mapping[str, Schema]
) -> Iterator[Value]:
    for key, content in node.value:
        path = (*above, key.value)
        comment = _comment(lines, key.start_mark.line)
        if comment:
            default = yaml.SafeLoader("").construct_object(content, deep=True)
            meaning, mark = _read_comment(comment, path)
            yield Value(path, default, meaning, _schema(default, meaning, mark, named))
        elif isinstance(content, yaml.MappingNode) and content.value:
            yield from _values(content, path, lines, named)
        else:
            raise UndocumentedValue(f"{'.'.join(path)} has no comment that says what it is")


def _comment(lines: Sequence[str], at: int) -> list[str]:
    """The comment that stands right above a line."""
    first = at
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return [line.lstrip().removeprefix("#").removeprefix(" ") for line in lines[first:at]]


def _read_comment(comment: Sequence[str], path: tuple[str, ...]) -> tuple[str, str]:
    """The sentences and the mark of a comment; examples are indented and belong to neither."""
    mark = "".join(line.removeprefix(_MARK) for line in comment if line.startswith(_MARK))
    words = " ".join(line for line in comment if not line.startswith((_MARK, " ")))
    if not words.endswith("."):
        raise UndocumentedValue(f"{'.'.join(path)}: its comment is no whole sentence: {words!r}")
    return words, mark


def _schema(default: Any, meaning: str, mark: str, named: Mapping[str, Schema]) -> Schema:
    schema: Schema = {"description": meaning, "type": _TYPES[type(default)]}
    if not mark:
        return schema
    return schema | (named[mark] if mark in named else yaml.safe_load(mark))


def schema(values: Sequence[Value], title: str) -> str:
    """values.schema.json: nothing is allowed that is not a value. `global` is what charts that contain this one share."""
    root: Schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **_group()}
    root["properties"]["global"] = {"type": "object"}
    for value in values:
        group = root
        for name in value.path[:-1]:
            group = group["properties"].setdefault(name, _group())
        group["properties"][value.path[-1]] = value.schema | {"default": value.default}
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _group() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def table(values: Sequence[Value]) -> str:
    """All values as a table in Markdown."""
    lines = ["| Value | Default | Meaning |", "| --- | --- | --- |"]
    lines += [f"| `{value.name}` | {_shown(value.default)} | {value.meaning} |" for value in values]
    return "\n".join(lines)


def _shown(default: Any) -> str:
    if default in ("", [], {}):
        return ""
    shown = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{shown}`"
