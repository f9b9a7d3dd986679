"""What the manager writes into statuses."""

from datetime import UTC, datetime
from typing import Any

import pytest

from controller.api.validation import read_status
from controller.manager import records, statuses
from controller.manager.nodelife import Life, Phase, Step, step
from tests.unit.manager.objects import bound, container, node, running

NOW = datetime(2026, 11, 22, 10, 30, 1, 500, tzinfo=UTC)
THEN = "2026-11-22T09:00:00Z"
AT = "2026-11-22T10:30:01Z"


def _merged(body: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The object after the patch of its status."""
    status = {**(body.get("status") or {}), **patch}
    return {**body, "status": {name: value for name, value in status.items() if value is not None}}


def test_what_is_said_of_a_container_that_fits_nowhere() -> None:
    written = statuses.unbindable(container(), "0/1 nodes fit: node-a: full", NOW)
    assert written == {
        "observedGeneration": 1,
        "state": "Pending",
        "conditions": [
            {
                "type": "Ready",
                "status": "False",
                "reason": "Unbindable",
                "message": "0/1 nodes fit: node-a: full",
                "observedGeneration": 1,
                "lastTransitionTime": AT,
            }
        ],
    }


def test_the_time_of_a_transition_stays_while_only_the_words_change() -> None:
    first = _merged(container(), statuses.unbindable(container(), "one", NOW))
    first["status"]["conditions"][0]["lastTransitionTime"] = THEN
    assert statuses.unbindable(first, "two", NOW)["conditions"][0]["lastTransitionTime"] == THEN
    assert statuses.node_lost(first, "two", NOW)["conditions"][0]["lastTransitionTime"] == AT


def test_a_message_has_an_end() -> None:
    written = statuses.unbindable(container(), "x" * 100_000, NOW)
    assert len(written["conditions"][0]["message"]) == statuses.MAX_MESSAGE


@pytest.mark.feature("K2")
def test_a_lost_container_keeps_all_that_its_agent_last_saw() -> None:
    before = bound("web", "node-a")
    after = _merged(before, statuses.node_lost(before, "node-a is silent", NOW))
    told = {one["type"]: (one["status"], one["reason"]) for one in after["status"]["conditions"]}
    assert told == {"Ready": ("Unknown", "NodeLost"), "Accepted": ("True", "Valid")}
    kept = {name: value for name, value in before["status"].items() if name not in {"state", "conditions"}}
    assert kept.items() <= after["status"].items()
    assert after["status"]["state"] == "Unknown"
    assert step(records.container(after), Life(Phase.LOST, 1), 300) is None


@pytest.mark.feature("K2")
def test_a_rescheduled_container_keeps_its_history_only() -> None:
    history = [{"restart": 0, "exitCode": 1, "reason": "Error"}]
    before = bound(
        "web", "node-a", reschedule="WhenNodeGone", status=running("node-a", history=history, restartCount=3)
    )
    after = _merged(before, statuses.rescheduled(before, "node-a is gone", NOW))
    assert after["status"].keys() == {"observedGeneration", "state", "history", "conditions"}
    assert (after["status"]["state"], after["status"]["history"]) == ("Pending", history)
    assert [(one["type"], one["reason"]) for one in after["status"]["conditions"]] == [
        ("Ready", "Rescheduled"),
        ("Reconciling", "Rescheduled"),
    ]
    assert read_status(after["status"]).node_name is None
    assert step(records.container(after), Life(Phase.GONE, 1), 300) is Step.REBIND


def test_what_is_said_of_a_silent_node() -> None:
    body = node()
    after = _merged(body, statuses.agent_lost(body, "silent", NOW))
    assert after["status"]["allocatable"] == body["status"]["allocatable"]
    assert records.node(after).candidate.not_ready == "NodeLost"
