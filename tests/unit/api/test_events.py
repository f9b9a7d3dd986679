"""Events: every reason is either told as an Event or known to be none."""

import pytest

from controller.api.events import EVENTS
from controller.api.reasons import Reason

NO_EVENT = {
    Reason.RUNNING,  # Started
    Reason.VALID,
    Reason.UNPACKED,  # Pulled
    Reason.SETTLED,
    Reason.PROGRESSING,
    Reason.STARTING,
    Reason.HEALTH_STARTING,  # Started
    Reason.AGENT_READY,  # of a node: its condition says so
    Reason.AGENT_NOT_READY,
    Reason.CONTAINERD_UNAVAILABLE,  # the node's news: one for each of its containers would be a flood
}


@pytest.mark.feature("L19")
def test_of_every_reason_it_is_known_whether_it_is_told() -> None:
    """For a new reason: add it to EVENTS, or to the set above."""
    assert set(Reason) == set(EVENTS) | NO_EVENT
    assert not set(EVENTS) & NO_EVENT
