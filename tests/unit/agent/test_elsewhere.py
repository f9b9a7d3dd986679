"""Containers whose object is another node's: which are removed, and which are left alone."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent import elsewhere
from controller.agent.actions import Action, KillContainer, RemoveContainer, SignalStop
from controller.agent.identity import StopCause
from controller.agent.observation import Elsewhere, Observation, ObservedContainer
from controller.agent.plan import plan
from tests.unit.agent.objects import ID, KEY, NODE, NOW, OTHER_UID, UID, ahead, body, container, ended, mark

OLD = "aa" * 32
RUNS = container()
OLD_ONE = replace(container(), id=OLD, uid=OTHER_UID)
HAS_ENDED = container(task=ended())
IS_GOING = container(stop=mark(StopCause.REMOVE, 20), grace_seconds=10)
STOP = SignalStop(ID, 15, StopCause.REMOVE)


def foreign(*, moved: bool) -> Elsewhere:
    return Elsewhere(KEY, UID, "200", "node-b", moved=moved)


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("moved", "containers", "actions"),
    [
        pytest.param(True, (RUNS,), (STOP,), id="it was moved: the process is asked to end"),
        pytest.param(True, (IS_GOING,), (KillContainer(ID),), id="it was moved, and its grace period is over"),
        pytest.param(True, (HAS_ENDED,), (RemoveContainer(ID),), id="it was moved, and its process has ended"),
        pytest.param(False, (RUNS,), (), id="its status still names this node"),
        pytest.param(False, (HAS_ENDED,), (), id="its status still names this node, and its process has ended"),
        pytest.param(
            False,
            (RUNS, OLD_ONE),
            (SignalStop(OLD, 15, StopCause.REMOVE),),
            id="what belonged to an earlier object goes in any case",
        ),
        pytest.param(True, (), (), id="there is nothing here"),
    ],
)
def test_what_becomes_of_it(
    moved: bool, containers: tuple[ObservedContainer, ...], actions: tuple[Action, ...]
) -> None:
    decided = plan(None, Observation(containers, elsewhere=foreign(moved=moved)), NOW)

    assert decided.actions == actions
    assert decided.facts is None, "the status is the other node's"


def test_one_that_is_left_alone_is_looked_at_again() -> None:
    decided = plan(None, Observation((RUNS,), elsewhere=foreign(moved=False)), NOW)

    assert decided.look_again == ahead(60)
    assert plan(None, Observation((), elsewhere=foreign(moved=False)), NOW).look_again is None


@pytest.mark.feature("L18", "K2")
def test_one_that_was_moved_and_whose_runtime_is_gone_waits() -> None:
    decided = plan(
        None, Observation((RUNS,), elsewhere=foreign(moved=True), missing_runtimes={"runc": "/usr/bin/runc"}), NOW
    )

    assert decided.actions == ()


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("status", "moved"),
    [
        pytest.param({"nodeName": NODE, "state": "Running"}, False, id="changed by hand while it ran here"),
        pytest.param({"nodeName": "node-b"}, True, id="the other node has taken it up"),
        pytest.param({"nodeName": None, "state": "Pending"}, True, id="its status was reset"),
        pytest.param({}, True, id="it has no status"),
    ],
)
def test_a_container_was_moved_when_its_status_does_not_name_this_node(status: dict[str, Any], moved: bool) -> None:
    found = elsewhere.read(body(status=status, nodeName="node-b"), NODE)

    assert found == Elsewhere(KEY, UID, "100", "node-b", moved=moved)
