"""The CRDs are what the models say, are structural, and describe every field."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from controller.api.container import ContainerSpec
from controller.api.crd import definition
from controller.api.kinds import CONTAINER, CONTAINER_NODE, KINDS, Kind
from controller.api.scalars import Matches
from hack import generate

STRUCTURAL = {
    "type",
    "format",
    "description",
    "default",
    "properties",
    "items",
    "additionalProperties",
    "required",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "anyOf",
    "oneOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
}


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in the tree with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if part in schema:
            yield from nodes(schema[part], f"{path}[]")


def halves(kind: Kind) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for half in ("spec", "status"):
        yield from nodes(schema["properties"][half], half)


NODES = list(halves(CONTAINER))
OF_NODES = list(halves(CONTAINER_NODE))
EVERY = [*NODES, *OF_NODES]
FIELDS = [(path, node) for path, node in EVERY if not path.endswith("]")]


def at(path: str) -> dict[str, Any]:
    return dict(NODES)[path]


def test_the_committed_files_are_up_to_date() -> None:
    assert generate.differences() == ""


@pytest.mark.feature("D1")
@pytest.mark.parametrize(("path", "node"), FIELDS, ids=[path for path, _ in FIELDS])
def test_every_field_has_a_description_in_whole_sentences(path: str, node: dict[str, Any]) -> None:
    assert re.fullmatch(r"[A-Z`].*\.", node["description"])


@pytest.mark.parametrize(("path", "node"), EVERY, ids=[path for path, _ in EVERY])
def test_every_schema_is_structural(path: str, node: dict[str, Any]) -> None:
    assert set(node) <= STRUCTURAL
    assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string"))
    assert not ("properties" in node and "additionalProperties" in node)


@pytest.mark.parametrize(("path", "node"), EVERY, ids=[path for path, _ in EVERY])
def test_what_a_user_may_write_is_bounded(path: str, node: dict[str, Any]) -> None:
    if path.startswith("status"):
        return
    if node.get("type") == "string":
        assert {"maxLength", "enum", "pattern"} & set(node)
    if node.get("type") == "array":
        assert node["maxItems"] > 0
    if node.get("type") == "integer":
        assert {"minimum", "maximum", "format"} <= set(node)


@pytest.mark.parametrize(("path", "node"), EVERY, ids=[path for path, _ in EVERY])
def test_defaults_are_written_outside_lists_only(path: str, node: dict[str, Any]) -> None:
    """A default within a list would make every `kubectl apply` of one manifest a change."""
    if "default" in node:
        assert "[]" not in path
        assert path.startswith("spec")


def test_exactly_these_defaults_are_written_by_the_api_server() -> None:
    assert {path: node["default"] for path, node in NODES if "default" in node} == {
        "spec.reschedule": "Never",
        "spec.desiredState": "Running",
        "spec.terminationGracePeriodSeconds": 10,
        "spec.restartPolicy.name": "Never",
        "spec.restartPolicy.backoff.initialSeconds": 0.1,
        "spec.restartPolicy.backoff.factor": 2,
        "spec.restartPolicy.backoff.maxSeconds": 60,
        "spec.restartPolicy.backoff.resetAfterSeconds": 10,
        "spec.network": {},
        "spec.network.mode": "none",
        "spec.securityContext.seccompProfile.type": "RuntimeDefault",
        "spec.logging.driver": "cri",
        "spec.logging.maxSize": "10Mi",
        "spec.logging.maxFiles": 3,
        "spec.healthCheck.httpGet.path": "/",
        "spec.healthCheck.httpGet.scheme": "HTTP",
        "spec.healthCheck.intervalSeconds": 10,
        "spec.healthCheck.timeoutSeconds": 5,
        "spec.healthCheck.retries": 3,
        "spec.healthCheck.startPeriodSeconds": 0,
        "spec.healthCheck.onFailure": "None",
    }


def test_written_defaults_mean_what_absent_fields_mean() -> None:
    written = {"desiredState": "Running", "terminationGracePeriodSeconds": 10, "network": {"mode": "none"}}

    assert ContainerSpec.model_validate({"image": "x", **written}) == ContainerSpec.model_validate({"image": "x"})


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("spec.env", ["name"]),
        ("spec.ulimits", ["name"]),
        ("spec.devices", ["hostPath"]),
        ("spec.mounts", ["mountPath"]),
        ("status.conditions", ["type"]),
    ],
)
def test_lists_of_objects_have_keys_that_are_required(path: str, keys: list[str]) -> None:
    assert at(path)["x-kubernetes-list-type"] == "map"
    assert at(path)["x-kubernetes-list-map-keys"] == keys
    assert set(keys) <= set(at(path + "[]")["required"])


def test_numbers_have_the_format_that_holds_them() -> None:
    assert at("spec.terminationGracePeriodSeconds")["format"] == "int32"
    assert at("spec.securityContext.runAsUser")["format"] == "int32"
    assert at("spec.ulimits[].soft")["format"] == "int64"
    assert at("status.startedAt") == {
        "type": "string",
        "format": "date-time",
        "description": "When its process was started last.",
    }


def test_quantities_may_be_numbers_or_text() -> None:
    cpu = at("spec.resources.limits.cpu")

    assert cpu["x-kubernetes-int-or-string"] is True
    assert cpu["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert "type" not in cpu


def test_bounds_survive_the_floats_in_which_kubernetes_keeps_them() -> None:
    for path, node in EVERY:
        for bound in ("minimum", "maximum"):
            assert abs(node.get(bound, 0)) <= 2**53, path


@pytest.mark.parametrize("pattern", sorted({node["pattern"] for _, node in EVERY if "pattern" in node}))
def test_patterns_are_understood_by_go_and_are_anchored(pattern: str) -> None:
    assert not re.search(r"\(\?[^i]|\\[1-9]|\*\+|\+\+", pattern), "RE2 has no look-around, back-reference or possessive"
    assert pattern.removeprefix("(?i)").startswith("^")
    assert pattern.endswith("$")
    Matches(pattern, "is understood")
    re.compile(pattern)


def test_the_api_server_writes_nothing_into_a_node() -> None:
    assert [path for path, node in OF_NODES if "default" in node] == []


def test_taints_are_told_apart_by_key_and_effect() -> None:
    schema = dict(OF_NODES)

    assert schema["spec.taints"]["x-kubernetes-list-map-keys"] == ["key", "effect"]
    assert schema["spec.taints[]"]["required"] == ["key", "effect"]


@pytest.mark.feature("D4", "D7")
@pytest.mark.parametrize(
    ("kind", "narrow", "wide"),
    [
        pytest.param(
            CONTAINER,
            ["State", "Ready", "Restarts", "Node", "Age"],
            ["Image", "Health", "Exit", "Reason", "ID"],
            id="a container",
        ),
        pytest.param(
            CONTAINER_NODE,
            ["Ready", "Cordoned", "Running", "Agent", "Containerd", "Age"],
            ["Runtime", "CPU", "Memory", "Kernel", "Heartbeat", "Reason"],
            id="a node",
        ),
    ],
)
def test_the_printed_columns(kind: Kind, narrow: list[str], wide: list[str]) -> None:
    columns = definition(kind)["spec"]["versions"][0]["additionalPrinterColumns"]

    assert [column["name"] for column in columns if not column.get("priority")] == narrow
    assert [column["name"] for column in columns if column.get("priority")] == wide


@pytest.mark.parametrize(
    ("kind", "scope", "short", "required"),
    [
        pytest.param(CONTAINER, "Namespaced", "ctr", ["spec"], id="a container"),
        pytest.param(CONTAINER_NODE, "Cluster", "ctrnode", None, id="a node"),
    ],
)
def test_the_names_of_the_kind(kind: Kind, scope: str, short: str, required: list[str] | None) -> None:
    spec = definition(kind)["spec"]

    assert (spec["group"], spec["scope"]) == ("tallyman.dev", scope)
    assert spec["names"]["shortNames"] == [short]
    assert spec["names"]["categories"] == ["tally"]
    assert spec["versions"][0]["subresources"] == {"status": {}}
    assert spec["versions"][0]["schema"]["openAPIV3Schema"].get("required") == required


def test_every_kind_has_names_of_its_own() -> None:
    names = [name for kind in KINDS for name in (kind.plural, kind.singular, *kind.short_names)]

    assert len(names) == len(set(names))
