"""What a node takes for its own memory of a container, when others have written into its status."""

from typing import Any

import pytest

from controller.agent.memory import recalled, says_lost
from controller.api.conditions import ConditionType
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from controller.api.validation import read_status
from tests.unit.agent.objects import NODE

AT = "2026-11-22T09:00:00Z"
LOST = {"type": "Ready", "status": "Unknown", "reason": "NodeLost", "message": "not heard of"}
SETTLED = {"type": "Reconciling", "status": "False", "reason": "Settled"}
WAITS = {"type": "Reconciling", "status": "True", "reason": "CrashLoopBackOff"}
STUCK = {"type": "Stalled", "status": "True", "reason": "CommandNotFound", "message": "no such command"}
ENDED = {"state": "Unknown", "nodeName": NODE, "exitCode": 127, "finishedAt": AT}


def test_its_own_status_is_its_memory() -> None:
    own = read_status({"state": "Running", "nodeName": NODE, "containerID": "ab", "startedAt": AT})

    assert recalled(own, NODE) is own


def test_a_status_that_names_no_node_is_too() -> None:
    fresh = read_status({"state": "Pending"})

    assert recalled(fresh, NODE) is fresh


@pytest.mark.feature("K2")
def test_of_what_another_node_has_written_only_the_history_counts() -> None:
    past = {"restart": 0, "finishedAt": AT, "exitCode": 1, "reason": "Error"}
    other = read_status(
        {"state": "Exited", "nodeName": "node-b", "containerID": "ab", "exitCode": 1, "history": [past]}
    )

    mine = recalled(other, NODE)

    assert (mine.state, mine.container_id, mine.exit_code) == (None, None, None)
    assert mine.history == other.history


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        pytest.param({**ENDED, "conditions": [LOST, SETTLED, STUCK]}, "Exited", "CommandNotFound", id="a failed start"),
        pytest.param(
            {**ENDED, "exitCode": 0, "conditions": [LOST, SETTLED]}, "Exited", "Completed", id="an end with success"
        ),
        pytest.param({**ENDED, "conditions": [LOST, SETTLED]}, "Exited", "Error", id="an end without"),
        pytest.param(
            {
                **ENDED,
                "conditions": [LOST, SETTLED],
                "history": [{"restart": 0, "finishedAt": AT, "exitCode": 127, "reason": "OOMKilled"}],
            },
            "Exited",
            "OOMKilled",
            id="an end that the history knows more of",
        ),
        pytest.param({**ENDED, "conditions": [LOST, WAITS]}, "Unknown", "NodeLost", id="an end before a restart"),
        pytest.param({"state": "Unknown", "conditions": [LOST, SETTLED]}, "Unknown", "NodeLost", id="no end at all"),
    ],
)
def test_an_end_is_remembered_though_the_node_was_taken_for_lost(
    status: dict[str, Any], state: str, reason: str
) -> None:
    written = read_status(status)

    mine = recalled(written, NODE)

    ready = next(one for one in mine.conditions if one.type is ConditionType.READY)
    assert (mine.state, ready.reason) == (ContainerState(state), reason)
    assert ready.status == "Unknown", "when it changes is told by what is written"
    assert says_lost(written)


def test_other_reasons_are_no_loss() -> None:
    assert not says_lost(read_status({}))
    assert not says_lost(read_status({"conditions": [{**LOST, "reason": Reason.RUNNING}]}))
