"""What the manager exposes: its own metrics, and of the shared ones those that are true of it."""

import re

import pytest

from controller.manager import metrics

pytestmark = pytest.mark.feature("K5")


@pytest.fixture
def names() -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", metrics.page().decode(), re.MULTILINE))


@pytest.mark.parametrize(
    "name",
    [
        "tallyman_manager_leader",
        "tallyman_build_info",
        "tallyman_api_requests_total",
        "tallyman_status_writes_total",
        "tallyman_events_waiting",
        "process_resident_memory_bytes",
        "python_info",
    ],
)
def test_what_a_manager_does_is_exposed(names: set[str], name: str) -> None:
    assert name in names


def test_what_only_an_agent_does_is_not(names: set[str]) -> None:
    assert not {
        name for name in names if name.startswith(("tallyman_reconcile", "tallyman_container", "tallyman_image"))
    }


def test_what_only_a_leader_knows_ends_with_its_lead() -> None:
    metrics.leads(now=True)
    metrics.nodes(["Lost", "Alive", "Lost"])
    assert b'tallyman_manager_nodes{phase="Lost"} 2.0' in metrics.page()
    metrics.leads(now=False)
    page = metrics.page()
    assert b'tallyman_manager_nodes{phase="Lost"} 0.0' in page
    assert b"tallyman_manager_leader 0.0" in page
