"""What is decided when the user asks for a restart: a stop with signal and grace period, and a start that remembers the request."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent.actions import (
    Action,
    Again,
    DeleteObject,
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
from tests.unit.agent.objects import BASE, ID, NOW, PAUSED, ahead, container, declared, ending, failure, mark, present
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


@pytest.mark.feature("L10", "L12")
@pytest.mark.parametrize(
    ("held_by", "gone"),
    [
        pytest.param({"reason": Reason.COMMAND_NOT_FOUND, "exit_code": 127}, True, id="it can't be started again"),
        pytest.param({"reason": Reason.USER_NOT_FOUND}, True, id="its user has vanished"),
        pytest.param({"reason": Reason.DEPENDENCY_WAITING, "retry_at": ahead(30)}, False, id="what it needs may come"),
        pytest.param({"reason": Reason.POLICY_FORBIDDEN, "retry_at": ahead(30)}, False, id="it is forbidden meanwhile"),
        pytest.param({"reason": Reason.POLICY_FORBIDDEN}, False, id="it is forbidden for good"),
    ],
)
def test_a_restart_that_fails_ends_it_for_auto_remove_unless_it_may_yet_succeed(
    held_by: dict[str, Any], gone: bool
) -> None:
    given = replace(declared(autoRemove=True), restarted_at="now")
    ended = container(given, task=None, exit=ending(0, Reason.COMPLETED))
    failed = replace(failure(given, **{"exit_code": None, **held_by}), restarted_at="now")
    decided = plan(given, Observation((ended,), present(given), failure=failed), NOW)
    assert decided.actions == ((DeleteObject(),) if gone else ())
