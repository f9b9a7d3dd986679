"""What is decided when the spec changes, or can not be acted on."""

from dataclasses import replace

import pytest

from controller.agent.actions import (
    Action,
    AddFinalizer,
    Announcement,
    CheckSuccessor,
    CreateContainer,
    EnsureImage,
    FreeProcess,
    KillContainer,
    RecordExit,
    RemoveContainer,
    SignalStop,
    StartContainer,
)
from controller.agent.identity import StopCause
from controller.agent.observation import Checked, Observation
from controller.agent.plan import plan
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    FOREIGN,
    ID,
    NOW,
    PAUSED,
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
from tests.unit.agent.plan_tables import (
    CHANGED,
    CHANGED_ID,
    INVALID,
    MOVED,
    RECREATED,
    STOPPING,
    Case,
    Said,
    check,
    pending,
    table,
)

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
        "the new one is known to be possible before the old container goes",
        CHANGED,
        (OLD,),
        image=present(CHANGED),
        checked=False,
        actions=(CheckSuccessor(),),
    ),
    Case(
        "so it is for one that has ended, or was stopped by its user",
        CHANGED,
        (replace(OLD, task=None, stop=mark(), exit=ending(0)),),
        image=present(CHANGED),
        checked=False,
        actions=(CheckSuccessor(),),
    ),
    Case(
        "once the stop has begun it is too late to ask",
        CHANGED,
        (replace(OLD, signalled=True, stop=mark(StopCause.RECREATE, 2)),),
        image=present(CHANGED),
        checked=False,
        said=Said(ContainerState.RUNNING, Reason.RECREATING, progressing=True, not_before=ago(1)),
        look_again=ahead(8),
    ),
    Case(
        "while the new one can't be made the old container runs on, and says why",
        CHANGED,
        (OLD,),
        image=present(CHANGED),
        checked=False,
        failure=failure(CHANGED, Reason.USER_NOT_FOUND, None),
        said=Said(ContainerState.RUNNING, Reason.USER_NOT_FOUND, stalled=True),
    ),
    Case(
        "if the node is at fault it is asked again",
        CHANGED,
        (OLD,),
        image=present(CHANGED),
        checked=False,
        failure=failure(CHANGED, Reason.MOUNT_SOURCE_MISSING, None, ahead(20)),
        said=Said(ContainerState.RUNNING, Reason.MOUNT_SOURCE_MISSING, progressing=True),
        look_again=ahead(20),
    ),
    Case(
        "when its time has come",
        CHANGED,
        (OLD,),
        image=present(CHANGED),
        checked=False,
        failure=failure(CHANGED, Reason.MOUNT_SOURCE_MISSING, None, ago(0)),
        actions=(CheckSuccessor(),),
    ),
    Case(
        "an end is written down all the same",
        CHANGED,
        (replace(OLD, task=ended(3)),),
        image=present(CHANGED),
        checked=False,
        failure=failure(CHANGED, Reason.USER_NOT_FOUND, None),
        actions=(RecordExit(ID),),
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
        (replace(OLD, stop=mark(StopCause.RECREATE, 2), signalled=True),),
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
        "the end of one that was stopped for it is written down",
        CHANGED,
        (replace(OLD, task=ended(143), stop=mark(StopCause.RECREATE)),),
        image=present(CHANGED),
        actions=(RecordExit(ID),),
    ),
    Case(
        "then it is removed without more news, and its end kept in the status",
        CHANGED,
        (replace(OLD, task=ended(143), exit=ending(143, Reason.ERROR), stop=mark(StopCause.RECREATE)),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID),),
        said=pending(Reason.RECREATING, progressing=True),
        say_first=True,
    ),
    Case(
        "that its process has vanished is written down too",
        CHANGED,
        (replace(OLD, task=None, started_at=ago(30)),),
        image=present(CHANGED),
        actions=(RecordExit(ID, Reason.ERROR),),
    ),
    Case(
        "one that had ended by itself is removed, with news",
        CHANGED,
        (replace(OLD, task=None, exit=ending(0)),),
        image=present(CHANGED),
        actions=(RemoveContainer(ID, Announcement(Reason.RECREATING, RECREATED)),),
        said=pending(Reason.RECREATING, progressing=True),
        say_first=True,
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
        said=pending(Reason.RECREATING, progressing=True),
        say_first=True,
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


@pytest.mark.feature("D5")
def test_what_was_found_long_ago_is_asked_again() -> None:
    def decided(spec_hash: str, seconds: float) -> tuple[Action, ...]:
        known = Checked(spec_hash, ago(seconds))
        return plan(CHANGED, Observation((OLD,), present(CHANGED), checked=known), NOW).actions

    assert decided(CHANGED.spec_hash, 29) != (CheckSuccessor(),)
    assert decided(CHANGED.spec_hash, 30) == (CheckSuccessor(),)
    assert decided("another spec's", 0) == (CheckSuccessor(),)
