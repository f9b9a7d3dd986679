"""The last ends: what a container remembers of them, what its status tells, and that nothing is told twice."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import history, identity
from controller.agent.endings import LAST_OUTPUT
from controller.agent.excerpts import size
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import HISTORY_LENGTH, HISTORY_ROOM, ExitRecord, PastExit
from controller.agent.observation import ObservedContainer, past_ends
from controller.agent.status import difference, summarize
from controller.api.container import ContainerState, ContainerStatus
from controller.api.reasons import Reason
from tests.unit.agent.objects import NODE, NOW, ago, container, declared, ending

MESSAGES = st.builds("".join, st.tuples(st.text(max_size=80), st.just(LAST_OUTPUT), st.text(max_size=2000))) | st.text()
ENDS = st.lists(
    st.builds(
        ExitRecord,
        code=st.integers(0, 255),
        signal=st.none() | st.integers(1, 64),
        finished_at=st.timedeltas(timedelta(0), timedelta(days=90)).map(lambda since: NOW - since),
        oom_killed=st.booleans(),
        reason=st.sampled_from([Reason.COMPLETED, Reason.ERROR, Reason.OOM_KILLED]),
        message=MESSAGES,
    ),
    min_size=1,
    max_size=HISTORY_LENGTH + 2,
)


def shown(current: ObservedContainer, status: ContainerStatus | None = None) -> ContainerStatus:
    stored = {} if status is None else status.model_dump(by_alias=True, mode="json", exclude_none=True)
    facts = Facts(ContainerState.EXITED, Verdict(Reason.ERROR), container=current, exit=current.exit)
    return summarize(declared(status=stored), facts, NODE, NOW)


def restarted(current: ObservedContainer) -> ObservedContainer:
    """As the next agent finds the next run: by the labels alone."""
    label = identity.history_label(history.remembered(past_ends(current)))
    return replace(current, exit=None, history=identity.read_history(label), restarts=current.restarts + 1)


@pytest.mark.feature("L9", "L11")
def test_an_end_is_told_with_all_that_is_known_of_it() -> None:
    record = replace(ending(137, Reason.OOM_KILLED, message="killed; last output:\none"), started_at=ago(65))
    [run] = shown(container(task=None, exit=record, restarts=3)).history
    assert run.model_dump(by_alias=True, mode="json") == {
        "restart": 3,
        "startedAt": "2026-11-22T09:58:55Z",
        "finishedAt": "2026-11-22T09:59:55Z",
        "exitCode": 137,
        "signal": 9,
        "oomKilled": True,
        "reason": "OOMKilled",
        "message": "killed; last output:\none",
    }


@pytest.mark.feature("L9", "L20")
@given(ENDS)
def test_an_end_that_was_told_is_not_told_in_other_words_by_a_restart_or_by_another_agent(
    ends: list[ExitRecord],
) -> None:
    current, status = container(task=None), None
    for record in ends:
        current = replace(current, exit=record)
        status = shown(current, status)
        assert shown(current, status).history == status.history
        remembered = identity.read_exit(identity.exit_label(record))
        assert shown(replace(current, exit=remembered), status).history == status.history
        current = restarted(current)
        after = shown(current, status)
        assert "history" not in difference(status, after)
    assert status is not None
    assert len(status.history) == min(len(ends), HISTORY_LENGTH)
    rooms = zip(status.history, HISTORY_ROOM, strict=False)
    assert all(size(run.message or "") <= room for run, room in rooms)


@given(ENDS)
def test_no_history_is_too_long_for_a_label(ends: list[ExitRecord]) -> None:
    past = tuple(PastExit.of(2**31 - 1, replace(record, message=record.message * 40)) for record in ends)
    [(name, value)] = identity.history_label(history.remembered(past)).items()
    assert len(name.encode()) + len(value.encode()) <= 4096


HOW = "ended with exit code 1"


@pytest.mark.parametrize(
    ("message", "begins", "ends"),
    [
        pytest.param("x" * 3000, "x", "x", id="of a long one without output the beginning is kept"),
        pytest.param(
            HOW + LAST_OUTPUT + "\n".join(f"line {number:03}" for number in range(500)),
            HOW + LAST_OUTPUT + "line ",
            "line 497\nline 498\nline 499",
            id="of the output the last lines are kept",
        ),
        pytest.param("h" * 3000 + LAST_OUTPUT + "o" * 3000, "h" * 150, "o" * 100, id="neither takes all the room"),
    ],
)
def test_the_latest_end_is_told_at_length_and_those_before_in_short(message: str, begins: str, ends: str) -> None:
    past = [replace(PastExit.of(n, ending(1, Reason.ERROR, ago(n))), message=message) for n in range(2)]
    first, second = [one.message for one in history.remembered(past)]
    for kept, room in ((first, HISTORY_ROOM[0]), (second, HISTORY_ROOM[1])):
        assert kept.startswith(begins)
        assert kept.endswith(ends)
        assert room / 2 < size(kept) <= room


def test_a_short_message_is_kept_wherever_it_stands() -> None:
    ends = [PastExit.of(n, ending(1, Reason.ERROR, ago(n), HOW)) for n in range(HISTORY_LENGTH + 1)]
    assert history.remembered(ends) == tuple(ends[:HISTORY_LENGTH])


def test_what_a_former_agent_wrote_is_told_as_far_as_it_goes() -> None:
    label = '[[4, 137, "2026-11-22T09:00:00+00:00", "OOMKilled", null], [3, 1, "2026-11-22T08:00:00+00:00", "Error", "2026-11-22T07:00:00+00:00"]]'
    current = container(restarts=5, history=identity.read_history({identity.HISTORY: label}))
    runs = [run.model_dump(by_alias=True, mode="json", exclude_none=True) for run in shown(current).history]
    assert [run | {"startedAt": ""} for run in runs] == [
        {"restart": 4, "startedAt": "", "finishedAt": "2026-11-22T09:00:00Z", "exitCode": 137, "oomKilled": True, "reason": "OOMKilled"},
        {"restart": 3, "startedAt": "", "finishedAt": "2026-11-22T08:00:00Z", "exitCode": 1, "oomKilled": False, "reason": "Error"},
    ]  # fmt: skip
