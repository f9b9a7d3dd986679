"""What each step and each status tells: the table, and what a message must never hold."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from controller.agent import news
from controller.agent.actions import (
    Action,
    AddFinalizer,
    Again,
    Announcement,
    CreateContainer,
    DeleteObject,
    EnsureImage,
    FreeProcess,
    KillContainer,
    PauseContainer,
    RecordExit,
    RememberStop,
    RemoveContainer,
    RemoveFinalizer,
    ResumeContainer,
    SignalStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.declared import Declared
from controller.agent.identity import StopCause
from controller.agent.observation import ObservedContainer
from controller.api.conditions import Condition, ConditionStatus, ConditionType
from controller.api.container import ContainerStatus
from controller.api.events import EVENTS, EventType, type_of
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    EARLIER,
    ID,
    NEVER_STARTED,
    NOW,
    ago,
    ahead,
    container,
    declared,
    ended,
    ending,
    mark,
)

SHORT = ID[:12]
RECREATED = Announcement(Reason.RECREATING, "changed: image; the container is replaced")


RUNS = container()


@dataclass(frozen=True)
class Step:
    """An action that was done, and what it tells."""

    text: str
    action: Action
    told: tuple[tuple[Reason, str], ...] = ()
    before: ObservedContainer | None = RUNS
    after: ObservedContainer | None = RUNS
    of: Declared = BASE


def exited(code: int, reason: Reason = Reason.ERROR, ran: float | None = None, **changes: Any) -> ObservedContainer:
    began = None if ran is None else EARLIER - timedelta(seconds=ran)
    record = replace(ending(code, reason, message="never this; last output:\npassword: 1234"), started_at=began)
    return container(task=ended(code), exit=record, **changes)


LENIENT = declared(restartPolicy={"name": "OnFailure", "successExitCodes": [0, 7]})

STEPS = [
    Step("a container is made", CreateContainer(), ((Reason.CREATED, f"container {SHORT} is made"),), None),
    Step(
        "one that vanished is made again",
        CreateContainer(Announcement(Reason.CONTAINER_VANISHED, "it is gone")),
        ((Reason.CONTAINER_VANISHED, "it is gone"), (Reason.CREATED, f"container {SHORT} is made")),
        None,
    ),
    Step("a process is started", StartContainer(ID), ((Reason.STARTED, "the process is started, pid 4711"),)),
    Step(
        "it is started again",
        StartContainer(ID, Again(1)),
        ((Reason.STARTED, "the process is started, pid 4711, restart 3"),),
        after=container(restarts=3),
    ),
    Step(
        "the user stops it",
        SignalStop(ID, 15, StopCause.USER),
        ((Reason.STOPPING, "desiredState is Stopped: SIGTERM is sent, SIGKILL follows after 10 s"),),
    ),
    Step(
        "the grace period is that of the spec",
        SignalStop(ID, 2, StopCause.USER),
        ((Reason.STOPPING, "desiredState is Stopped: SIGINT is sent, SIGKILL follows after 33 s"),),
        of=declared(terminationGracePeriodSeconds=33),
    ),
    Step(
        "the user stops it at once",
        KillContainer(ID, StopCause.USER),
        ((Reason.STOPPING, "desiredState is Stopped: SIGKILL is sent"),),
    ),
    Step(
        "the object is deleted",
        SignalStop(ID, 15, StopCause.REMOVE),
        ((Reason.STOPPING, "the object is deleted: SIGTERM is sent, SIGKILL follows after 10 s"),),
        of=declared(deleting=True),
    ),
    Step(
        "a surplus container is stopped",
        SignalStop(ID, 15, StopCause.REMOVE),
        ((Reason.STOPPING, "the container is to be removed: SIGTERM is sent, SIGKILL follows after 10 s"),),
    ),
    Step(
        "a restart was asked for",
        SignalStop(ID, 15, StopCause.RESTART),
        ((Reason.RESTARTING, "a restart was asked for: SIGTERM is sent, SIGKILL follows after 10 s"),),
    ),
    Step(
        "a restart was asked for, and it is said by which request",
        SignalStop(ID, 15, StopCause.RESTART),
        ((Reason.RESTARTING, "a restart was asked for (soon): SIGTERM is sent, SIGKILL follows after 10 s"),),
        of=replace(declared(), restarted_at="soon"),
    ),
    Step(
        "it is unhealthy and to be restarted",
        SignalStop(ID, 15, StopCause.HEALTH_RESTART),
        ((Reason.RESTARTING, "it is unhealthy (onFailure: Restart): SIGTERM is sent, SIGKILL follows after 10 s"),),
    ),
    Step(
        "it is unhealthy and killed",
        KillContainer(ID, StopCause.HEALTH_KILL),
        ((Reason.STOPPING, "it is unhealthy (onFailure: Kill): SIGKILL is sent"),),
    ),
    Step(
        "it has ended since it was unhealthy",
        RecordExit(ID, None, EARLIER, 1),
        ((Reason.STOPPED, "the process ended by SIGTERM (exit code 143)"),),
        after=exited(143, Reason.UNHEALTHY, stop=mark(StopCause.HEALTH_STOP)),
    ),
    Step(
        "what the plan has to say of a stop is all that is said",
        SignalStop(ID, 15, StopCause.RECREATE, RECREATED),
        ((Reason.RECREATING, RECREATED.message),),
    ),
    Step("the signal is sent once more, for an agent that went", SignalStop(ID, 15), before=container(stop=mark())),
    Step(
        "the grace period is over",
        KillContainer(ID),
        ((Reason.KILLING, "the process did not end within its grace period; SIGKILL is sent"),),
    ),
    Step(
        "it completed",
        RecordExit(ID),
        ((Reason.COMPLETED, "the process ended with exit code 0 after 2.5 s"),),
        after=exited(0, Reason.COMPLETED, ran=2.5),
    ),
    Step(
        "it failed, and nobody knows when it began",
        RecordExit(ID),
        ((Reason.ERROR, "the process ended with exit code 3"),),
        after=exited(3),
    ),
    Step(
        "a signal ended it",
        RecordExit(ID),
        ((Reason.ERROR, "the process ended by SIGKILL (exit code 137) after 1 min 40 s"),),
        after=exited(137, ran=100),
    ),
    Step(
        "its code counts as success",
        RecordExit(ID),
        ((Reason.COMPLETED, "the process ended with exit code 7"),),
        after=exited(7),
        of=LENIENT,
    ),
    Step(
        "it ended since it was asked to",
        RecordExit(ID),
        ((Reason.STOPPED, "the process ended by SIGTERM (exit code 143) after 2 h 1 min"),),
        after=exited(143, ran=7270, stop=mark()),
    ),
    Step(
        "the kernel killed it while it was being stopped",
        RecordExit(ID),
        ((Reason.OOM_KILLED, "the process was killed by the kernel for want of memory (exit code 137)"),),
        after=exited(137, Reason.OOM_KILLED, stop=mark()),
    ),
    Step(
        "the node was restarted",
        RecordExit(ID, Reason.NODE_REBOOTED),
        ((Reason.NODE_REBOOTED, "the node was restarted while the process ran"),),
        after=exited(255, Reason.NODE_REBOOTED, ran=60),
    ),
    Step(
        "nobody saw its end",
        RecordExit(ID, Reason.ERROR),
        ((Reason.ERROR, "the process is gone, and nobody saw how it ended"),),
        after=exited(255, ran=60),
    ),
    Step("an end that could not be taken down", RecordExit(ID), after=None),
    Step("it is paused", PauseContainer(ID), ((Reason.PAUSED, "the processes are frozen"),)),
    Step("it is resumed", ResumeContainer(ID), ((Reason.RESUMED, "the processes are thawed"),)),
    Step("it is thawed to be stopped", ResumeContainer(ID), before=container(stop=mark())),
    Step("its limits change", UpdateResources(ID), ((Reason.UPDATED, "the limits of the spec are in force"),)),
    Step(
        "it is removed",
        RemoveContainer(ID),
        ((Reason.REMOVED, f"container {SHORT} and all that was made for it is removed"),),
        before=exited(0),
        after=None,
    ),
    Step(
        "it ends by its deletion",
        RemoveContainer(ID),
        (
            (Reason.STOPPED, "the process ended by SIGTERM (exit code 143) after 3.0 s"),
            (Reason.REMOVED, f"container {SHORT} and all that was made for it is removed"),
        ),
        before=container(task=ended(143), started_at=ago(8), stop=mark(StopCause.REMOVE)),
        after=None,
    ),
    Step(
        "so does one that an agent before this one had started",
        RemoveContainer(ID),
        (
            (Reason.STOPPED, "the process ended by SIGTERM (exit code 143) after 3.0 s"),
            (Reason.REMOVED, f"container {SHORT} and all that was made for it is removed"),
        ),
        of=declared(status={"containerID": ID, "startedAt": ago(8).isoformat()}),
        before=container(task=ended(143), stop=mark(StopCause.REMOVE)),
        after=None,
    ),
    Step(
        "it is replaced",
        RemoveContainer(ID, RECREATED),
        (
            (Reason.RECREATING, RECREATED.message),
            (Reason.REMOVED, f"container {SHORT} and all that was made for it is removed"),
        ),
        before=exited(0),
        after=None,
    ),
    Step("what was made for a start that failed is removed", RemoveContainer(ID), before=container(task=NEVER_STARTED)),
    Step(
        "it goes by itself",
        DeleteObject(),
        ((Reason.REMOVING, "it has ended or can't be made, and autoRemove is set: its object is deleted"),),
    ),
    *(
        Step(f"nobody's business: {type(action).__name__}", action)
        for action in (AddFinalizer(), RemoveFinalizer(), EnsureImage(), RememberStop(ID), FreeProcess(ID))
    ),
]


@pytest.mark.feature("L19")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.text)
def test_a_step_tells(step: Step) -> None:
    told = news.of_step(step.action, step.of, step.before, step.after)
    assert tuple((one.reason, one.message) for one in told) == step.told


@pytest.mark.feature("L19")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.text)
def test_whatever_is_told_is_a_documented_event_that_holds_no_output(step: Step) -> None:
    for told in news.of_step(step.action, step.of, step.before, step.after):
        assert told.reason in EVENTS
        assert "1234" not in told.message


@pytest.mark.feature("L19")
def test_ends_with_one_code_are_alike_however_long_the_process_ran() -> None:
    def alike(code: int, ran: float) -> str | None:
        [told] = news.of_step(RecordExit(ID), BASE, container(), exited(code, ran=ran))
        return told.alike

    assert alike(3, 1.0) == alike(3, 60.0) != alike(4, 1.0)


@pytest.mark.feature("L19")
def test_there_is_a_word_for_every_cause_of_a_stop() -> None:
    assert set(news.WHY_STOPPED) == set(StopCause)


# --- statuses -----------------------------------------------------------------------------------------------------------


def shown(reason: Reason, message: str = "", **fields: Any) -> ContainerStatus:
    conditions = [
        Condition(type=kind, status=ConditionStatus.FALSE, reason=reason, message=message)
        for kind in (ConditionType.READY, ConditionType.STALLED)
    ]
    return ContainerStatus(conditions=conditions, **fields)


NOTHING = ContainerStatus()
UP = shown(Reason.RUNNING)
WAITS = shown(Reason.CRASH_LOOP_BACK_OFF, "ended with exit code 1; restart 1", next_restart_at=ahead(10))


@pytest.mark.feature("L19")
@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(NOTHING, UP, [], id="what a step has told already"),
        pytest.param(
            NOTHING,
            shown(Reason.INVALID_SPEC, "spec.command: too long"),
            [(Reason.INVALID_SPEC, "spec.command: too long")],
            id="a refusal, once for all its conditions",
        ),
        pytest.param(shown(Reason.INVALID_SPEC, "a"), shown(Reason.INVALID_SPEC, "b"), [], id="another message"),
        pytest.param(UP, WAITS, [(Reason.CRASH_LOOP_BACK_OFF, "ended with exit code 1; restart 1")], id="a wait"),
        pytest.param(WAITS, WAITS, [], id="the same wait"),
        pytest.param(
            WAITS,
            WAITS.model_copy(update={"next_restart_at": ahead(20)}),
            [(Reason.CRASH_LOOP_BACK_OFF, "ended with exit code 1; restart 1")],
            id="the next wait",
        ),
        pytest.param(WAITS, UP, [], id="the end of a wait"),
        pytest.param(
            UP,
            shown(Reason.RETRY_LIMIT_REACHED, "ended with exit code 1; last output:\npassword: 1234"),
            [(Reason.RETRY_LIMIT_REACHED, "ended with exit code 1")],
            id="without what the process printed",
        ),
    ],
)
def test_a_status_tells(before: ContainerStatus, after: ContainerStatus, told: list[tuple[Reason, str]]) -> None:
    assert [(one.reason, one.message) for one in news.of_status(before, after)] == told


@pytest.mark.feature("L19", "I1")
def test_a_pull_tells_how_long_it_took_and_how_large_the_image_is() -> None:
    assert news.pulled("web:1", ago(83), NOW, 1234) == (
        "image web:1 is pulled and unpacked in 1 min 23 s; its size is 1234 bytes"
    )


@pytest.mark.feature("L19")
def test_what_is_not_classed_is_a_warning() -> None:
    assert type_of(Reason.SETTLED) is EventType.WARNING
