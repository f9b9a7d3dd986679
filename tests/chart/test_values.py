"""What can be set, and what Helm refuses before anything reaches a cluster."""

import json
import re
from collections.abc import Iterator
from typing import Any

import helm_python
import pytest
import yaml

from controller.api import quantity
from hack.chart_values import UndocumentedValue, read
from tests.chart.rendering import CHART, SCENARIOS, render, values_of

pytestmark = pytest.mark.feature("K3")
REFUSED_BY_SCHEMA: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt value": ({"agnet": {}}, "agnet"),
    "a misspelt value in a group": ({"agent": {"worker": 8}}, "worker"),
    "text where a number belongs": ({"agent": {"workers": "many"}}, "workers"),
    "a number out of its range": ({"agent": {"metricsPort": 70000}}, "metricsPort"),
    "a word that there is not": ({"webhook": {"failurePolicy": "Perhaps"}}, "failurePolicy"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "digest"),
    "a relative path": ({"agent": {"runDir": "run"}}, "runDir"),
    "a misspelt permission in the node's policy": (
        {"agent": {"policy": {"rules": [{"namespaces": ["shop"], "allow": {"hostNetwrk": True}}]}}},
        "hostNetwrk",
    ),
    "a rule of the policy without namespaces": ({"agent": {"policy": {"rules": [{"allow": {}}]}}}, "namespaces"),
    "what is no quantity of CPU": ({"agent": {"reservedCPU": "banana"}}, "reservedCPU"),
    "less than no CPU": ({"agent": {"reservedCPU": -1}}, "reservedCPU"),
    "what is no quantity of memory": ({"agent": {"reservedMemory": "1 GB"}}, "reservedMemory"),
    "a label of a node that is none": ({"agent": {"nodeLabels": {"a": "c d"}}}, "nodeLabels"),
    "a label of a node that is the agent's own": (
        {"agent": {"nodeLabels": {"kubernetes.io/hostname": "x"}}},
        "kubernetes.io/hostname",
    ),
    "no containers at all": ({"agent": {"maxContainers": "0"}}, "maxContainers"),
    "a registry that ends in a slash": ({"image": {"registry": "registry.example.com/"}}, "registry"),
    "a registry with a scheme": ({"image": {"registry": "https://registry.example.com"}}, "registry"),
    "a registry's configuration by its URL": (
        {"agent": {"registry": {"hosts": {"https://registry.example.com": ""}}}},
        "https://registry.example.com",
    ),
    "a disruption budget in words": ({"manager": {"podDisruptionBudget": {"minAvailable": "half"}}}, "minAvailable"),
    "a word that is no level of the log": ({"manager": {"logLevel": "loud"}}, "logLevel"),
}
REFUSED_BY_CHECKS: dict[str, tuple[dict[str, Any], str]] = {
    "both kinds of monitors": (
        {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}},
        "podMonitor.enabled and serviceMonitor.enabled exclude each other",
    ),
    "two that bind": ({"agent": {"standalone": True}}, "agent.standalone and manager.enabled exclude each other"),
    "two policies": (
        {"agent": {"policy": {"rules": [{"namespaces": ["*"], "allow": {}}], "existingConfigMap": "policy"}}},
        "agent.policy.rules and agent.policy.existingConfigMap exclude each other",
    ),
    "agents that are unwell between two lists": (
        {"agent": {"listSeconds": 60, "staleSeconds": 60}},
        "agent.staleSeconds must be above agent.listSeconds",
    ),
    "one port for two": ({"webhook": {"port": 9465}}, "webhook.port and manager.metricsPort are the same"),
    "the permissions of an agent for everybody": (
        {"agent": {"serviceAccount": {"create": False}}},
        "agent.serviceAccount: with create=false, name the account that is there",
    ),
    "the permissions of a manager for everybody": (
        {"manager": {"serviceAccount": {"create": False}}},
        "manager.serviceAccount: with create=false, name the account that is there",
    ),
    "a disruption budget that says two things": (
        {"manager": {"podDisruptionBudget": {"enabled": True, "minAvailable": 1, "maxUnavailable": 1}}},
        "set either minAvailable or maxUnavailable",
    ),
    "a disruption budget that says nothing": (
        {"manager": {"podDisruptionBudget": {"enabled": True, "minAvailable": "", "maxUnavailable": ""}}},
        "set either minAvailable or maxUnavailable",
    ),
}


@pytest.mark.parametrize(("values", "named"), REFUSED_BY_SCHEMA.values(), ids=REFUSED_BY_SCHEMA.keys())
def test_the_schema_refuses(values: dict[str, Any], named: str) -> None:
    with helm_python.Chart.load(CHART) as chart, pytest.raises(helm_python.HelmValuesError, match=named):
        chart.validate_schema(chart.merge_values(values))


@pytest.mark.parametrize("name", ["reservedCPU", "reservedMemory"])
def test_the_schema_takes_the_quantities_that_the_agent_takes(name: str) -> None:
    agent = json.loads((CHART / "values.schema.json").read_text())["properties"]["agent"]["properties"]
    assert agent[name]["pattern"] == f"^({quantity.PATTERN.removeprefix('^').removesuffix('$')})?$"


@pytest.mark.parametrize(("values", "message"), REFUSED_BY_CHECKS.values(), ids=REFUSED_BY_CHECKS.keys())
def test_the_chart_refuses(values: dict[str, Any], message: str) -> None:
    with pytest.raises(helm_python.HelmError, match=re.escape(message)):
        render(values)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_schema_takes_every_scenario(name: str) -> None:
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema(chart.merge_values(values_of(name)))


def test_every_value_does_something() -> None:
    """Each value is named by a template, by itself or as a part of what is handed on as a whole."""
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    values = read((CHART / "values.yaml").read_text(), {"policy-rules": {}})
    unused = [value.name for value in values if not re.search(rf"\.{value.path[-1]}\b", templates)]
    assert unused == []


def test_every_value_has_a_comment() -> None:
    with pytest.raises(UndocumentedValue, match=r"a\.b has no comment"):
        read("a:\n  b: 1\n", {})


def test_a_comment_is_a_sentence() -> None:
    with pytest.raises(UndocumentedValue, match="no whole sentence"):
        read("# something\na: 1\n", {})


def test_a_comment_with_an_example_and_a_mark_is_understood() -> None:
    [value] = read("a:\n  # How many.\n  #   b: 3\n  # @schema {minimum: 1}\n  b: 1\n", {})
    assert (value.name, value.default, value.meaning) == ("a.b", 1, "How many.")
    assert value.schema == {"description": "How many.", "type": "integer", "minimum": 1}


def test_examples_in_comments_can_be_set() -> None:
    """What is indented in a comment is an example of the value below it."""
    lines = (CHART / "values.yaml").read_text().splitlines()
    for path, example in _examples(lines):
        given: Any = yaml.safe_load(example)
        for name in reversed(path):
            given = {name: given}
        render(given)


def _examples(lines: list[str]) -> Iterator[tuple[list[str], str]]:
    """The examples with the path of their value."""
    path: list[str] = []
    example: list[str] = []
    for line in lines:
        text = line.lstrip()
        depth = (len(line) - len(text)) // 2
        if text.startswith("#   "):
            example.append(text.removeprefix("#   "))
        elif text and not text.startswith("#"):
            path = [*path[:depth], text.partition(":")[0]]
            if example:
                yield path, "\n".join(example)
            example = []
