"""The agent's options about its node: what is taken, and what is refused in which words."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from controller.cli.node_options import node_options

seen: dict[str, Any] = {}


@click.command()
@node_options
def command(**options: Any) -> None:
    seen.clear()
    seen.update(options)


def _run(*words: str, **environment: str) -> str:
    answer = CliRunner().invoke(command, list(words), env=environment)
    return answer.output if answer.exit_code else ""


@pytest.mark.feature("D7")
def test_what_is_not_said_has_a_default() -> None:
    assert _run() == ""
    assert seen == {
        "node_labels": {},
        "max_containers": 250,
        "reserved_cpu": 0,
        "reserved_memory": 0,
        "lease_namespace": "tallyman-system",
        "lease_duration_seconds": 40,
    }


@pytest.mark.feature("D7")
def test_labels_may_be_many_as_options_and_in_the_environment() -> None:
    assert _run("--node-label", "disk=ssd", "--node-label", "example.com/zone=") == ""
    assert seen["node_labels"] == {"disk": "ssd", "example.com/zone": ""}

    assert _run(TALLYMAN_NODE_LABELS="disk=ssd zone=a") == ""
    assert seen["node_labels"] == {"disk": "ssd", "zone": "a"}


def test_what_is_reserved_is_a_quantity() -> None:
    assert _run("--reserved-cpu", "500m", "--reserved-memory", "1Gi") == ""
    assert (float(seen["reserved_cpu"]), int(seen["reserved_memory"])) == (0.5, 2**30)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["--node-label", "disk"], "is not KEY=VALUE", id="a label without a value"),
        pytest.param(["--node-label", "-disk=x"], "must be the key of a label", id="a label's key that is none"),
        pytest.param(["--node-label", "disk=a b"], "must be the value of a label", id="a label's value that is none"),
        pytest.param(["--node-label", "kubernetes.io/arch=z80"], "is set by the agent itself", id="a label of its own"),
        pytest.param(["--reserved-cpu", "many"], "is not a quantity", id="cores that are no quantity"),
        pytest.param(["--reserved-memory", "-1Gi"], "is not a quantity", id="memory below nothing"),
        pytest.param(["--max-containers", "0"], "0 is not in the range", id="a node for no container"),
        pytest.param(["--lease-namespace", "Tally/Man"], "is not the name of a namespace", id="a bad namespace"),
    ],
)
def test_what_is_wrong_is_refused(words: list[str], says: str) -> None:
    assert says in " ".join(_run(*words).split())
