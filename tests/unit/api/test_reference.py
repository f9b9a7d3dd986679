"""The pages of the kinds speak of every field, state, condition and reason that there is."""

from pathlib import Path

import pytest

from controller.api.conditions import ConditionType
from controller.api.container import ContainerSpec, ContainerState, ContainerStatus
from controller.api.model import wire_name
from controller.api.node import ContainerNodeSpec, ContainerNodeStatus
from controller.api.reasons import OF_NODES, ONLY_OF_NODES, Reason
from hack.reference_tables import fields_with_a_table, with_tables
from tests.unit.api.test_crd import FIELDS as SCHEMAS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "container.md").read_text()
NODE_PAGE = (DOCS / "containernode.md").read_text()


def test_every_field_of_the_spec_has_a_row() -> None:
    assert fields_with_a_table(PAGE, "spec") == {wire_name(name) for name in ContainerSpec.model_fields}


def test_every_field_of_the_status_has_a_row() -> None:
    assert fields_with_a_table(PAGE, "status") == {wire_name(name) for name in ContainerStatus.model_fields}


def test_every_field_of_a_node_has_a_row() -> None:
    assert fields_with_a_table(NODE_PAGE, "node_spec") == {wire_name(name) for name in ContainerNodeSpec.model_fields}
    assert fields_with_a_table(NODE_PAGE, "node_status") == {
        wire_name(name) for name in ContainerNodeStatus.model_fields
    }


@pytest.mark.parametrize("path", ["securityContext.seccompProfile.localhostProfile", "mounts[].hostPath.path"])
def test_fields_within_fields_have_rows_of_their_own(path: str) -> None:
    assert f"| `{path}` |" in PAGE


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("desiredState", "Running"),
        ("restartPolicy.backoff.initialSeconds", "0.1"),
        ("restartPolicy.backoff.factor", "2"),
        ("restartPolicy.successExitCodes", "[0]"),
        ("autoRemove", "false"),
        ("logging.maxSize", "10Mi"),
    ],
)
def test_defaults_are_told_in_the_table_and_by_kubectl_explain(path: str, default: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{path}` |")]

    assert row.split(" | ")[2] == f"`{default}`"
    assert dict(SCHEMAS)[f"spec.{path}"]["description"].endswith(f" Default: `{default}`.")


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_row(reason: Reason) -> None:
    row = f"| `{reason}` | {reason.meaning} |"

    assert (row in PAGE) is (reason not in ONLY_OF_NODES)
    assert (row in NODE_PAGE) is (reason in OF_NODES)


@pytest.mark.parametrize("state", ContainerState)
def test_every_state_has_a_row(state: ContainerState) -> None:
    assert f"| `{state}` |" in PAGE


@pytest.mark.parametrize("condition", ConditionType)
def test_every_condition_has_a_heading(condition: ConditionType) -> None:
    assert f"#### {condition}\n" in PAGE


def test_an_outdated_table_is_replaced_and_the_text_around_it_kept() -> None:
    page = "before\n<!-- table spec: tty -->\nold\n<!-- end -->\nafter\n"

    assert with_tables(page) == (
        "before\n<!-- table spec: tty -->\n"
        "| Field | Type | Default | A change | Meaning |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| `tty` | true or false | `false` | recreate | Give the process a terminal. |\n"
        "<!-- end -->\nafter\n"
    )


def test_an_unknown_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are spec, status, reasons"):
        with_tables("<!-- table nonsense -->\n<!-- end -->")
