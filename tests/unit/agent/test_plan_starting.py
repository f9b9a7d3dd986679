"""What is decided for a container on its way to Running: image, creation, start, and what follows from a failure."""

from dataclasses import replace

import pytest

from controller.agent.actions import (
    AddFinalizer,
    CreateContainer,
    DeleteObject,
    EnsureImage,
    PauseContainer,
    RemoveContainer,
    ResumeContainer,
    StartContainer,
    UpdateResources,
)
from controller.agent.identity import container_id
from controller.agent.observation import ObservedContainer
from controller.agent.plan import engine_state
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
from tests.unit.agent.plan_tables import (
    EXITED_0,
    FROZEN,
    INVALID,
    LIMITED,
    MAKE,
    MOVED,
    RUNS,
    STOPPED,
    SUCCESSOR,
    VANISHED,
    Case,
    Said,
    check,
    pending,
    status_of,
    table,
)


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
        said=pending(Reason.PROGRESSING, progressing=True),
        say_first=True,
    ),
    Case(
        "that the former spec's container is gone is no news",
        declared(args=["-v"], status=status_of(BASE, state="Running")),
        image=present(),
        actions=(CreateContainer(), StartContainer(container_id(BASE.uid, declared(args=["-v"]).spec_hash))),
        said=pending(Reason.PROGRESSING, progressing=True),
        say_first=True,
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


FAILED = Said(ContainerState.EXITED, Reason.COMMAND_NOT_FOUND, stalled=True, with_container=False, exit_code=127)
UNFIT = failure(reason=Reason.RUNTIME_MISSING, exit_code=128, retry_at=ahead(30))
BRIEF = declared(autoRemove=True)
NOBODY = failure(BRIEF, Reason.USER_NOT_FOUND, exit_code=None)


@pytest.mark.feature("L12")
@table(
    Case(
        "what can't be made goes once its status has said why",
        BRIEF,
        image=present(),
        failure=NOBODY,
        actions=(DeleteObject(),),
        said=pending(Reason.USER_NOT_FOUND, stalled=True),
        say_first=True,
    ),
    Case(
        "so does what could not be started",
        BRIEF,
        image=present(),
        failure=failure(BRIEF),
        actions=(DeleteObject(),),
        said=FAILED,
        say_first=True,
    ),
    Case(
        "what may yet be made stays",
        BRIEF,
        image=present(),
        failure=replace(NOBODY, reason=Reason.NODE_UNFIT, retry_at=ahead(30)),
        said=pending(Reason.NODE_UNFIT, progressing=True),
        look_again=ahead(30),
    ),
    Case(
        "what was never accepted stays, for its user to mend",
        BRIEF,
        image=present(),
        failure=replace(NOBODY, reason=Reason.INVALID_SPEC),
        said=pending(Reason.INVALID_SPEC, stalled=True, refused=True),
    ),
    Case(
        "so does what the policy forbids",
        BRIEF,
        image=present(),
        failure=replace(NOBODY, reason=Reason.POLICY_FORBIDDEN, retry_at=ahead(30)),
        said=pending(Reason.POLICY_FORBIDDEN, stalled=True, refused=True),
        look_again=ahead(30),
    ),
    Case(
        "and one that is to be Paused, for it was not to run",
        declared(autoRemove=True, desiredState="Paused"),
        image=present(),
        failure=NOBODY,
        said=pending(Reason.USER_NOT_FOUND, stalled=True),
    ),
)
def test_with_auto_remove_what_can_never_run_goes(case: Case) -> None:
    check(case)


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


def test_the_base_is_as_the_tables_take_it_to_be() -> None:
    assert BASE.ours
    assert BASE.finalizers == (FINALIZER,)
    assert {STOPPED.spec_hash, FROZEN.spec_hash, LIMITED.spec_hash} == {BASE.spec_hash}
    assert INVALID.spec is None
    assert MOVED.spec is None
