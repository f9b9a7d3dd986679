"""What is decided when the node's clock was set back, and on starts that failed where there is a restart policy to say what follows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.agent.actions import (
    CheckSuccessor,
    CorrectTimes,
    CreateContainer,
    EnsureImage,
    RecordFailedStart,
    RemoveContainer,
    StartContainer,
)
from controller.agent.decision import CLOCK_SLACK, is_ahead, is_due
from controller.agent.identity import StopCause, StopMark
from controller.agent.observation import Checked
from controller.agent.plan import plan
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    ID,
    NEVER_STARTED,
    NOW,
    OTHER_UID,
    ago,
    ahead,
    container,
    declared,
    ended,
    ending,
    failure,
    present,
    unavailable,
)
from tests.unit.agent.plan_tables import CHANGED, DELETED, MAKE, RUNS, Case, Said, check, status_of, table

HOUR = 3600.0
HASTY = declared(restartPolicy={"name": "Always", "backoff": {"initialSeconds": 0, "maxSeconds": 0}})
LIMITED = declared(restartPolicy={"name": "OnFailure", "maximumRetryCount": 2})
STOPPED_LATER = StopMark(StopCause.USER, ahead(HOUR))
ONLY_TOLD = {
    **status_of(BASE),
    "state": "Exited",
    "exitCode": 3,
    "finishedAt": "2026-11-22T09:00:00Z",
    "restartCount": 0,
}
FAILED = RecordFailedStart(ID, 127, Reason.COMMAND_NOT_FOUND, "it failed", ago(1), 1)


@table(
    Case("a stop that is yet to come", BASE, (container(stop=STOPPED_LATER),), actions=(CorrectTimes(ID),)),
    Case("an end that is yet to come", BASE, (container(task=None, exit=ending(3, at=ahead(HOUR))),), actions=(CorrectTimes(ID),)),
    Case("a SIGKILL that is yet to come", BASE, (container(killed_at=ahead(HOUR)),), actions=(CorrectTimes(ID),)),
    Case("a start that is yet to come", BASE, (container(started_at=ahead(HOUR)),), actions=(CorrectTimes(ID),)),
    Case("of a container that is to go", DELETED, (container(stop=STOPPED_LATER),), actions=(CorrectTimes(ID),)),
    Case("of an orphan", None, (container(stop=STOPPED_LATER),), actions=(CorrectTimes(ID),)),
    Case("of an earlier object's container", declared(uid=OTHER_UID), (container(stop=STOPPED_LATER),), actions=(CorrectTimes(ID),)),
    Case("what is only just ahead is left as it is", BASE, (container(started_at=ahead(1)),), said=RUNS),
    Case(
        "a failure that would wait for an hour is tried again",
        BASE,
        image=present(),
        failure=failure(reason=Reason.NODE_UNFIT, exit_code=None, retry_at=ahead(HOUR)),
        actions=MAKE,
    ),
    Case("a pull that would wait for an hour is tried again", BASE, image=unavailable(retry_at=ahead(HOUR)), actions=(EnsureImage(),)),
    Case(
        "that containerd is away is told",
        BASE,
        (container(),),
        lost_at=ahead(HOUR),
        said=Said(ContainerState.UNKNOWN, Reason.CONTAINERD_UNAVAILABLE, progressing=True),
    ),
)  # fmt: skip
@pytest.mark.feature("L9", "L15")
def test_nothing_waits_for_what_is_yet_to_come(case: Case) -> None:
    check(case)


def test_an_end_that_still_holds_its_place_is_freed_before_its_time_is_corrected() -> None:
    at = ahead(HOUR)
    current = container(task=ended(3, at), exit=ending(3, at=at))
    assert CorrectTimes(ID) not in plan(BASE, Case("", BASE, (current,)).observation, NOW).actions


def test_a_changed_spec_that_was_checked_in_the_future_is_checked_again() -> None:
    believed = Case("", CHANGED, (container(),), image=present(CHANGED)).observation
    observed = replace(believed, checked=Checked(CHANGED.spec_hash, ahead(HOUR)))
    assert plan(CHANGED, observed, NOW).actions == (CheckSuccessor(),)


@pytest.mark.parametrize(
    ("seconds", "ahead_of_now", "due"),
    [
        pytest.param(-1, False, True, id="past"),
        pytest.param(0, False, True, id="now"),
        pytest.param(1, False, False, id="within the slack"),
        pytest.param(20, True, False, id="a wait as long as it may be"),
        pytest.param(60, True, True, id="longer than any wait"),
    ],
)
def test_moments(seconds: float, ahead_of_now: bool, due: bool) -> None:
    moment = ahead(seconds)
    assert is_ahead(moment, NOW) is ahead_of_now
    assert is_due(moment, timedelta(seconds=20), NOW) is due
    assert not is_ahead(None, NOW)
    assert timedelta() < CLOCK_SLACK


@table(
    Case(
        "a start that failed is an end for the policy",
        LIMITED,
        (container(LIMITED, task=NEVER_STARTED),),
        failure=failure(LIMITED),
        actions=(FAILED,),
    ),
    Case(
        "so is a restart that failed",
        LIMITED,
        (container(LIMITED, task=NEVER_STARTED, restarts=2, short_runs=4),),
        failure=failure(LIMITED),
        actions=(replace(FAILED, short_runs=5),),
    ),
    Case(
        "what fails at once is tried again after a while at the least, and that is told however often it fails",
        HASTY,
        (container(HASTY, task=NEVER_STARTED, exit=ending(127, Reason.COMMAND_NOT_FOUND, ago(0.25))),),
        said=Said(ContainerState.RESTARTING, Reason.CRASH_LOOP_BACK_OFF, progressing=True, exit_code=127),
        look_again=ahead(0.75),
    ),
    Case(
        "without a policy the container goes",
        BASE,
        (container(task=NEVER_STARTED),),
        failure=failure(),
        actions=(RemoveContainer(ID),),
        said=Said(ContainerState.CREATED, Reason.COMMAND_NOT_FOUND, progressing=True),
    ),
    Case(
        "a failure of the node's is not the policy's",
        LIMITED,
        image=present(LIMITED),
        failure=failure(LIMITED, Reason.RUNTIME_MISSING, 128, ahead(20)),
        said=Said(ContainerState.PENDING, Reason.RUNTIME_MISSING, progressing=True, with_container=False, exit_code=128),
        look_again=ahead(20),
    ),
    Case(
        "one whose container somebody took is made again",
        LIMITED,
        image=present(LIMITED),
        failure=failure(LIMITED),
        actions=(CreateContainer(), StartContainer(ID)),
    ),
    Case(
        "an end that only the status knows is up to the policy, too",
        declared(restartPolicy={"name": "Always"}, status={**ONLY_TOLD, "containerID": None}),
        image=present(),
        actions=MAKE,
    ),
    Case(
        "and stays one where the policy leaves it at that",
        declared(restartPolicy={"name": "OnFailure", "successExitCodes": [3]}, status={**ONLY_TOLD, "containerID": None}),
        said=Said(ContainerState.EXITED, Reason.ERROR, with_container=False, exit_code=3),
    ),
    Case(
        "its back-off is kept",
        declared(
            restartPolicy={"name": "Always", "backoff": {"initialSeconds": 3600, "maxSeconds": 7200}},
            status={**ONLY_TOLD, "containerID": None, "finishedAt": "2026-11-22T09:30:00Z"},
        ),
        said=Said(ContainerState.EXITED, Reason.ERROR, with_container=False, exit_code=3),
        look_again=ahead(30 * 60 - 0.25),
    ),
)  # fmt: skip
@pytest.mark.feature("L4", "L9")
def test_the_policy_decides_on_failed_starts_and_forgotten_ends(case: Case) -> None:
    check(case)
