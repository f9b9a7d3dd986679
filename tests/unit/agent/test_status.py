"""Facts become a status: conditions, times, and the smallest patch."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause
from controller.agent.observation import ImagePhase, ObservedContainer, ObservedImage
from controller.agent.status import MAX_MESSAGE, difference, summarize
from controller.api.conditions import Condition, ConditionStatus, ConditionType
from controller.api.container import ContainerState, ContainerStatus, PullProgress
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    ID,
    NODE,
    NOW,
    PID,
    ago,
    container,
    declared,
    ended,
    ending,
    mark,
    present,
)
from tests.unit.agent.world import merge_patch

WHY = Verdict(Reason.RUNNING)
RUNS = Facts(ContainerState.RUNNING, WHY, ready=True, container=container(started_at=ago(50)))


def said(facts: Facts, **changes: Any) -> ContainerStatus:
    return summarize(declared(**changes), facts, NODE, NOW)


def truths(status: ContainerStatus) -> dict[str, str]:
    return {condition.type.value: condition.status.value for condition in status.conditions}


TRUTHS: dict[str, tuple[Facts, dict[str, str]]] = {
    "running as declared": (
        RUNS,
        {"Ready": "True", "Reconciling": "False", "Stalled": "False", "Accepted": "True", "ImageReady": "True"},
    ),
    "waiting for the image": (
        Facts(
            ContainerState.PENDING,
            Verdict(Reason.PULLING),
            progressing=Verdict(Reason.PULLING),
            image=ObservedImage("x", ImagePhase.PULLING),
        ),
        {"Ready": "False", "Reconciling": "True", "Stalled": "False", "Accepted": "True", "ImageReady": "False"},
    ),
    "without an image that can be had": (
        Facts(
            ContainerState.PENDING,
            Verdict(Reason.ERR_IMAGE_PULL),
            progressing=Verdict(Reason.ERR_IMAGE_PULL),
            image=ObservedImage("x", ImagePhase.FAILED, reason=Reason.ERR_IMAGE_PULL),
        ),
        {"Ready": "False", "Reconciling": "True", "Stalled": "False", "Accepted": "True", "ImageReady": "False"},
    ),
    "stuck with its image there": (
        Facts(ContainerState.EXITED, WHY, stalled=Verdict(Reason.COMMAND_NOT_FOUND), image=present()),
        {"Ready": "False", "Reconciling": "False", "Stalled": "True", "Accepted": "True", "ImageReady": "True"},
    ),
    "refused before anything is known of its image": (
        Facts(
            ContainerState.PENDING,
            Verdict(Reason.INVALID_SPEC),
            stalled=Verdict(Reason.INVALID_SPEC),
            refused=Verdict(Reason.INVALID_SPEC),
        ),
        {"Ready": "False", "Reconciling": "False", "Stalled": "True", "Accepted": "False"},
    ),
    "ended": (
        Facts(ContainerState.EXITED, Verdict(Reason.COMPLETED), container=container(task=None), exit=ending()),
        {"Ready": "False", "Reconciling": "False", "Stalled": "False", "Accepted": "True", "ImageReady": "True"},
    ),
}


@pytest.mark.feature("D4")
@pytest.mark.parametrize(("facts", "expected"), TRUTHS.values(), ids=TRUTHS.keys())
def test_each_condition_has_its_polarity(facts: Facts, expected: dict[str, str]) -> None:
    assert truths(said(facts)) == expected


@pytest.mark.feature("D4")
def test_every_condition_tells_what_it_was_computed_from() -> None:
    status = said(RUNS, generation=7)
    assert status.observed_generation == 7
    assert {condition.observed_generation for condition in status.conditions} == {7}


def test_only_ready_says_why_all_of_it_is_so() -> None:
    facts = replace(RUNS, why=Verdict(Reason.RUNNING, "it runs"))
    reasons = {condition.type: (condition.reason, condition.message) for condition in said(facts).conditions}
    assert reasons[ConditionType.READY] == ("Running", "it runs")
    assert reasons[ConditionType.RECONCILING] == ("Settled", "")
    assert reasons[ConditionType.ACCEPTED] == ("Valid", "")
    assert reasons[ConditionType.IMAGE_READY] == ("Unpacked", "")


def test_a_transition_time_is_kept_until_the_status_changes() -> None:
    before = said(RUNS).conditions
    earlier = [c.model_copy(update={"last_transition_time": ago(500)}) for c in before]
    stored = {"conditions": [c.model_dump(by_alias=True, mode="json", exclude_none=True) for c in earlier]}
    same = {c.type: c for c in said(RUNS, status=stored).conditions}
    assert {c.last_transition_time for c in same.values()} == {ago(500)}
    now_unready = {c.type: c for c in said(replace(RUNS, ready=False), status=stored).conditions}
    assert now_unready[ConditionType.READY].last_transition_time == NOW.replace(microsecond=0)
    assert now_unready[ConditionType.STALLED].last_transition_time == ago(500)


def test_a_long_message_is_cut() -> None:
    status = said(replace(RUNS, why=Verdict(Reason.ERROR, "x" * 100_000)))
    assert len(status.conditions[0].message) == MAX_MESSAGE


def test_a_running_container_is_told_of() -> None:
    status = said(RUNS)
    assert status.container_id == ID
    assert status.image_id == "sha256:0123"
    assert status.node_name == NODE
    assert status.runtime_name == "runc"
    assert status.pid == PID
    assert status.restart_count == 0
    assert status.spec_hash == BASE.spec_hash
    assert status.created_at == ago(60).replace(microsecond=0)
    assert status.started_at == ago(50).replace(microsecond=0)
    assert (status.exit_code, status.signal, status.finished_at, status.oom_killed) == (None, None, None, None)


def test_times_are_whole_seconds() -> None:
    facts = Facts(
        ContainerState.EXITED,
        WHY,
        container=container(task=None, started_at=ago(9)),
        exit=ending(),
        image=ObservedImage("x", ImagePhase.PULLING, started_at=ago(3)),
    )
    status = said(facts)
    assert status.pull is not None
    moments = [status.created_at, status.started_at, status.finished_at, status.pull.started_at]
    moments += [condition.last_transition_time for condition in status.conditions]
    assert all(moment is not None and moment.microsecond == 0 for moment in moments)


@pytest.mark.feature("L7")
@pytest.mark.parametrize(
    ("code", "signal", "reason", "oom"),
    [
        (0, None, Reason.COMPLETED, False),
        (3, None, Reason.ERROR, False),
        (143, 15, Reason.ERROR, False),
        (137, 9, Reason.OOM_KILLED, True),
    ],
)
def test_an_end_is_told_of(code: int, signal: int | None, reason: Reason, oom: bool) -> None:
    status = said(Facts(ContainerState.EXITED, WHY, container=container(task=None), exit=ending(code, reason)))
    assert (status.exit_code, status.signal, status.oom_killed) == (code, signal, oom)
    assert status.finished_at == ago(5).replace(microsecond=0)
    assert status.pid is None


@pytest.mark.parametrize("current", [container(), container(task=CREATED)])
def test_the_end_before_is_no_news_of_what_runs(current: ObservedContainer) -> None:
    status = said(Facts(ContainerState.RUNNING, WHY, container=current, exit=ending(3, Reason.ERROR)))
    assert (status.exit_code, status.finished_at) == (None, None)
    assert status.pid == PID


def test_an_ended_process_has_no_pid() -> None:
    assert said(Facts(ContainerState.EXITED, WHY, container=container(task=ended(3)))).pid is None


@pytest.mark.feature("L7")
def test_a_stop_by_the_user_is_told_of_when_it_is_done() -> None:
    stopped = container(task=None, stop=mark())
    assert said(Facts(ContainerState.EXITED, WHY, container=stopped)).stopped_by_user is True
    assert said(Facts(ContainerState.RUNNING, WHY, container=container(stop=mark()))).stopped_by_user is None
    other = container(task=None, stop=mark(StopCause.RECREATE))
    assert said(Facts(ContainerState.EXITED, WHY, container=other)).stopped_by_user is None


@pytest.mark.feature("L5")
@pytest.mark.parametrize("state", ContainerState)
def test_no_id_is_told_without_a_container(state: ContainerState) -> None:
    stored = {"containerID": ID, "imageID": "sha256:0123", "pid": 5, "runtimeName": "runc", "state": "Running"}
    status = said(Facts(state, WHY, exit=ending()), status=stored)
    assert (status.container_id, status.image_id, status.pid, status.runtime_name) == (None, None, None, None)


START = "2026-11-22T09:00:00Z"


@pytest.mark.parametrize(
    ("status", "facts", "known"),
    [
        pytest.param(
            {"containerID": ID, "startedAt": START},
            Facts(ContainerState.RUNNING, WHY, container=container()),
            True,
            id="an agent that did not see the start keeps what the status says",
        ),
        pytest.param(
            {"containerID": "another", "startedAt": START},
            Facts(ContainerState.RUNNING, WHY, container=container()),
            False,
            id="the start of another container is not this one's",
        ),
        pytest.param(
            {"containerID": ID, "startedAt": START, "restartCount": 0},
            Facts(ContainerState.RUNNING, WHY, container=container(restarts=1)),
            False,
            id="the start before a restart is not this one's",
        ),
        pytest.param(
            {"startedAt": START, "finishedAt": "2026-11-22T09:59:55Z", "state": "Exited"},
            Facts(ContainerState.EXITED, WHY, exit=ending()),
            True,
            id="an end that only the status remembers keeps its start",
        ),
        pytest.param(
            {"startedAt": START, "finishedAt": "2026-11-22T09:30:00Z", "state": "Exited"},
            Facts(ContainerState.EXITED, WHY, exit=ending()),
            False,
            id="a start that failed has no start before its end",
        ),
    ],
)
def test_the_start_belongs_to_its_process(status: dict[str, Any], facts: Facts, known: bool) -> None:
    assert (said(facts, status=status).started_at is not None) is known


def test_restarts_are_counted_by_the_container_and_kept_by_the_status() -> None:
    assert said(Facts(ContainerState.RUNNING, WHY, container=container(restarts=3))).restart_count == 3
    assert said(Facts(ContainerState.EXITED, WHY), status={"restartCount": 3}).restart_count == 3


def test_the_hash_is_that_of_what_ran() -> None:
    other = declared(args=["other"])
    facts = Facts(ContainerState.RUNNING, WHY, container=container())
    assert summarize(other, facts, NODE, NOW).spec_hash == BASE.spec_hash
    failed = Facts(ContainerState.EXITED, WHY, exit=ending(127, Reason.COMMAND_NOT_FOUND))
    assert summarize(other, failed, NODE, NOW).spec_hash == other.spec_hash
    assert summarize(other, Facts(ContainerState.PENDING, WHY), NODE, NOW).spec_hash is None


@pytest.mark.feature("I1")
def test_a_pull_shows_how_far_it_has_come() -> None:
    image = ObservedImage("x", ImagePhase.PULLING, received_bytes=5, total_bytes=9, started_at=ago(3))
    assert said(Facts(ContainerState.PENDING, WHY, image=image)).pull == PullProgress(
        received_bytes=5, total_bytes=9, started_at=ago(3).replace(microsecond=0)
    )
    assert said(replace(RUNS, image=present())).pull is None


# --- the patch ----------------------------------------------------------------------------------------------------------


def test_nothing_is_written_when_nothing_changed() -> None:
    first = said(RUNS)
    stored = first.model_dump(by_alias=True, mode="json", exclude_none=True)
    assert difference(first, summarize(declared(status=stored), RUNS, NODE, NOW + timedelta(hours=1))) == {}


def test_only_what_changed_is_written() -> None:
    before = said(RUNS)
    after = before.model_copy(update={"pid": 9})
    assert difference(before, after) == {"pid": 9}


@pytest.mark.feature("L5")
def test_what_is_gone_is_written_as_null() -> None:
    before = said(RUNS)
    patch = difference(before, said(Facts(ContainerState.PENDING, Verdict(Reason.PROGRESSING))))
    for name in ("containerID", "imageID", "pid", "startedAt", "createdAt", "specHash", "runtimeName"):
        assert patch[name] is None


MOMENTS = st.sampled_from([ago(seconds).replace(microsecond=0) for seconds in (0, 60, 3600)])
MAYBE_TEXT = st.none() | st.text(max_size=5)
MAYBE_NUMBER = st.none() | st.integers(0, 255)
STATUSES = st.builds(
    ContainerStatus,
    observed_generation=MAYBE_NUMBER,
    state=st.sampled_from(ContainerState),
    container_id=MAYBE_TEXT,
    pid=MAYBE_NUMBER,
    exit_code=MAYBE_NUMBER,
    finished_at=st.none() | MOMENTS,
    stopped_by_user=st.none() | st.booleans(),
    pull=st.none() | st.builds(PullProgress, received_bytes=st.integers(0, 9), started_at=st.none() | MOMENTS),
    conditions=st.lists(
        st.builds(
            Condition,
            type=st.sampled_from(ConditionType),
            status=st.sampled_from(ConditionStatus),
            reason=st.just("Running"),
            message=st.text(max_size=5),
            last_transition_time=st.none() | MOMENTS,
        ),
        max_size=2,
    ),
)


def as_stored(status: ContainerStatus) -> dict[str, Any]:
    return status.model_dump(by_alias=True, mode="json", exclude_none=True)


@given(STATUSES, STATUSES)
def test_the_patch_makes_the_new_status_of_the_old_one(before: ContainerStatus, after: ContainerStatus) -> None:
    patch = difference(before, after)
    assert merge_patch(as_stored(before), patch) == as_stored(after)
    assert (patch == {}) is (as_stored(before) == as_stored(after))
