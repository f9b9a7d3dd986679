"""What is decided when the user asks for a restart: a stop with signal and grace period, and a start that remembers the request."""

from dataclasses import replace

import pytest

from controller.agent.actions import (
    Action,
    Again,
    KillContainer,
    PauseContainer,
    ResumeContainer,
    SignalStop,
    StartContainer,
)
from controller.agent.declared import Declared
from controller.agent.identity import StopCause
from controller.agent.observation import Observation, ObservedContainer
from controller.agent.plan import plan
from controller.api.reasons import Reason
from tests.unit.agent.objects import BASE, ID, NOW, PAUSED, container, declared, ending, mark, present
from tests.unit.agent.plan_tables import FROZEN, STOPPED

ASKED = replace(BASE, restarted_at="now")
ASKED_FROZEN = replace(FROZEN, restarted_at="now")
AT_ONCE = replace(declared(terminationGracePeriodSeconds=0), restarted_at="now")


def untold(action: Action) -> Action:
    """The action without what is told of it."""
    return replace(action, announcement=None) if isinstance(action, SignalStop | KillContainer) else action


@pytest.mark.feature("L10")
@pytest.mark.parametrize(
    ("given", "current", "actions"),
    [
        pytest.param(
            ASKED,
            container(),
            (SignalStop(ID, 15, StopCause.RESTART),),
            id="a restart begins with the stop signal",
        ),
        pytest.param(
            ASKED,
            container(stop_signal=3),
            (SignalStop(ID, 3, StopCause.RESTART),),
            id="with the image's, if the spec has none",
        ),
        pytest.param(
            AT_ONCE,
            container(AT_ONCE),
            (KillContainer(ID, StopCause.RESTART),),
            id="without a grace period it begins with SIGKILL",
        ),
        pytest.param(
            ASKED,
            container(stop=mark(StopCause.RESTART, 2)),
            (),
            id="within the grace period it is waited for",
        ),
        pytest.param(
            ASKED,
            container(stop=mark(StopCause.RESTART, 2), signalled=False),
            (SignalStop(ID, 15),),
            id="a signal that was perhaps never sent is sent",
        ),
        pytest.param(
            ASKED,
            container(stop=mark(StopCause.RESTART, 10)),
            (KillContainer(ID),),
            id="after the grace period it is killed",
        ),
        pytest.param(
            ASKED,
            container(task=PAUSED),
            (SignalStop(ID, 15, StopCause.RESTART),),
            id="a paused one gets the signal",
        ),
        pytest.param(
            ASKED_FROZEN,
            container(task=PAUSED, stop=mark(StopCause.RESTART, 2)),
            (ResumeContainer(ID),),
            id="and is thawed, so that it can obey, also if it is to be paused",
        ),
        pytest.param(
            ASKED,
            container(task=None, stop=mark(StopCause.RESTART), exit=ending(143, Reason.ERROR)),
            (StartContainer(ID, Again(restarted_at="now")),),
            id="then it is started again, whatever the policy, and remembers for which request",
        ),
        pytest.param(
            ASKED_FROZEN,
            container(task=None, stop=mark(StopCause.RESTART), exit=ending(143, Reason.ERROR)),
            (StartContainer(ID, Again(restarted_at="now")),),
            id="one that is to be paused is started too",
        ),
        pytest.param(
            ASKED_FROZEN,
            container(restarted_at="now", restarts=1),
            (PauseContainer(ID),),
            id="and is paused then",
        ),
        pytest.param(ASKED, container(restarted_at="now", restarts=1), (), id="a request is carried out once"),
        pytest.param(
            replace(STOPPED, restarted_at="now"),
            container(task=None, stop=mark(), exit=ending(143, Reason.ERROR)),
            (),
            id="what its user has stopped is not started by it",
        ),
        pytest.param(
            replace(STOPPED, restarted_at="now"),
            container(),
            (SignalStop(ID, 15, StopCause.USER),),
            id="a stop that is asked for at the same time comes first, and stays",
        ),
    ],
)
def test_a_restart_on_request_is_a_stop_and_a_start(
    given: Declared, current: ObservedContainer, actions: tuple[Action, ...]
) -> None:
    decided = plan(given, Observation((current,), present(given)), NOW)
    assert tuple(map(untold, decided.actions)) == actions
