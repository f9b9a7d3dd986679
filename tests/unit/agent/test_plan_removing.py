"""What is decided when an object goes, or has gone, and when containerd has."""

from dataclasses import replace

import pytest

from controller.agent.actions import (
    KillContainer,
    RemoveContainer,
    RemoveFinalizer,
    SignalStop,
)
from controller.agent.identity import StopCause
from controller.api.container import FINALIZER, ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    FOREIGN,
    ID,
    OTHER_UID,
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
)
from tests.unit.agent.plan_tables import (
    CHANGED,
    CHANGED_ID,
    DELETED,
    EXITED_0,
    INVALID,
    REMOVING,
    SUCCESSOR,
    Case,
    Said,
    check,
    pending,
    table,
)


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
