"""What is decided when the node does not let it be done: the decision waits, nothing else is touched, and the status says why."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from controller.agent.actions import (
    Action,
    AddFinalizer,
    FreeProcess,
    RecordExit,
    RememberStop,
    RemoveContainer,
    UpdateResources,
)
from controller.agent.declared import Declared
from controller.agent.hindrances import LOST_AGAIN
from controller.agent.observation import Checked, Observation, ObservedContainer, ObservedTask
from controller.agent.plan import plan
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    ID,
    NOW,
    OTHER_UID,
    PAUSED,
    RUNNING,
    UNKNOWN,
    ago,
    container,
    declared,
    ended,
    ending,
    mark,
    present,
)
from tests.unit.agent.plan_tables import (
    CHANGED,
    DELETED,
    FROZEN,
    INVALID,
    LIMITED,
    STOPPED,
    without_run,
)

GONE = {"runc": "/usr/sbin/runc"}
ALWAYS = declared(restartPolicy={"name": "Always"})
STATES = (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.CREATED, ContainerState.EXITED)
IS_RUNNING, IS_PAUSED, IS_CREATED, HAS_EXITED = STATES
IS_UNKNOWN, IS_GOING = ContainerState.UNKNOWN, ContainerState.REMOVING


@dataclass(frozen=True)
class Row:
    """One container whose runtime is gone: what is still done, and what is said."""

    sentence: str
    given: Declared | None
    task: ObservedTask | None
    state: ContainerState
    says: str
    actions: tuple[Action, ...] = ()
    ready: bool = False
    waits: bool = True
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def container(self) -> ObservedContainer:
        return container(task=self.task, **dict(self.more))


EXITED = ("exit", ending(3, Reason.ERROR, message="it ended with 3"))
UNTIL = "until it is installed again"
ROWS = [
    Row("what runs goes on, and says so", BASE, RUNNING, IS_RUNNING, "the process runs on", ready=True, waits=False),
    Row("what is frozen stays so", FROZEN, PAUSED, IS_PAUSED, "the process is frozen", waits=False),
    Row("what has ended stays", BASE, None, HAS_EXITED, "it ended with 3; OCI runtime runc", waits=False, more=(EXITED,)),
    Row("what was stopped can be removed, not started", STOPPED, None, HAS_EXITED, "can be removed, but not started",
        waits=False, more=(EXITED, ("stop", mark()))),
    Row("a stop waits, and says what can be done by hand", STOPPED, RUNNING, IS_RUNNING, "process 4711 of the node"),
    Row("so does SIGKILL", STOPPED, RUNNING, IS_RUNNING, "can't be stopped", more=(("stop", mark(seconds_ago=60)),)),
    Row("a pause waits", FROZEN, RUNNING, IS_RUNNING, "can't be paused"),
    Row("a thaw waits", BASE, PAUSED, IS_PAUSED, "can't be resumed"),
    Row("other limits wait", LIMITED, RUNNING, IS_RUNNING, "can't be given other resources"),
    Row("a start waits", BASE, None, IS_CREATED, "can't be started"),
    Row("a start that was cut short waits", BASE, CREATED, IS_CREATED, "can't be started"),
    Row("limits are kept for a start that waits", LIMITED, None, IS_CREATED, "can't be started", (UpdateResources(ID),)),
    Row("a start after a stop waits", BASE, None, HAS_EXITED, "can't be started", more=(EXITED, ("stop", mark()))),
    Row("a restart by policy waits", ALWAYS, None, HAS_EXITED, "can't be started",
        more=(("exit", ending(3, Reason.ERROR, at=ago(900))),)),
    Row("an end is recorded", BASE, ended(3), HAS_EXITED, "", (RecordExit(ID),), waits=False),
    Row("an ended process stays, for the runtime remembers it", BASE, ended(3), HAS_EXITED, "can't be started again",
        more=(("exit", ending(3, Reason.ERROR)),)),
    Row("a stop of what has ended is remembered", STOPPED, None, HAS_EXITED, "", (RememberStop(ID),), waits=False, more=(EXITED,)),
    Row("an ended one is removed with its object", DELETED, ended(3), IS_GOING, "", (RemoveContainer(ID),), waits=False),
    Row("so is one without a process", DELETED, None, IS_GOING, "", (RemoveContainer(ID),), waits=False),
    Row("a deleted object waits while its process runs", DELETED, RUNNING, IS_GOING, "can't be stopped"),
    Row("one that was made and not started is not removed", DELETED, CREATED, IS_GOING, "can't be removed"),
    Row("one of which containerd does not know the state is not stopped", DELETED, UNKNOWN, IS_GOING, "can't be stopped"),
    Row("a changed spec waits while the old process runs", CHANGED, RUNNING, IS_RUNNING, "can't be stopped"),
    Row("a missing finalizer is put on", declared(desiredState="Stopped", finalizers=()), RUNNING, IS_RUNNING,
        "can't be stopped", (AddFinalizer(),)),
]  # fmt: skip


@pytest.mark.feature("L18")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.sentence)
def test_a_container_whose_runtime_is_gone(row: Row) -> None:
    assert row.given is not None
    decided = plan(
        row.given,
        Observation(
            (row.container,), present(row.given), missing_runtimes=GONE, checked=Checked(row.given.spec_hash, NOW)
        ),
        NOW,
    )
    assert tuple(map(without_run, decided.actions)) == row.actions
    if not row.says:
        return
    facts = decided.facts
    assert facts is not None
    assert (facts.state, facts.why.reason, facts.ready) == (row.state, Reason.RUNTIME_MISSING, row.ready)
    assert row.says in facts.why.message
    assert "OCI runtime runc (/usr/sbin/runc) is gone from this node" in facts.why.message
    assert UNTIL in facts.why.message
    assert facts.progressing == (facts.why if row.waits else None)
    assert facts.stalled is None
    assert decided.look_again is None


@pytest.mark.feature("L18")
def test_other_runtimes_make_no_difference() -> None:
    for given, task in ((BASE, RUNNING), (STOPPED, RUNNING), (DELETED, PAUSED), (BASE, ended(3))):
        alone = Observation((container(task=task),))
        assert plan(given, replace(alone, missing_runtimes={"crun": "crun"}), NOW) == plan(given, alone, NOW)


@pytest.mark.feature("L18")
def test_of_an_orphan_too_only_what_has_ended_is_removed() -> None:
    left = (container(task=ended(3)), container(declared(uid=OTHER_UID), RUNNING))
    decided = plan(None, Observation(left, missing_runtimes=GONE), NOW)
    assert decided.actions == (RemoveContainer(ID),)


@pytest.mark.feature("L18")
def test_a_refused_spec_is_said_before_a_missing_runtime() -> None:
    facts = plan(INVALID, Observation((container(),), missing_runtimes=GONE), NOW).facts
    assert facts is not None
    assert facts.why.reason is Reason.INVALID_SPEC


LOST = container(task=None, started_at=ago(60))


@pytest.mark.feature("L18", "L15")
@pytest.mark.parametrize("runtimes", [{}, GONE], ids=["the runtime is there", "the runtime is gone"])
@pytest.mark.parametrize(
    ("given", "state"),
    [(BASE, IS_UNKNOWN), (STOPPED, IS_UNKNOWN), (ALWAYS, IS_UNKNOWN), (CHANGED, IS_UNKNOWN), (DELETED, IS_GOING)],
    ids=["running", "stopped", "always", "changed", "deleted"],
)
def test_a_process_that_containerd_has_lost_is_not_taken_for_ended(
    given: Declared, state: ContainerState, runtimes: dict[str, str]
) -> None:
    seen = Observation(
        (LOST,), present(given), missing_runtimes=runtimes, lost=frozenset({ID}), checked=Checked(given.spec_hash, NOW)
    )
    decided = plan(given, seen, NOW)
    assert decided.actions == ()
    assert decided.look_again == NOW + LOST_AGAIN
    assert decided.facts is not None
    assert decided.facts.state is state
    assert decided.facts.why.reason is (Reason.RUNTIME_MISSING if runtimes else Reason.PROCESS_LOST)
    assert "restart containerd" in decided.facts.why.message


def test_an_ended_process_without_a_task_is_freed_without_its_runtime() -> None:
    """A shim may be left that only a deletion ends; there is nothing in it that needs the runtime."""
    left = container(task=None, exit=ending(3, Reason.ERROR), shim_unsure=True)
    assert plan(BASE, Observation((left,), missing_runtimes=GONE), NOW).actions == (FreeProcess(ID),)
