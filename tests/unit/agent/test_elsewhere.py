"""Containers whose object is another node's: they are removed; and whose object it still is."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent import elsewhere
from controller.agent.actions import Action, KillContainer, RemoveContainer, SignalStop
from controller.agent.declared import belongs
from controller.agent.identity import StopCause
from controller.agent.observation import Elsewhere, Observation, ObservedContainer
from controller.agent.plan import plan
from controller.api.container import NODE_LABEL
from tests.unit.agent.objects import ID, KEY, NODE, NOW, OTHER_UID, UID, body, container, ended, mark

OLD = "aa" * 32
RUNS = container()
OLD_ONE = replace(container(), id=OLD, uid=OTHER_UID)
HAS_ENDED = container(task=ended())
IS_GOING = container(stop=mark(StopCause.REMOVE, 20), grace_seconds=10)
STOP = SignalStop(ID, 15, StopCause.REMOVE)


FOREIGN = Elsewhere(KEY, UID, "200", "node-b")


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("containers", "actions"),
    [
        pytest.param((RUNS,), (STOP,), id="the process is asked to end"),
        pytest.param((IS_GOING,), (KillContainer(ID),), id="its grace period is over"),
        pytest.param((HAS_ENDED,), (RemoveContainer(ID),), id="its process has ended"),
        pytest.param(
            (RUNS, OLD_ONE),
            (STOP, SignalStop(OLD, 15, StopCause.REMOVE)),
            id="what belonged to an earlier object goes with it",
        ),
        pytest.param((), (), id="there is nothing here"),
    ],
)
def test_what_becomes_of_one_that_was_moved(
    containers: tuple[ObservedContainer, ...], actions: tuple[Action, ...]
) -> None:
    decided = plan(None, Observation(containers, elsewhere=FOREIGN), NOW)

    assert decided.actions == actions
    assert decided.facts is None, "the status is the other node's"


@pytest.mark.feature("L18", "K2")
def test_one_whose_runtime_is_gone_waits() -> None:
    decided = plan(None, Observation((RUNS,), elsewhere=FOREIGN, missing_runtimes={"runc": "/usr/bin/runc"}), NOW)

    assert decided.actions == ()


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("status", "ours"),
    [
        pytest.param({"nodeName": NODE, "state": "Running"}, True, id="nodeName was changed by hand while it ran here"),
        pytest.param({"nodeName": "node-b"}, False, id="the other node has taken it up"),
        pytest.param({"nodeName": None, "state": "Pending"}, False, id="its status was reset"),
        pytest.param({}, False, id="it has no status"),
    ],
)
def test_an_object_is_another_nodes_only_when_its_status_does_not_name_this_one(
    status: dict[str, Any], ours: bool
) -> None:
    made = body(status=status, nodeName="node-b")
    made["metadata"]["labels"] = {NODE_LABEL: "node-b"}

    assert belongs(made, NODE) is ours
    assert elsewhere.read(made) == Elsewhere(KEY, UID, "100", "node-b")
