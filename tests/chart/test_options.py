"""What the chart tells agent and manager, read by the programs themselves: every option is one of theirs, with a value that they take."""

import re
from collections.abc import Mapping
from typing import Any

import click
import pytest

from controller.cli.main import main
from tests.chart.rendering import NAMESPACE, SCENARIOS, Manifest, render, scenario, values_of

pytestmark = pytest.mark.feature("K3")
PROGRAMS = {"agent": "DaemonSet", "manager": "Deployment"}
ADDRESSES = ("10.1.2.3", "fd00::1:2")
"""What a Pod may have for an address."""
OTHER_THAN_BY_ITSELF = {
    "agent": {"host_root", "policy_file", "metrics_address", "log_format", "node_name"},
    "manager": {
        "metrics_address",
        "log_format",
        "name",
        "webhook_address",
        "webhook_configuration",
    },
}
"""What is different in a Pod of the chart, as it comes, from the program without options."""
each_scenario = pytest.mark.parametrize("name", SCENARIOS)
each_program = pytest.mark.parametrize("program", PROGRAMS)


def _containers(name: str) -> list[tuple[str, Manifest]]:
    """The programs that a scenario runs, with their containers."""
    rendered = scenario(name)
    return [(program, rendered.container(kind)) for program, kind in PROGRAMS.items() if rendered.of(kind)]


def _environment(container: Manifest, address: str) -> dict[str, str]:
    """What the downward API and the values make of a container's variables."""
    downward = {
        "spec.nodeName": "node-a",
        "status.podIP": address,
        "metadata.name": "tallyman-manager-0",
        "metadata.namespace": NAMESPACE,
    }
    return {
        one["name"]: one["value"] if "value" in one else downward[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container["env"]
    }


def _read(container: Manifest, address: str, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What the program understands; raises `click.UsageError` as it does."""
    environment = _environment(container, address)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    program, *told = container["args"]
    filled = [re.sub(r"\$\((\w+)\)", lambda found: environment[found[1]], one) for one in told]
    return main.commands[program].make_context(program, filled).params


@each_scenario
@pytest.mark.parametrize("address", ADDRESSES)
def test_the_programs_take_what_they_are_told(name: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for program, container in _containers(name):
        understood = _read(container, address, monkeypatch)
        assert understood["lease_namespace"] == NAMESPACE
        assert understood["metrics_address"][0] == address
        if program == "agent":
            assert understood["node_name"] == "node-a"


@each_scenario
def test_every_variable_is_one_of_the_program_s_or_is_used_or_asked_for(name: str) -> None:
    for program, container in _containers(name):
        options = {str(one.envvar) for one in main.commands[program].params}
        used = set(re.findall(r"\$\((\w+)\)", " ".join(container["args"])))
        own = {one["name"] for one in values_of(name).get(program, {}).get("extraEnv", [])}
        assert {one["name"] for one in container["env"]} <= options | used | own


@each_program
def test_the_chart_s_defaults_are_the_program_s(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = main.commands[program].make_context(program, []).params
    container = render().container(PROGRAMS[program])
    told = _read(container, ADDRESSES[0], monkeypatch)
    different = {name for name in alone if told[name] != alone[name]}
    assert different == OTHER_THAN_BY_ITSELF[program]


def test_a_misspelt_further_option_is_seen_here(monkeypatch: pytest.MonkeyPatch) -> None:
    container = render({"agent": {"extraArgs": ["--no-such-option"]}}).container("DaemonSet")
    with pytest.raises(click.NoSuchOption):
        _read(container, ADDRESSES[0], monkeypatch)
