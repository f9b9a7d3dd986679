"""What is decided when a process ends, by itself or because its user wants it stopped."""

from dataclasses import replace

import pytest

from controller.agent.actions import (
    Again,
    CreateContainer,
    FreeProcess,
    KillContainer,
    RecordExit,
    RememberStop,
    ResumeContainer,
    SignalStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.identity import ExitRecord, StopCause, container_id
from controller.agent.observation import Observation
from controller.agent.plan import plan
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    ID,
    NOW,
    PAUSED,
    ago,
    ahead,
    container,
    declared,
    ended,
    ending,
    mark,
    present,
)
from tests.unit.agent.plan_tables import (
    EXITED_0,
    FROZEN,
    LIMITED,
    MAKE,
    STOPPED,
    STOPPING,
    Case,
    Said,
    check,
    status_of,
    table,
)


@table(
    Case("the end is written down first", BASE, (container(task=ended(3)),), actions=(RecordExit(ID),)),
    Case(
        "an end in the record of the process before is not this one's",
        BASE,
        (container(task=ended(3), exit=ending(1, Reason.ERROR, at=ago(500))),),
        actions=(RecordExit(ID),),
    ),
    Case(
        "then it is said, and then the process is freed",
        BASE,
        (container(task=ended(0), exit=ending(0)),),
        actions=(FreeProcess(ID),),
        said=Said(ContainerState.EXITED, Reason.COMPLETED, exit_code=0),
        say_first=True,
    ),
    Case(
        "an end without a time is written down once",
        BASE,
        (container(task=replace(ended(0), exited_at=None), exit=ending(0)),),
        actions=(FreeProcess(ID),),
        said=Said(ContainerState.EXITED, Reason.COMPLETED, exit_code=0),
        say_first=True,
    ),
    Case(
        "ended with 0 it is Completed, and stays so",
        BASE,
        (container(task=None, exit=ending(0)),),
        said=Said(ContainerState.EXITED, Reason.COMPLETED, exit_code=0),
    ),
    Case(
        "ended with another code it is in Error",
        BASE,
        (container(task=None, exit=ending(3, Reason.ERROR)),),
        said=Said(ContainerState.EXITED, Reason.ERROR, exit_code=3),
    ),
    Case(
        "killed for want of memory it says so",
        BASE,
        (container(task=None, exit=ending(137, Reason.OOM_KILLED)),),
        said=Said(ContainerState.EXITED, Reason.OOM_KILLED, exit_code=137),
    ),
    Case(
        "killed by somebody else's signal it is in Error",
        BASE,
        (container(task=None, exit=ending(143, Reason.ERROR)),),
        said=Said(ContainerState.EXITED, Reason.ERROR, exit_code=143),
    ),
    Case(
        "an ended one can't be paused, and that is not tried for ever",
        FROZEN,
        (container(task=None, exit=ending(0)),),
        said=Said(ContainerState.EXITED, Reason.PAUSE_REFUSED, stalled=True, exit_code=0),
    ),
    Case(
        "limits of an ended one need nothing",
        LIMITED,
        (container(task=None, exit=ending(0)),),
        said=Said(ContainerState.EXITED, Reason.COMPLETED, exit_code=0),
    ),
    Case(
        "a process that this agent started and that is gone without an end has vanished",
        BASE,
        (container(task=None, started_at=ago(50)),),
        actions=(RecordExit(ID, vanished=Reason.ERROR),),
    ),
    Case(
        "a process that the status tells of and that is gone without an end has vanished",
        declared(status=status_of(BASE, startedAt="2026-11-22T09:00:00Z")),
        (container(task=None),),
        actions=(RecordExit(ID, vanished=Reason.ERROR),),
    ),
    Case(
        "a process that was being stopped and is gone without an end has vanished",
        BASE,
        (container(task=None, stop=mark()),),
        actions=(RecordExit(ID, vanished=Reason.ERROR),),
    ),
    Case(
        "what the status tells of the process before says nothing of a restart that was cut short",
        declared(status=status_of(BASE, startedAt="2026-11-22T09:00:00Z", restartCount=0)),
        (container(task=None, restarts=1),),
        actions=(StartContainer(ID),),
    ),
    Case(
        "an end that only the status remembers stays an end",
        declared(status=EXITED_0),
        image=present(),
        said=Said(ContainerState.EXITED, Reason.ERROR, with_container=False, exit_code=0),
    ),
    Case(
        "an end that the status remembers, by a stop of the user, is followed by a new start",
        declared(status={**EXITED_0, "stoppedByUser": True}),
        image=present(),
        actions=MAKE,
    ),
    Case(
        "an end of another spec that the status remembers says nothing of this one",
        declared(args=["-v"], status=EXITED_0),
        image=present(declared(args=["-v"])),
        actions=(CreateContainer(), StartContainer(container_id(BASE.uid, declared(args=["-v"]).spec_hash))),
    ),
    Case(
        "a status without an exit code remembers no end",
        declared(status={"state": "Exited", "specHash": BASE.spec_hash}),
        image=present(),
        actions=MAKE,
    ),
)  # fmt: skip
@pytest.mark.feature("L7", "D4")
def test_an_end_is_kept(case: Case) -> None:
    check(case)


@table(
    Case(
        "a stop is asked for with the signal",
        STOPPED,
        (container(),),
        actions=(SignalStop(ID, 15, StopCause.USER),),
        said=STOPPING,
    ),
    Case(
        "the image's stop signal is remembered by the container",
        STOPPED,
        (container(stop_signal=3),),
        actions=(SignalStop(ID, 3, StopCause.USER),),
        said=STOPPING,
    ),
    Case(
        "a stop signal that changed since the start is the one that is sent",
        declared(desiredState="Stopped", stopSignal="SIGUSR1"),
        (container(stop_signal=15),),
        actions=(SignalStop(ID, 10, StopCause.USER),),
        said=STOPPING,
    ),
    Case(
        "without a grace period it is killed at once",
        declared(desiredState="Stopped", terminationGracePeriodSeconds=0),
        (container(),),
        actions=(KillContainer(ID, StopCause.USER),),
        said=STOPPING,
    ),
    Case(
        "within the grace period it is waited for",
        STOPPED,
        (container(stop=mark(seconds_ago=2)),),
        said=replace(STOPPING, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "a signal that was perhaps never sent is sent",
        STOPPED,
        (container(stop=mark(seconds_ago=2), signalled=False),),
        actions=(SignalStop(ID, 15),),
        said=replace(STOPPING, not_before=ago(1)),
    ),
    Case(
        "a longer grace period counts at once",
        declared(desiredState="Stopped", terminationGracePeriodSeconds=60),
        (container(stop=mark(seconds_ago=20)),),
        said=replace(STOPPING, not_before=ago(19)),
        look_again=ahead(40),
    ),
    Case(
        "after the grace period it is killed",
        STOPPED,
        (container(stop=mark(seconds_ago=10)),),
        actions=(KillContainer(ID),),
        said=replace(STOPPING, not_before=ago(9)),
    ),
    Case(
        "after the kill it is waited for",
        STOPPED,
        (container(stop=mark(seconds_ago=11), killed_at=ago(1)),),
        said=replace(STOPPING, not_before=ago(10)),
        look_again=ahead(4),
    ),
    Case(
        "a kill without effect is repeated",
        STOPPED,
        (container(stop=mark(seconds_ago=20), killed_at=ago(5)),),
        actions=(KillContainer(ID),),
        said=replace(STOPPING, not_before=ago(19)),
    ),
    Case(
        "a paused one gets the signal",
        STOPPED,
        (container(task=PAUSED),),
        actions=(SignalStop(ID, 15, StopCause.USER),),
        said=replace(STOPPING, state=ContainerState.PAUSED),
    ),
    Case(
        "and is thawed, so that it can obey",
        STOPPED,
        (container(task=PAUSED, stop=mark(seconds_ago=2)),),
        actions=(ResumeContainer(ID),),
        said=replace(STOPPING, state=ContainerState.PAUSED, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "a process that was made and not started is killed",
        STOPPED,
        (container(task=CREATED),),
        actions=(KillContainer(ID, StopCause.USER),),
        said=replace(STOPPING, state=ContainerState.CREATED),
    ),
    Case(
        "a stop under way ends before anything else, even if the user wants it running again",
        BASE,
        (container(stop=mark(seconds_ago=2)),),
        said=replace(STOPPING, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "a process that was killed before it was started is not started",
        BASE,
        (container(task=CREATED, stop=mark(seconds_ago=2)),),
        actions=(KillContainer(ID),),
        said=replace(STOPPING, state=ContainerState.CREATED, not_before=ago(1)),
    ),
    Case(
        "stopped, it says so",
        STOPPED,
        (container(task=None, stop=mark(), exit=ending(143, Reason.ERROR)),),
        said=Said(ContainerState.EXITED, Reason.STOPPED, exit_code=143),
        forget_failure=True,
    ),
    Case(
        "ended by itself, then stopped: the stop is remembered",
        STOPPED,
        (container(task=None, exit=ending(0)),),
        actions=(RememberStop(ID),),
    ),
    Case(
        "stopped for another reason, then by the user: the user's counts",
        STOPPED,
        (container(task=None, stop=mark(StopCause.RECREATE), exit=ending(0)),),
        actions=(RememberStop(ID),),
    ),
    Case(
        "made and never started, it is stopped as it is",
        STOPPED,
        (container(task=None),),
        said=Said(ContainerState.CREATED, Reason.STOPPED),
        forget_failure=True,
    ),
    Case(
        "stopped by the user and wanted again, it is started again",
        BASE,
        (container(task=None, stop=mark(), exit=ending(143, Reason.ERROR)),),
        actions=(StartContainer(ID, again=Again()),),
    ),
    Case(
        "limits that changed while it was stopped are set before it is started again",
        LIMITED,
        (container(task=None, stop=mark(), exit=ending(0)),),
        actions=(UpdateResources(ID), StartContainer(ID, again=Again())),
    ),
    Case(
        "stopped to be replaced, and the former spec is back: it is started again",
        BASE,
        (container(task=None, stop=mark(StopCause.RECREATE), exit=ending(0)),),
        actions=(StartContainer(ID, again=Again()),),
    ),
    Case(
        "stopped by the user and wanted paused, it is not started for that",
        FROZEN,
        (container(task=None, stop=mark(), exit=ending(0)),),
        said=Said(ContainerState.EXITED, Reason.PAUSE_REFUSED, stalled=True, exit_code=0),
    ),
    Case(
        "stopped to be replaced, and the former spec is back and wants it paused: it is started again first",
        FROZEN,
        (container(task=None, stop=mark(StopCause.RECREATE), exit=ending(0)),),
        actions=(StartContainer(ID, again=Again()),),
    ),
)  # fmt: skip
@pytest.mark.feature("L7")
def test_a_stop_is_carried_out_and_remembered(case: Case) -> None:
    check(case)


def test_what_ended_tells_how() -> None:
    given = Observation((container(task=None, exit=ExitRecord(137, 9, ago(5), False, Reason.ERROR)),))
    facts = plan(BASE, given, NOW).facts
    assert facts is not None
    assert facts.why.message == "the process ended with signal 9"
