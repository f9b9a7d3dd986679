"""What is decided, as tables: what is declared, what is observed, and the actions and words that follow."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from controller.agent.actions import (
    Action,
    AddFinalizer,
    Announcement,
    CreateContainer,
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
from controller.agent.identity import ExitRecord, StopCause, container_id
from controller.agent.observation import Failure, Observation, ObservedContainer, ObservedImage
from controller.agent.plan import Plan, engine_state, plan
from controller.api.container import FINALIZER, ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    FOREIGN,
    ID,
    NOW,
    OTHER_UID,
    PAUSED,
    RUNNING,
    UNKNOWN,
    ago,
    ahead,
    container,
    declared,
    ended,
    ending,
    failure,
    mark,
    present,
    pulling,
    unavailable,
)

STOPPED = declared(desiredState="Stopped")
FROZEN = declared(desiredState="Paused")
CHANGED = declared(args=["--verbose"], generation=2)
CHANGED_ID = container_id(CHANGED.uid, CHANGED.spec_hash)
INVALID = declared(workingDir="not/absolute")
MOVED = declared(nodeName="node-b")
DELETED = declared(deleting=True)
LIMITED = declared(resources={"limits": {"memory": "64Mi"}})
EXITED_0 = {"state": "Exited", "specHash": BASE.spec_hash, "exitCode": 0, "finishedAt": "2026-11-22T09:00:00Z"}
RECREATED = "changed: args; the container is replaced"


@dataclass(frozen=True)
class Said:
    """What the facts of a plan say."""

    state: ContainerState
    reason: Reason
    ready: bool = False
    progressing: bool = False
    stalled: bool = False
    refused: bool = False
    with_container: bool = True
    exit_code: int | None = None
    not_before: datetime | None = None
    transient: bool = False


@dataclass(frozen=True)
class Case:
    """A row: the sentence is its name."""

    sentence: str
    given: Declared | None
    containers: tuple[ObservedContainer, ...] = ()
    image: ObservedImage | None = None
    failure: Failure | None = None
    lost_at: datetime | None = None
    actions: tuple[Action, ...] = ()
    said: Said | None = None
    look_again: datetime | None = None
    say_first: bool = False
    forget_failure: bool = False

    @property
    def observation(self) -> Observation:
        return Observation(self.containers, self.image, self.failure, self.lost_at)


def saying(decided: Plan) -> Said | None:
    facts = decided.facts
    if facts is None:
        return None
    return Said(
        facts.state,
        facts.why.reason,
        ready=facts.ready,
        progressing=facts.progressing is not None,
        stalled=facts.stalled is not None,
        refused=facts.refused is not None,
        with_container=facts.container is not None,
        exit_code=facts.exit.code if facts.exit is not None else None,
        not_before=facts.publish_after,
        transient=facts.transient,
    )


def check(case: Case) -> None:
    decided = plan(case.given, case.observation, NOW)
    assert decided.actions == case.actions
    assert saying(decided) == case.said
    assert decided.look_again == case.look_again
    assert decided.say_first == case.say_first
    assert decided.forget_failure == case.forget_failure


def table(*cases: Case) -> pytest.MarkDecorator:
    assert len({case.sentence for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.sentence)


def pending(reason: Reason, **more: Any) -> Said:
    return Said(ContainerState.PENDING, reason, with_container=False, **more)


def status_of(given: Declared, **status: Any) -> dict[str, Any]:
    return {"containerID": container_id(given.uid, given.spec_hash), "specHash": given.spec_hash, **status}


MAKE = (CreateContainer(), StartContainer(ID))
VANISHED = Announcement(Reason.CONTAINER_VANISHED, f"container {ID[:12]} is gone from containerd and was made again")
RUNS = Said(ContainerState.RUNNING, Reason.RUNNING, ready=True)
STOPPING = Said(ContainerState.RUNNING, Reason.STOPPING, progressing=True, not_before=ahead(1))


@table(
    Case("a new object first asks for its image", BASE, actions=(EnsureImage(),)),
    Case(
        "a new object without our finalizer gets it before anything is done",
        declared(finalizers=()),
        actions=(AddFinalizer(), EnsureImage()),
    ),
    Case(
        "a foreign finalizer is not ours",
        declared(finalizers=(FOREIGN,)),
        image=present(),
        actions=(AddFinalizer(), *MAKE),
    ),
    Case("with its image there, it is made and started", BASE, image=present(), actions=MAKE),
    Case(
        "an image looked up for another reference does not count",
        declared(image="other:1"),
        image=present(),
        actions=(EnsureImage(),),
    ),
    Case(
        "an image looked up by another policy does not count",
        declared(imagePullPolicy="Always"),
        image=present(),
        actions=(EnsureImage(),),
    ),
    Case(
        "while the image is pulled it waits, and says nothing of a short pull",
        BASE,
        image=pulling(seconds=0.5),
        said=pending(Reason.PULLING, progressing=True, not_before=ahead(0.5), transient=True),
        look_again=ahead(0.5),
    ),
    Case(
        "a long pull is shown, and looked at again every two seconds",
        BASE,
        image=pulling(seconds=30),
        said=pending(Reason.PULLING, progressing=True, not_before=ago(29), transient=True),
        look_again=ahead(2),
    ),
    Case(
        "a failed pull is said, and tried again when its time has come",
        BASE,
        image=unavailable(),
        said=pending(Reason.ERR_IMAGE_PULL, progressing=True),
        look_again=ahead(5),
    ),
    Case(
        "a pull that failed often says that it backs off",
        BASE,
        image=unavailable(reason=Reason.IMAGE_PULL_BACK_OFF),
        said=pending(Reason.IMAGE_PULL_BACK_OFF, progressing=True),
        look_again=ahead(5),
    ),
    Case("a failed pull whose time has come is tried again", BASE, image=unavailable(retry_at=NOW), actions=(EnsureImage(),)),
    Case(
        "an image that may not be pulled is waited for",
        declared(imagePullPolicy="Never"),
        image=unavailable(declared(imagePullPolicy="Never"), Reason.ERR_IMAGE_NEVER_PULL, ahead(60)),
        said=pending(Reason.ERR_IMAGE_NEVER_PULL, progressing=True),
        look_again=ahead(60),
    ),
    Case(
        "nothing is made of an object that is to be stopped",
        STOPPED,
        image=present(),
        said=pending(Reason.STOPPED),
        forget_failure=True,
    ),
    Case(
        "an object that is to be paused is made and started first",
        FROZEN,
        image=present(FROZEN),
        actions=(CreateContainer(), StartContainer(ID)),
    ),
    Case(
        "a container that the status names and containerd lost is made again, with news",
        declared(status=status_of(BASE, state="Running", startedAt="2026-11-22T09:00:00Z")),
        image=present(),
        actions=(CreateContainer(VANISHED), StartContainer(ID)),
    ),
    Case(
        "that the former spec's container is gone is no news",
        declared(args=["-v"], status=status_of(BASE, state="Running")),
        image=present(),
        actions=(CreateContainer(), StartContainer(container_id(BASE.uid, declared(args=["-v"]).spec_hash))),
    ),
)  # fmt: skip
@pytest.mark.feature("L1", "I2")
def test_a_container_is_made(case: Case) -> None:
    check(case)


@table(
    Case("a container that was made and never started is started", BASE, (container(task=None),), actions=(StartContainer(ID),)),
    Case("a process that was made and never started is started", BASE, (container(task=CREATED),), actions=(StartContainer(ID),)),
    Case(
        "limits that changed before the first start are set first",
        LIMITED,
        (container(task=None),),
        actions=(UpdateResources(ID), StartContainer(ID)),
    ),
    Case("a running container needs nothing", BASE, (container(),), said=RUNS),
    Case(
        "a running container whose object lost our finalizer needs nothing until there is something to do",
        declared(finalizers=()),
        (container(),),
        said=RUNS,
    ),
    Case("an adopted one that runs since before this agent needs nothing", BASE, (container(started_at=None),), said=RUNS),
    Case("limits change in the running process", LIMITED, (container(),), actions=(UpdateResources(ID),)),
    Case(
        "limits that changed while it was paused wait for the thaw",
        declared(desiredState="Paused", resources={"limits": {"memory": "64Mi"}}),
        (container(task=PAUSED),),
        said=Said(ContainerState.PAUSED, Reason.PAUSED),
    ),
    Case("another grace period needs nothing now", declared(terminationGracePeriodSeconds=99), (container(),), said=RUNS),
    Case("another stop signal needs nothing now", declared(stopSignal="SIGINT"), (container(),), said=RUNS),
    Case("another pull policy needs nothing now", declared(imagePullPolicy="Always"), (container(),), said=RUNS),
    Case("a running container is paused", FROZEN, (container(),), actions=(PauseContainer(ID),)),
    Case("a paused one stays so", FROZEN, (container(task=PAUSED),), said=Said(ContainerState.PAUSED, Reason.PAUSED)),
    Case("a paused one is thawed", BASE, (container(task=PAUSED),), actions=(ResumeContainer(ID),)),
    Case(
        "a state that containerd does not know is left alone and looked at again",
        BASE,
        (container(task=UNKNOWN),),
        said=Said(ContainerState.UNKNOWN, Reason.PROGRESSING, progressing=True),
        look_again=ahead(5),
    ),
)  # fmt: skip
@pytest.mark.feature("L2", "D5")
def test_a_container_is_started_and_kept(case: Case) -> None:
    check(case)


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
        actions=(RecordExit(ID, vanished=True),),
    ),
    Case(
        "a process that the status tells of and that is gone without an end has vanished",
        declared(status=status_of(BASE, startedAt="2026-11-22T09:00:00Z")),
        (container(task=None),),
        actions=(RecordExit(ID, vanished=True),),
    ),
    Case(
        "a process that was being stopped and is gone without an end has vanished",
        BASE,
        (container(task=None, stop=mark()),),
        actions=(RecordExit(ID, vanished=True),),
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
        actions=(StartContainer(ID, again=True),),
    ),
    Case(
        "limits that changed while it was stopped are set before it is started again",
        LIMITED,
        (container(task=None, stop=mark(), exit=ending(0)),),
        actions=(UpdateResources(ID), StartContainer(ID, again=True)),
    ),
    Case(
        "stopped to be replaced, and the former spec is back: it is started again",
        BASE,
        (container(task=None, stop=mark(StopCause.RECREATE), exit=ending(0)),),
        actions=(StartContainer(ID, again=True),),
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
        actions=(StartContainer(ID, again=True),),
    ),
)  # fmt: skip
@pytest.mark.feature("L7")
def test_a_stop_is_carried_out_and_remembered(case: Case) -> None:
    check(case)


OLD = container()
OTHER_IMAGE = declared(image="registry.example.com/shop/web:1.5", generation=2)


@table(
    Case(
        "the new image is there before the old container goes",
        OTHER_IMAGE,
        (OLD,),
        image=present(),
        actions=(EnsureImage(),),
    ),
    Case(
        "while the new image is pulled the old container runs on",
        OTHER_IMAGE,
        (OLD,),
        image=pulling(OTHER_IMAGE, seconds=30),
        said=Said(ContainerState.RUNNING, Reason.PULLING, progressing=True, not_before=ago(29), transient=True),
        look_again=ahead(2),
    ),
    Case(
        "when the new image can't be had the old container runs on",
        OTHER_IMAGE,
        (OLD,),
        image=unavailable(OTHER_IMAGE),
        said=Said(ContainerState.RUNNING, Reason.ERR_IMAGE_PULL, progressing=True),
        look_again=ahead(5),
    ),
    Case(
        "the running container of the former spec is stopped, with news of what changed",
        CHANGED,
        (OLD,),
        image=present(CHANGED),
        actions=(SignalStop(ID, 15, StopCause.RECREATE, Announcement(Reason.RECREATING, RECREATED)),),
        said=Said(ContainerState.RUNNING, Reason.RECREATING, progressing=True, not_before=ahead(1)),
    ),
    Case(
        "it has its grace period",
        CHANGED,
        (replace(OLD, stop=mark(StopCause.RECREATE, 2)),),
        image=present(CHANGED),
        said=Said(ContainerState.RUNNING, Reason.RECREATING, progressing=True, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "without a grace period it is killed at once, with news",
        declared(args=["--verbose"], terminationGracePeriodSeconds=0),
        (OLD,),
        image=present(CHANGED),
        actions=(KillContainer(ID, StopCause.RECREATE, Announcement(Reason.RECREATING, RECREATED)),),
        said=Said(ContainerState.RUNNING, Reason.RECREATING, progressing=True, not_before=ahead(1)),
    ),
    Case(
        "one that was stopped for it is removed without more news",
        CHANGED,
        (replace(OLD, task=ended(143), stop=mark(StopCause.RECREATE)),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID),),
        said=Said(ContainerState.EXITED, Reason.RECREATING, progressing=True, not_before=ago(1)),
    ),
    Case(
        "one that had ended by itself is removed, with news",
        CHANGED,
        (replace(OLD, task=None, exit=ending(0)),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID, Announcement(Reason.RECREATING, RECREATED)),),
        said=Said(ContainerState.EXITED, Reason.RECREATING, progressing=True, exit_code=0, not_before=ahead(1)),
    ),
    Case(
        "one that was never started is removed",
        CHANGED,
        (replace(OLD, task=CREATED),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID, Announcement(Reason.RECREATING, RECREATED)),),
        said=Said(ContainerState.CREATED, Reason.RECREATING, progressing=True, not_before=ahead(1)),
    ),
    Case(
        "one that is paused is stopped",
        CHANGED,
        (replace(OLD, task=PAUSED),),
        image=present(CHANGED),
        actions=(SignalStop(ID, 15, StopCause.RECREATE, Announcement(Reason.RECREATING, RECREATED)),),
        said=Said(ContainerState.PAUSED, Reason.RECREATING, progressing=True, not_before=ahead(1)),
    ),
    Case(
        "one of which containerd does not know the state is stopped",
        CHANGED,
        (replace(OLD, task=UNKNOWN),),
        image=present(CHANGED),
        actions=(SignalStop(ID, 15, StopCause.RECREATE, Announcement(Reason.RECREATING, RECREATED)),),
        said=Said(ContainerState.UNKNOWN, Reason.RECREATING, progressing=True, not_before=ahead(1)),
    ),
    Case(
        "fields that nobody can name any more are called the spec",
        CHANGED,
        (replace(OLD, fingerprint=dict(CHANGED.fingerprint)),),
        image=present(CHANGED),
        actions=(
            SignalStop(
                ID,
                15,
                StopCause.RECREATE,
                Announcement(Reason.RECREATING, "changed: the spec; the container is replaced"),
            ),
        ),
        said=Said(ContainerState.RUNNING, Reason.RECREATING, progressing=True, not_before=ahead(1)),
    ),
    Case("with the old one gone the new one is made", CHANGED, image=present(CHANGED), actions=(CreateContainer(), StartContainer(CHANGED_ID))),
    Case(
        "an end that comes while the new image is pulled is written down",
        OTHER_IMAGE,
        (replace(OLD, task=ended(3)),),
        image=pulling(OTHER_IMAGE, seconds=30),
        actions=(RecordExit(ID),),
        said=Said(ContainerState.EXITED, Reason.PULLING, progressing=True, not_before=ago(29), transient=True),
        look_again=ahead(2),
    ),
    Case(
        "and its process freed",
        OTHER_IMAGE,
        (replace(OLD, task=ended(3), exit=ending(3, Reason.ERROR)),),
        image=unavailable(OTHER_IMAGE),
        actions=(FreeProcess(ID),),
        said=Said(ContainerState.EXITED, Reason.ERR_IMAGE_PULL, progressing=True, exit_code=3),
        look_again=ahead(5),
    ),
    Case(
        "changed and stopped: it is stopped, and not replaced",
        declared(args=["--verbose"], desiredState="Stopped"),
        (OLD,),
        actions=(SignalStop(ID, 15, StopCause.USER),),
        said=STOPPING,
    ),
    Case(
        "changed while stopped: it is kept until it is wanted",
        declared(args=["--verbose"], desiredState="Stopped"),
        (replace(OLD, task=None, stop=mark(), exit=ending(0)),),
        said=Said(ContainerState.EXITED, Reason.STOPPED, exit_code=0),
        forget_failure=True,
    ),
    Case(
        "changed while stopped and wanted again: it is replaced",
        CHANGED,
        (replace(OLD, task=None, stop=mark(), exit=ending(0)),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID),),
        said=Said(ContainerState.EXITED, Reason.RECREATING, progressing=True, exit_code=0, not_before=ago(1)),
    ),
    Case(
        "a failure of the former spec says nothing of this one",
        CHANGED,
        image=present(CHANGED),
        failure=failure(),
        actions=(CreateContainer(), StartContainer(CHANGED_ID)),
    ),
    Case(
        "without our finalizer it is put on first",
        declared(args=["--verbose"], finalizers=(FOREIGN,)),
        (OLD,),
        actions=(AddFinalizer(), EnsureImage()),
    ),
)  # fmt: skip
@pytest.mark.feature("D5")
def test_a_changed_spec_replaces_the_container_once(case: Case) -> None:
    check(case)


REFUSED = Said(
    ContainerState.PENDING, Reason.INVALID_SPEC, stalled=True, refused=True, with_container=False
)  # fmt: skip


@table(
    Case("nothing is made of it", INVALID, image=present(), said=REFUSED),
    Case("its finalizer is not asked for", declared(workingDir="x", finalizers=()), said=REFUSED),
    Case(
        "what runs already goes on",
        INVALID,
        (container(),),
        said=replace(REFUSED, state=ContainerState.RUNNING, with_container=True),
    ),
    Case(
        "what was made is not started",
        INVALID,
        (container(task=None),),
        said=replace(REFUSED, state=ContainerState.CREATED, with_container=True),
    ),
    Case(
        "a process that was made is not started",
        INVALID,
        (container(task=CREATED),),
        said=replace(REFUSED, state=ContainerState.CREATED, with_container=True),
    ),
    Case(
        "an end is written down all the same",
        INVALID,
        (container(task=ended(3)),),
        actions=(RecordExit(ID),),
        said=replace(REFUSED, state=ContainerState.EXITED, with_container=True),
    ),
    Case(
        "and said",
        INVALID,
        (container(task=ended(3), exit=ending(3, Reason.ERROR)),),
        actions=(FreeProcess(ID),),
        said=replace(REFUSED, state=ContainerState.EXITED, with_container=True, exit_code=3),
    ),
    Case(
        "what was stopped is not started again",
        INVALID,
        (container(task=None, stop=mark(), exit=ending(0)),),
        said=replace(REFUSED, state=ContainerState.EXITED, with_container=True, exit_code=0),
    ),
    Case(
        "another node's name is refused",
        MOVED,
        (container(),),
        said=replace(REFUSED, state=ContainerState.RUNNING, reason=Reason.NODE_CHANGED, with_container=True),
    ),
    Case(
        "an image that is no reference is refused",
        declared(image="Web:1"),
        said=replace(REFUSED, reason=Reason.INVALID_IMAGE_NAME),
    ),
    Case(
        "deleted, it is torn down like any other",
        declared(workingDir="x", deleting=True),
        (container(grace_seconds=77, stop=mark(StopCause.REMOVE, 2)),),
        said=Said(ContainerState.REMOVING, Reason.REMOVING, progressing=True, with_container=False, not_before=ago(1)),
        look_again=ahead(75),
    ),
)
@pytest.mark.feature("D2")
def test_an_invalid_object_starts_nothing(case: Case) -> None:
    check(case)


def test_a_condition_holds_only_so_many_broken_rules() -> None:
    many = declared(env=[{"name": "", "value": "x"} for _ in range(1000)])
    facts = plan(many, Observation(), NOW).facts
    assert facts is not None
    assert facts.why.message.startswith("spec.env[0].name: ")
    assert facts.why.message.endswith("and 992 more")


REMOVING = Said(ContainerState.REMOVING, Reason.REMOVING, progressing=True, with_container=False, not_before=ahead(1))


@table(
    Case("without a container the finalizer goes", DELETED, actions=(RemoveFinalizer(),)),
    Case("without a container and our finalizer there is nothing to do", declared(deleting=True, finalizers=(FOREIGN,))),
    Case("the finalizer goes also when the spec is invalid", declared(deleting=True, workingDir="x"), actions=(RemoveFinalizer(),)),
    Case("a pull under way does not hold it up", DELETED, image=pulling(), actions=(RemoveFinalizer(),)),
    Case("a failure does not hold it up", DELETED, failure=failure(), actions=(RemoveFinalizer(),)),
    Case("a running one is stopped", DELETED, (container(),), actions=(SignalStop(ID, 15, StopCause.REMOVE),), said=REMOVING),
    Case(
        "with the spec's signal",
        declared(deleting=True, stopSignal="SIGINT"),
        (container(),),
        actions=(SignalStop(ID, 2, StopCause.REMOVE),),
        said=REMOVING,
    ),
    Case(
        "without a grace period it is killed",
        declared(deleting=True, terminationGracePeriodSeconds=0),
        (container(),),
        actions=(KillContainer(ID, StopCause.REMOVE),),
        said=REMOVING,
    ),
    Case(
        "it has its grace period",
        DELETED,
        (container(stop=mark(StopCause.REMOVE, 2)),),
        said=replace(REMOVING, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "after that it is killed",
        DELETED,
        (container(stop=mark(StopCause.REMOVE, 20)),),
        actions=(KillContainer(ID),),
        said=replace(REMOVING, not_before=ago(19)),
    ),
    Case("a paused one is stopped", DELETED, (container(task=PAUSED),), actions=(SignalStop(ID, 15, StopCause.REMOVE),), said=REMOVING),
    Case(
        "one in an unknown state is stopped",
        DELETED,
        (container(task=UNKNOWN),),
        actions=(SignalStop(ID, 15, StopCause.REMOVE),),
        said=REMOVING,
    ),
    Case("an ended one is removed", DELETED, (container(task=ended(0)),), actions=(RemoveContainer(ID),), said=REMOVING),
    Case("one that was freed is removed", DELETED, (container(task=None, exit=ending(0)),), actions=(RemoveContainer(ID),), said=REMOVING),
    Case("one that was not started is removed", DELETED, (container(task=CREATED),), actions=(RemoveContainer(ID),), said=REMOVING),
    Case("one without a process is removed", DELETED, (container(task=None),), actions=(RemoveContainer(ID),), said=REMOVING),
    Case("one of another spec is removed", declared(args=["-v"], deleting=True), (container(task=None),), actions=(RemoveContainer(ID),), said=REMOVING),
    Case(
        "one that the user had stopped is removed",
        declared(deleting=True, desiredState="Stopped"),
        (container(task=None, stop=mark(), exit=ending(0)),),
        actions=(RemoveContainer(ID),),
        said=replace(REMOVING, not_before=ago(1)),
    ),
    Case(
        "two are removed together",
        DELETED,
        (container(task=None), container(CHANGED)),
        actions=(RemoveContainer(ID), SignalStop(CHANGED_ID, 15, StopCause.REMOVE)),
        said=REMOVING,
    ),
)  # fmt: skip
@pytest.mark.feature("D6")
def test_a_deleted_object_is_torn_down(case: Case) -> None:
    check(case)


PUBLISHED = {"containerID": ID, "specHash": BASE.spec_hash, "state": "Running"}
WITHDRAWN = Said(ContainerState.PENDING, Reason.RECREATING, progressing=True, with_container=False)


@table(
    Case(
        "before a deleted object's container goes",
        declared(deleting=True, status=PUBLISHED),
        (container(task=None, stop=mark()),),
        actions=(RemoveContainer(ID),),
        said=replace(REMOVING, not_before=None),
        say_first=True,
    ),
    Case(
        "not by a write of its own when it is out already",
        declared(deleting=True, status={"state": "Removing"}),
        (container(task=None, stop=mark()),),
        actions=(RemoveContainer(ID),),
        said=replace(REMOVING, not_before=ago(1)),
    ),
    Case(
        "before a container is replaced",
        declared(args=["--verbose"], status=PUBLISHED),
        (container(task=ended(3), exit=ending(3, Reason.ERROR), stop=mark(StopCause.RECREATE)),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID),),
        said=WITHDRAWN,
        say_first=True,
    ),
    Case(
        "before one goes that could not be started",
        declared(status=PUBLISHED),
        (container(task=None),),
        failure=failure(),
        actions=(RemoveContainer(ID),),
        said=replace(WITHDRAWN, reason=Reason.COMMAND_NOT_FOUND),
        say_first=True,
    ),
    Case(
        "not while it is only being stopped",
        declared(args=["--verbose"], status=PUBLISHED),
        (container(stop=mark(StopCause.RECREATE, 2)),),
        image=present(CHANGED),
        said=Said(ContainerState.RUNNING, Reason.RECREATING, progressing=True, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "when a deleted object's container has gone by itself",
        declared(deleting=True, finalizers=(FINALIZER, FOREIGN), status=PUBLISHED),
        actions=(RemoveFinalizer(),),
        said=replace(REMOVING, not_before=None),
        say_first=True,
    ),
    Case(
        "also when somebody else's finalizer keeps the object",
        declared(deleting=True, finalizers=(FOREIGN,), status=PUBLISHED),
        said=replace(REMOVING, not_before=None),
    ),
)
@pytest.mark.feature("L5")
def test_an_id_is_taken_out_of_the_status(case: Case) -> None:
    check(case)


@table(
    Case("of nothing, nothing is left to do", None),
    Case("a running one is stopped", None, (container(),), actions=(SignalStop(ID, 15, StopCause.REMOVE),)),
    Case("by the grace period that it remembers", None, (container(grace_seconds=0),), actions=(KillContainer(ID, StopCause.REMOVE),)),
    Case("and is waited for", None, (container(stop=mark(seconds_ago=2)),), look_again=ahead(8)),
    Case("a paused one is stopped", None, (container(task=PAUSED),), actions=(SignalStop(ID, 15, StopCause.REMOVE),)),
    Case("one in an unknown state is stopped", None, (container(task=UNKNOWN),), actions=(SignalStop(ID, 15, StopCause.REMOVE),)),
    Case("a created one is removed", None, (container(task=CREATED),), actions=(RemoveContainer(ID),)),
    Case("an ended one is removed", None, (container(task=ended(1)),), actions=(RemoveContainer(ID),)),
    Case("one without a process is removed", None, (container(task=None),), actions=(RemoveContainer(ID),)),
    Case(
        "the first of several deadlines is the next look",
        None,
        (container(stop=mark(seconds_ago=2)), container(CHANGED, stop=mark(seconds_ago=5))),
        look_again=ahead(5),
    ),
)  # fmt: skip
@pytest.mark.feature("D6")
def test_a_container_without_an_object_goes(case: Case) -> None:
    check(case)


SUCCESSOR = declared(uid=OTHER_UID)
WAITING = pending(Reason.PROGRESSING, progressing=True, not_before=ahead(1))


@table(
    Case("a running one is stopped first", SUCCESSOR, (container(),), actions=(SignalStop(ID, 15, StopCause.REMOVE),), said=WAITING),
    Case(
        "that it is in the way is said after a while",
        SUCCESSOR,
        (container(stop=mark(StopCause.REMOVE, 3)),),
        said=replace(WAITING, not_before=ago(2)),
        look_again=ahead(7),
    ),
    Case("an ended one is removed first", SUCCESSOR, (container(task=ended(0)),), actions=(RemoveContainer(ID),), said=WAITING),
    Case("a paused one is stopped first", SUCCESSOR, (container(task=PAUSED),), actions=(SignalStop(ID, 15, StopCause.REMOVE),), said=WAITING),
    Case("a created one is removed first", SUCCESSOR, (container(task=CREATED),), actions=(RemoveContainer(ID),), said=WAITING),
    Case(
        "only the stranger goes when both are there",
        SUCCESSOR,
        (container(task=None), container(SUCCESSOR)),
        actions=(RemoveContainer(ID),),
        said=WAITING,
    ),
    Case(
        "it goes also when its successor is invalid",
        declared(uid=OTHER_UID, workingDir="x"),
        (container(task=None),),
        actions=(RemoveContainer(ID),),
        said=WAITING,
    ),
    Case(
        "it goes also when its successor is deleted",
        declared(uid=OTHER_UID, deleting=True),
        (container(task=None),),
        actions=(RemoveContainer(ID),),
        said=WAITING,
    ),
)  # fmt: skip
@pytest.mark.feature("D6", "L3")
def test_an_earlier_object_of_the_name_goes_first(case: Case) -> None:
    check(case)


@table(
    Case(
        "the one of this spec is kept",
        BASE,
        (container(CHANGED, created_at=ago(1)), container()),
        actions=(SignalStop(CHANGED_ID, 15, StopCause.REMOVE),),
        said=Said(ContainerState.RUNNING, Reason.REMOVING, progressing=True),
    ),
    Case(
        "of two former ones the younger is kept",
        declared(args=["a third"]),
        (container(created_at=ago(100)), container(CHANGED, task=None, created_at=ago(50))),
        actions=(SignalStop(ID, 15, StopCause.REMOVE),),
        said=Said(ContainerState.CREATED, Reason.REMOVING, progressing=True),
    ),
    Case(
        "one whose age nobody knows is the older one",
        declared(args=["a third"]),
        (container(created_at=ago(100)), container(CHANGED, task=None, created_at=None)),
        actions=(RemoveContainer(CHANGED_ID),),
        said=Said(ContainerState.RUNNING, Reason.REMOVING, progressing=True),
    ),
)
def test_of_several_containers_one_stays(case: Case) -> None:
    check(case)


FAILED = Said(ContainerState.EXITED, Reason.COMMAND_NOT_FOUND, stalled=True, with_container=False, exit_code=127)
UNFIT = failure(reason=Reason.RUNTIME_MISSING, exit_code=128, retry_at=ahead(30))


@table(
    Case("what is left of a first start is removed", BASE, (container(task=None),), failure=failure(), actions=(RemoveContainer(ID),), said=Said(ContainerState.CREATED, Reason.COMMAND_NOT_FOUND, progressing=True)),
    Case("then it stands until the spec changes", BASE, image=present(), failure=failure(), said=FAILED),
    Case(
        "without an exit code it is Pending",
        BASE,
        image=present(),
        failure=failure(reason=Reason.USER_NOT_FOUND, exit_code=None),
        said=pending(Reason.USER_NOT_FOUND, stalled=True),
    ),
    Case(
        "one that may pass is Pending until the next try",
        BASE,
        image=present(),
        failure=UNFIT,
        said=pending(Reason.RUNTIME_MISSING, progressing=True, exit_code=128),
        look_again=ahead(30),
    ),
    Case("and then tried again", BASE, image=present(), failure=replace(UNFIT, retry_at=NOW), actions=MAKE),
    Case("that of an earlier object of the name is none of this one's", SUCCESSOR, image=present(), failure=failure(), actions=(CreateContainer(), StartContainer(container_id(OTHER_UID, BASE.spec_hash)))),
    Case(
        "what the status said of one that may pass does not keep it from being tried again",
        declared(status={"state": "Pending", "exitCode": 128, "finishedAt": "2026-11-22T09:00:00Z", "specHash": BASE.spec_hash}),
        image=present(),
        failure=replace(UNFIT, retry_at=NOW),
        actions=MAKE,
    ),
    Case(
        "a failed start of a container that ran before keeps it",
        BASE,
        (container(task=None, restarts=1),),
        failure=failure(),
        said=replace(FAILED, with_container=True),
    ),
    Case(
        "one that may pass is shown as what it is",
        BASE,
        (container(task=None, restarts=1),),
        failure=UNFIT,
        said=Said(ContainerState.CREATED, Reason.RUNTIME_MISSING, progressing=True, exit_code=128),
        look_again=ahead(30),
    ),
    Case(
        "and is started when its time has come",
        BASE,
        (container(task=None, restarts=1),),
        failure=replace(UNFIT, retry_at=NOW),
        actions=(StartContainer(ID),),
    ),
    Case(
        "one that failed before anything changed keeps the end before",
        BASE,
        (container(task=None, stop=mark(), exit=ending(0)),),
        failure=failure(reason=Reason.CREATE_ERROR, exit_code=None, retry_at=ahead(1)),
        said=Said(ContainerState.EXITED, Reason.CREATE_ERROR, progressing=True, exit_code=0),
        look_again=ahead(1),
    ),
    Case(
        "an agent that knows the status only lets it stand",
        declared(
            status={
                "state": "Exited",
                "specHash": BASE.spec_hash,
                "exitCode": 127,
                "finishedAt": "2026-11-22T09:00:00Z",
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "CommandNotFound", "message": "no such command"},
                    {"type": "Stalled", "status": "True", "reason": "CommandNotFound"},
                ],
            }
        ),
        image=present(),
        said=FAILED,
    ),
    Case(
        "an agent that knows the status only lets a failed restart stand",
        declared(
            status=status_of(
                BASE, state="Exited", exitCode=127, finishedAt="2026-11-22T09:00:00Z", restartCount=1,
                conditions=[
                    {"type": "Ready", "status": "False", "reason": "CommandNotFound", "message": "no such command"},
                    {"type": "Stalled", "status": "True", "reason": "CommandNotFound"},
                ],
            )
        ),
        (container(task=None, restarts=1),),
        said=replace(FAILED, with_container=True),
    ),
    Case(
        "a reason that this agent does not know is shown as an error",
        declared(
            status={**EXITED_0, "conditions": [{"type": "Ready", "status": "False", "reason": "FromTheFuture"}]}
        ),
        said=Said(ContainerState.EXITED, Reason.ERROR, with_container=False, exit_code=0),
    ),
    Case(
        "a stop forgets the failure",
        STOPPED,
        (container(task=None, restarts=1),),
        failure=failure(),
        said=Said(ContainerState.CREATED, Reason.STOPPED),
        forget_failure=True,
    ),
)  # fmt: skip
@pytest.mark.feature("L4")
def test_a_failed_start_has_its_consequence(case: Case) -> None:
    check(case)


AWAY = Said(ContainerState.UNKNOWN, Reason.CONTAINERD_UNAVAILABLE, progressing=True)
AWAY_WITHOUT = replace(AWAY, state=ContainerState.PENDING, with_container=False)


@table(
    Case("for a while nothing is said of it", BASE, (container(),), lost_at=ago(5), look_again=ahead(15)),
    Case("then it is said of what was seen last", BASE, (container(),), lost_at=ago(20), said=AWAY),
    Case("and of what was never made", BASE, lost_at=ago(20), said=AWAY_WITHOUT),
    Case("nothing is torn down", DELETED, (container(task=None),), lost_at=ago(20), said=AWAY),
    Case("not even what nobody wants", None, (container(task=None),), lost_at=ago(20)),
    Case("a predecessor's container is not the object's", SUCCESSOR, (container(),), lost_at=ago(20), said=AWAY_WITHOUT),
    Case(
        "the end that is written down is kept",
        BASE,
        (container(task=None, exit=ending(3, Reason.ERROR)),),
        lost_at=ago(20),
        said=replace(AWAY, exit_code=3),
    ),
    Case("an end that only the status knows is left in it", declared(status=EXITED_0), lost_at=ago(20)),
    Case(
        "what is invalid stays so",
        INVALID,
        lost_at=ago(20),
        said=replace(AWAY_WITHOUT, refused=True),
    ),
)  # fmt: skip
def test_without_containerd_nothing_is_done(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("current", "state"),
    [
        (None, ContainerState.PENDING),
        (container(task=None), ContainerState.CREATED),
        (container(task=CREATED), ContainerState.CREATED),
        (container(), ContainerState.RUNNING),
        (container(task=PAUSED), ContainerState.PAUSED),
        (container(task=UNKNOWN), ContainerState.UNKNOWN),
        (container(task=ended()), ContainerState.EXITED),
        (container(task=None, exit=ending()), ContainerState.EXITED),
        (container(task=RUNNING, exit=ending()), ContainerState.RUNNING),
    ],
)
def test_the_engines_word(current: ObservedContainer | None, state: ContainerState) -> None:
    assert engine_state(current) is state


def test_what_ended_tells_how() -> None:
    given = Observation((container(task=None, exit=ExitRecord(137, 9, ago(5), False, Reason.ERROR)),))
    facts = plan(BASE, given, NOW).facts
    assert facts is not None
    assert facts.why.message == "the process ended with signal 9"


def test_the_base_is_as_the_tables_take_it_to_be() -> None:
    assert BASE.ours
    assert BASE.finalizers == (FINALIZER,)
    assert {STOPPED.spec_hash, FROZEN.spec_hash, LIMITED.spec_hash} == {BASE.spec_hash}
    assert INVALID.spec is None
    assert MOVED.spec is None
