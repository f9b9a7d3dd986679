"""What is remembered of things that could not be done to a container, and for how long."""

from dataclasses import replace
from datetime import timedelta

import pytest

from controller.agent import troubles
from controller.agent.actions import (
    Action,
    AddFinalizer,
    CreateContainer,
    EnsureImage,
    FreeProcess,
    KillContainer,
    PauseContainer,
    RecordExit,
    RemoveContainer,
    RemoveFinalizer,
    ResumeContainer,
    SignalStop,
    UpdateResources,
)
from controller.agent.identity import StopCause
from controller.agent.observation import Observation, Trouble
from controller.agent.plan import plan
from controller.agent.removal import TearDownError
from controller.agent.troubles import TroubleBook
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.containerd.errors import ContainerdError
from tests.unit.agent.objects import BASE, ID, KEY, NOW, PAUSED, RUNNING, ago, ahead, container, declared
from tests.unit.agent.plan_tables import DELETED, FROZEN, LIMITED

PAUSE = PauseContainer(ID)
REFUSED = "OCI runtime pause failed: unable to freeze: unknown"
QUOTA = 'failed to write "100": write /sys/fs/cgroup/cpu/x/cpu.cfs_quota_us: invalid argument: unknown'


def failed(text: str = REFUSED) -> ContainerdError:
    return ContainerdError("Tasks.Pause", text)


@pytest.mark.feature("L8")
@pytest.mark.parametrize(
    ("action", "text", "reason", "says"),
    [
        (PAUSE, REFUSED, Reason.PAUSE_ERROR, "could not be frozen: OCI runtime pause failed: unable to freeze"),
        (ResumeContainer(ID), "no", Reason.RESUME_ERROR, "could not be thawed: no"),
        (UpdateResources(ID), "no", Reason.UPDATE_ERROR, "the former ones stay in force: no"),
        (
            UpdateResources(ID),
            QUOTA,
            Reason.LIMIT_NOT_PERMITTED,
            "the kernel refused a resource limit (cpu.cfs_quota_us",
        ),
        (SignalStop(ID, 15, StopCause.USER), "no", Reason.STOP_ERROR, "the stop signal could not be sent: no"),
        (KillContainer(ID), "no", Reason.STOP_ERROR, "SIGKILL could not be sent: no"),
        (FreeProcess(ID), "no", Reason.REMOVE_ERROR, "could not be released: no"),
        (
            KillContainer(ID),
            "fork/exec /no/runc: no such file",
            Reason.RUNTIME_MISSING,
            "OCI runtime /no/runc is not on",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
)
def test_what_could_not_be_done_has_a_reason(action: Action, text: str, reason: Reason, says: str) -> None:
    book = TroubleBook()
    noted = book.note(BASE, action, failed(text), NOW)
    assert noted is not None
    assert (noted.action, noted.reason, noted.since) == (action, reason, NOW)
    assert says in noted.message
    assert book.of(KEY) == (noted,)


def test_a_removal_tells_of_all_that_could_not_be_released() -> None:
    problems: list[ContainerdError] = [failed("busy"), errors.Unavailable("Snapshots.Remove", "away")]
    noted = TroubleBook().note(BASE, RemoveContainer(ID), TearDownError(ID, problems), NOW)
    assert noted is not None
    assert (noted.reason, noted.message) == (Reason.REMOVE_ERROR, "the container could not be removed: busy; away")


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (PAUSE, errors.Unavailable("Tasks.Pause", "away")),
        (PAUSE, errors.DeadlineExceeded("Tasks.Pause", "late")),
        (PAUSE, ValueError("a defect")),
        (RemoveContainer(ID), TearDownError(ID, [errors.Unavailable("Tasks.Delete", "away")])),
        (EnsureImage(), failed()),
        (RecordExit(ID), failed()),
        (CreateContainer(), failed()),
        (AddFinalizer(), failed()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_says_nothing_about_the_container_is_for_the_queue(action: Action, error: Exception) -> None:
    book = TroubleBook()
    assert book.note(BASE, action, error, NOW) is None
    assert book.of(KEY) == ()


def test_waits_grow_to_a_cap_and_begin_anew_with_another_spec_and_after_a_success() -> None:
    book = TroubleBook()

    def wait(generation: int = 1) -> timedelta:
        noted = book.note(declared(generation=generation), PAUSE, failed(), NOW)
        assert noted is not None
        return noted.retry_at - NOW

    waits = [wait() for _ in range(20)]
    assert [one / troubles.FIRST_BACKOFF for one in waits[:4]] == [1, 2, 4, 8]
    assert waits[-1] == troubles.LAST_BACKOFF
    assert wait(generation=2) == troubles.FIRST_BACKOFF
    assert wait(generation=2) == 2 * troubles.FIRST_BACKOFF
    book.succeeded(KEY, PAUSE)
    assert book.of(KEY) == ()
    assert wait(generation=2) == troubles.FIRST_BACKOFF


def test_nothing_is_remembered_of_what_is_gone() -> None:
    book = TroubleBook()
    book.note(BASE, PAUSE, failed(), NOW)
    book.note(BASE, RemoveContainer(ID), failed(), NOW)
    book.succeeded(KEY, EnsureImage())
    assert len(book.of(KEY)) == 2
    book.succeeded(KEY, RemoveFinalizer())
    assert book.of(KEY) == ()


TROUBLE = Trouble(PAUSE, 1, Reason.PAUSE_ERROR, "it failed", ago(3), ahead(2))


@pytest.mark.feature("L8")
def test_the_next_try_waits_and_the_status_says_why() -> None:
    decided = plan(FROZEN, Observation((container(),), troubles=(TROUBLE,)), NOW)
    assert (decided.actions, decided.look_again) == ((), ahead(2))
    facts = decided.facts
    assert facts is not None
    assert (facts.state, facts.why.reason, facts.ready) == (ContainerState.RUNNING, Reason.PAUSE_ERROR, False)
    assert (facts.progressing, facts.stalled) == (facts.why, None)
    assert facts.publish_after == ago(2), "what passes soon is not worth a write"


@pytest.mark.parametrize(
    "trouble",
    [
        replace(TROUBLE, retry_at=NOW),
        replace(TROUBLE, generation=2),
        replace(TROUBLE, action=ResumeContainer(ID)),
        replace(TROUBLE, action=PauseContainer("other")),
    ],
    ids=["its time has come", "another spec", "another action", "another container"],
)
def test_it_is_tried_again(trouble: Trouble) -> None:
    assert plan(FROZEN, Observation((container(),), troubles=(trouble,)), NOW).actions == (PAUSE,)


def test_a_trouble_that_nobody_wants_any_more_is_not_spoken_of() -> None:
    seen = Observation((container(),))
    assert plan(BASE, replace(seen, troubles=(TROUBLE,)), NOW) == plan(BASE, seen, NOW)


def test_refused_resources_do_not_hinder_a_pause() -> None:
    update = replace(TROUBLE, action=UpdateResources(ID))
    both = declared(desiredState="Paused", resources={"limits": {"memory": "64Mi"}})
    assert plan(both, Observation((container(),)), NOW).actions == (UpdateResources(ID), PAUSE)
    assert plan(both, Observation((container(),), troubles=(update,)), NOW).actions == (PAUSE,)
    assert plan(LIMITED, Observation((container(),), troubles=(update,)), NOW).actions == ()


def test_a_removal_that_failed_keeps_the_object() -> None:
    stuck = replace(TROUBLE, action=RemoveContainer(ID), reason=Reason.REMOVE_ERROR)
    decided = plan(DELETED, Observation((container(task=None),), troubles=(stuck,)), NOW)
    assert decided.actions == ()
    assert decided.facts is not None
    assert (decided.facts.state, decided.facts.why.reason) == (ContainerState.REMOVING, Reason.REMOVE_ERROR)


@pytest.mark.feature("L8")
def test_nothing_is_paused_where_there_is_no_freezer() -> None:
    decided = plan(FROZEN, Observation((container(),), has_freezer=False), NOW)
    assert (decided.actions, decided.look_again) == ((), None)
    facts = decided.facts
    assert facts is not None
    assert (facts.state, facts.why.reason, facts.ready) == (ContainerState.RUNNING, Reason.PAUSE_REFUSED, False)
    assert (facts.progressing, facts.stalled) == (None, facts.why)


@pytest.mark.feature("L8")
def test_what_needs_no_freezer_is_done_without_one() -> None:
    without = Observation((container(),), has_freezer=False)
    for given in (BASE, LIMITED, DELETED, declared(desiredState="Stopped")):
        assert plan(given, without, NOW) == plan(given, replace(without, has_freezer=True), NOW)
    frozen = Observation((container(task=PAUSED),), has_freezer=False)
    assert plan(BASE, frozen, NOW).actions == (ResumeContainer(ID),)
    assert plan(FROZEN, Observation((container(task=RUNNING),)), NOW).actions == (PAUSE,)
