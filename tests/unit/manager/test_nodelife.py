"""When a node is lost or gone, and what follows for its Containers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.manager import records
from controller.manager.nodelife import LONGEST_DURATION, Beat, Heartbeats, Life, Phase, Step, life, step
from tests.unit.manager.objects import bound, container, node, running, taint

LISTS = 5.0
RELEASE_AFTER = 300.0
FENCED = taint("node.kubernetes.io/out-of-service")
MOVES: dict[str, Any] = {"reschedule": "WhenNodeGone"}
LOST_STATUS = {
    **running("node-a"),
    "state": "Unknown",
    "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeLost"}],
}
RESET_STATUS = {"state": "Pending", "conditions": [{"type": "Ready", "status": "False", "reason": "Rescheduled"}]}


def _heard(*lists: tuple[float, str | None], names: tuple[str, ...] = ("node-a",), duration: float = 40) -> Heartbeats:
    """Heartbeats after lists at these times, in which the node's Lease had this version (None: there was none)."""
    made = Heartbeats(LISTS)
    for at, version in lists:
        made.listed({} if version is None else {"node-a": Beat(version, duration)}, names, at)
    return made


def _every(seconds: float, version: str | None, *, start: float = 0.0, until: float) -> list[tuple[float, str | None]]:
    return [(start + seconds * number, version) for number in range(int((until - start) / seconds) + 1)]


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("lists", "silent_for"),
    [
        pytest.param([], None, id="nothing was listed yet"),
        pytest.param([(0, "1")], None, id="seen for the first time, however old it may be"),
        pytest.param(_every(5, "1", until=35), None, id="unchanged for less than its duration"),
        pytest.param(_every(5, "1", until=40), 0.0, id="unchanged for its duration"),
        pytest.param(_every(5, "1", until=60), 20.0, id="unchanged for longer"),
        pytest.param([*_every(5, "1", until=35), (40, "2")], None, id="renewed at the last moment"),
        pytest.param([*_every(5, "1", until=60), (65, "2")], None, id="renewed after it was silent"),
        pytest.param(_every(5, None, until=35), None, id="without a Lease for less than the usual duration"),
        pytest.param(_every(5, None, until=45), 5.0, id="without a Lease for longer"),
        pytest.param(
            [*_every(5, "1", until=60), (65, None)], None, id="its Lease was deleted, perhaps after it was renewed"
        ),
        pytest.param(
            [*_every(5, "1", until=60), *_every(5, None, start=65, until=110)],
            5.0,
            id="its Lease was deleted, and it makes no other",
        ),
        pytest.param([*_every(5, None, until=35), (40, "1")], None, id="its Lease has come"),
        pytest.param([(0, "1"), (5, "1"), (95, "1")], None, id="a time in which nobody could list counts for nobody"),
        pytest.param(
            [(0, "1"), *_every(5, "1", start=95, until=130)], None, id="and the duration begins anew after it"
        ),
        pytest.param([(0, "1"), *_every(5, "1", start=95, until=135)], 0.0, id="and ends"),
    ],
)
def test_how_long_a_node_has_been_silent(lists: list[tuple[float, str | None]], silent_for: float | None) -> None:
    heard = _heard(*lists)
    assert heard.silent_for("node-a") == silent_for
    assert heard.silent() == (frozenset() if silent_for is None else {"node-a"})


def test_a_lease_says_itself_how_long_it_may_not_change() -> None:
    assert _heard(*_every(5, "1", until=20), duration=10).silent_for("node-a") == 10
    lists = _every(5, "1", until=LONGEST_DURATION)
    assert _heard(*lists, duration=1e9).silent_for("node-a") == 0


def test_a_lease_that_was_deleted_may_be_missing_for_as_long_as_it_might_not_have_changed() -> None:
    heard = _heard((0, "1"), (5, None), (10, None), duration=10)
    assert heard.silent_for("node-a") is None
    heard.listed({}, ("node-a",), 15)
    assert heard.silent_for("node-a") == 0


def test_a_lease_that_is_missing_when_it_is_asked_for_is_news_once() -> None:
    heard = _heard(*_every(5, "1", until=60))
    heard.heard("node-a", None, 61)
    assert heard.silent_for("node-a") is None
    for at in range(65, 101, 5):
        heard.heard("node-a", None, at)
        heard.listed({}, ("node-a",), at)
        assert heard.silent_for("node-a") is None
    heard.listed({}, ("node-a",), 105)
    assert heard.silent_for("node-a") == 4


def test_a_short_lease_does_not_end_in_a_short_outage() -> None:
    lists = [(0, "1"), (5, "1"), (14, "1")]
    assert _heard(*lists, duration=12).silent_for("node-a") is None
    assert _heard(*lists, (19, "1"), (24, "1"), (29, "1"), duration=12).silent_for("node-a") == 3


def test_a_node_is_known_by_its_lease_alone_and_forgotten_with_it() -> None:
    heard = _heard(*_every(5, "1", until=40), names=())
    assert heard.silent() == {"node-a"}
    heard.listed({}, (), 45)
    assert heard.silent() == frozenset()
    assert heard.listed_at == 45


@given(st.lists(st.tuples(st.floats(0.1, 10), st.booleans()), min_size=1, max_size=60))
def test_a_node_is_silent_no_sooner_than_its_duration_after_it_was_heard(pauses: list[tuple[float, bool]]) -> None:
    heard, now, version, changed_at = Heartbeats(LISTS), 0.0, 0, 0.0
    for pause, renewed in pauses:
        now += pause
        if renewed or version == 0:
            version, changed_at = version + 1, now
        heard.listed({"node-a": Beat(str(version), 40)}, (), now)
        assert (heard.silent_for("node-a") is not None) == (now - changed_at - 40 >= 0)


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("body", "silent_for", "expected"),
    [
        pytest.param(node(), None, Life(Phase.ALIVE), id="it is heard of"),
        pytest.param(node(), 7.0, Life(Phase.LOST, 7.0), id="it is silent"),
        pytest.param(node(taints=(FENCED,)), 7.0, Life(Phase.GONE, 7.0), id="it is silent, and out of service"),
        pytest.param(node(taints=(FENCED,)), None, Life(Phase.ALIVE), id="out of service, and yet heard of"),
        pytest.param(None, 7.0, Life(Phase.GONE, 7.0), id="its object was deleted, and it is silent"),
        pytest.param(
            None, None, Life(Phase.UNDECIDED), id="its object was deleted, and it may be made anew at any moment"
        ),
    ],
)
def test_what_a_node_is_in(body: dict[str, Any] | None, silent_for: float | None, expected: Life) -> None:
    assert life(None if body is None else records.node(body), silent_for) == expected


ALIVE, LOST, GONE = Life(Phase.ALIVE), Life(Phase.LOST, 10), Life(Phase.GONE, 10)
LONG_LOST, UNDECIDED = Life(Phase.LOST, RELEASE_AFTER), Life(Phase.UNDECIDED)
DELETED = bound("web", "node-a", deleting=True)
MOVABLE = bound("web", "node-a", **MOVES)


@pytest.mark.feature("K2", "D6")
@pytest.mark.parametrize(
    ("body", "now", "expected"),
    [
        pytest.param(bound("web", "node-a"), ALIVE, None, id="its node lives"),
        pytest.param(bound("web", "node-a"), UNDECIDED, None, id="its node may be about to register"),
        pytest.param(bound("web", "node-a"), LOST, Step.MARK, id="its node is lost"),
        pytest.param(bound("web", "node-a"), GONE, Step.MARK, id="its node is gone, and it may not be moved"),
        pytest.param(bound("web", "node-a", status=None), LOST, Step.MARK, id="it was never seen there"),
        pytest.param(bound("web", "node-a", status=LOST_STATUS), LOST, None, id="it says so already"),
        pytest.param(
            bound("web", "node-a", status=LOST_STATUS), ALIVE, None, id="its node is back: the agent says the rest"
        ),
        pytest.param(
            bound("web", "node-a", status={**running("node-a"), "state": "Unknown"}),
            LOST,
            Step.MARK,
            id="its state was unknown for another reason",
        ),
        pytest.param(MOVABLE, LOST, Step.MARK, id="movable, and its node is only lost"),
        pytest.param(MOVABLE, LONG_LOST, Step.MARK, id="movable, and its node is lost for however long"),
        pytest.param(MOVABLE, ALIVE, None, id="movable, and its node lives"),
        pytest.param(MOVABLE, GONE, Step.RESET, id="movable, and its node is gone"),
        pytest.param(
            bound("web", "node-a", status=LOST_STATUS, **MOVES), GONE, Step.RESET, id="the same after it was marked"
        ),
        pytest.param(
            bound("web", "node-a", status=RESET_STATUS, **MOVES), GONE, Step.REBIND, id="and after it was reset"
        ),
        pytest.param(
            bound("web", "node-a", status=RESET_STATUS, **MOVES), ALIVE, None, id="its node came back just in time"
        ),
        pytest.param(container(node="node-a", **MOVES), GONE, Step.RESET, id="movable, and never seen on its node"),
        pytest.param(DELETED, ALIVE, None, id="deleted: its agent's work"),
        pytest.param(DELETED, LOST, Step.MARK, id="deleted, and its node is lost for a short time"),
        pytest.param(DELETED, LONG_LOST, Step.RELEASE, id="deleted, and its node is lost for long"),
        pytest.param(DELETED, GONE, Step.RELEASE, id="deleted, and its node is gone"),
        pytest.param(
            bound("web", "node-a", deleting=True, **MOVES),
            GONE,
            Step.RELEASE,
            id="deleted, and movable: nothing is moved",
        ),
        pytest.param(
            bound("web", "node-a", deleting=True, finalizers=("other",), status=LOST_STATUS),
            GONE,
            None,
            id="deleted, and held by others only",
        ),
    ],
)
def test_what_is_done_next(body: dict[str, Any], now: Life, expected: Step | None) -> None:
    assert step(records.container(body), now, RELEASE_AFTER) == expected


def test_whoever_writes_a_status_that_was_marked_is_not_quarrelled_with() -> None:
    record = records.container(bound("web", "node-a"))
    assert step(record, LOST, RELEASE_AFTER, {"uid-web"}) is None
    assert step(record, LOST, RELEASE_AFTER, {"uid-other"}) is Step.MARK


@given(
    st.sampled_from([ALIVE, LOST, LONG_LOST, UNDECIDED]),
    st.booleans(),
    st.sampled_from([None, LOST_STATUS, RESET_STATUS]),
)
def test_nothing_is_moved_before_its_node_is_gone(now: Life, deleting: bool, status: Any) -> None:
    body = bound("web", "node-a", deleting=deleting, status=status, **MOVES)
    assert step(records.container(body), now, RELEASE_AFTER) not in (Step.RESET, Step.REBIND)


@given(st.sampled_from([ALIVE, LOST, LONG_LOST, GONE, UNDECIDED]), st.sampled_from([None, LOST_STATUS, RESET_STATUS]))
def test_nothing_is_moved_that_its_user_does_not_want_moved(now: Life, status: Any) -> None:
    assert step(records.container(bound("web", "node-a", status=status)), now, RELEASE_AFTER) in (None, Step.MARK)
