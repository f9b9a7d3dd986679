"""Labels are the node's memory: what is written is read again, and what others write does no harm."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import identity
from controller.agent.declared import Declared
from controller.agent.identity import ExitRecord, PastExit, StopCause, StopMark
from controller.agent.observation import Observation
from controller.agent.observed import from_records
from controller.agent.plan import plan
from controller.agent.status import difference, summarize
from controller.api.container import ContainerStatus
from controller.api.reasons import Reason
from controller.containerd.containers import ContainerRecord
from controller.containerd.tasks import TaskRecord, TaskStatus
from tests.unit.agent.objects import BASE, ID, KEY, NODE, NOW, UID, ago, declared

MAX_LABEL = 4096
MOMENTS = st.timedeltas(timedelta(days=-9000), timedelta(days=9000)).map(lambda since: NOW + since)
EXITS = st.builds(
    ExitRecord,
    code=st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    finished_at=MOMENTS,
    oom_killed=st.booleans(),
    reason=st.sampled_from(Reason),
    message=st.text(max_size=2000),
)


@given(st.builds(StopMark, st.sampled_from(StopCause), MOMENTS, st.none() | MOMENTS, st.text(max_size=256)))
def test_a_stop_is_read_as_it_was_written(mark: StopMark) -> None:
    assert identity.read_stop(identity.stop_label(mark)) == mark


@given(EXITS)
def test_an_end_is_read_as_it_was_written(record: ExitRecord) -> None:
    read = identity.read_exit(identity.exit_label(record))
    assert read is not None
    assert read.message == record.message[:512].encode(errors="replace").decode()
    assert (read.code, read.signal, read.finished_at) == (record.code, record.signal, record.finished_at)
    assert (read.oom_killed, read.reason) == (record.oom_killed, record.reason)


@pytest.mark.parametrize(
    "message", ["x" * 10_000, "\U0001f600" * 10_000, "\x00" * 10_000, '"\\' * 10_000, "\ud800" * 999]
)
def test_an_end_fits_into_a_label(message: str) -> None:
    label = identity.exit_label(ExitRecord(255, 64, NOW, True, Reason.COMMAND_NOT_EXECUTABLE, message))
    ((name, value),) = label.items()
    assert len(name.encode()) + len(value.encode()) <= MAX_LABEL
    assert identity.read_exit(label) is not None


@pytest.mark.parametrize("because", ["x" * 10_000, "\U0001f600" * 10_000, "\x00" * 10_000, "\ud800" * 999])
def test_a_stop_fits_into_a_label_with_why_it_was(because: str) -> None:
    label = identity.stop_label(StopMark(StopCause.HEALTH_RESTART, NOW, NOW, because))
    ((name, value),) = label.items()
    assert len(name.encode()) + len(value.encode()) <= MAX_LABEL
    read = identity.read_stop(label)
    assert read is not None
    assert read.because == because[:256]


def test_a_stop_of_a_former_agent_does_not_tell_of_a_sigkill() -> None:
    text = '{"cause": "User", "at": "2026-11-22T10:00:00+00:00"}'
    assert identity.read_stop({identity.STOP: text}) == StopMark(StopCause.USER, datetime(2026, 11, 22, 10, tzinfo=UTC))


def test_a_time_with_another_offset_is_the_same_moment() -> None:
    text = '{"cause": "User", "at": "2026-11-22T12:00:00+02:00"}'
    mark = identity.read_stop({identity.STOP: text})
    assert mark == StopMark(StopCause.USER, datetime(2026, 11, 22, 10, tzinfo=UTC))


GOOD_EXIT = {"code": 1, "signal": None, "at": "2026-11-22T10:00:00+00:00", "oom": False, "reason": "Error"}
BAD: list[dict[str, Any]] = [
    {"code": float("inf")},
    {"code": float("nan")},
    {"code": 10**300},
    {"code": -1},
    {"code": "1"},
    {"code": True},
    {"code": None},
    {"signal": 10**300},
    {"signal": "SIGTERM"},
    {"at": "2026-11-22T10:00:00"},
    {"at": "9999-12-31T23:59:59+00:00"},
    {"at": None},
    {"reason": "NoSuchReason"},
    {"reason": {}},
]
HOSTILE = [
    "",
    "null",
    "[]",
    "{",
    "[" * 4000,
    '"text"',
    "1e999",
    '{"cause": "User"}',
    '{"cause": "Nobody", "at": "2026-11-22T10:00:00+00:00"}',
    '{"cause": "User", "at": 5}',
    '{"cause": "User", "at": "yesterday"}',
    '{"cause": "User", "at": "2026-11-22T10:00:00"}',
    '{"cause": "User", "at": "9999-12-31T23:59:59+00:00"}',
    '{"cause": "User", "at": "0001-01-01T00:00:00+23:59"}',
    '{"cause": ["User"], "at": "2026-11-22T10:00:00+00:00"}',
    '{"cause": "User", "at": "2026-11-22T10:00:00+00:00", "killed": "yesterday"}',
    *(json.dumps({**GOOD_EXIT, **bad}) for bad in BAD),
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:40])
def test_a_label_that_does_not_parse_counts_as_absent(text: str) -> None:
    assert identity.read_stop({identity.STOP: text}) is None
    assert identity.read_exit({identity.EXIT: text}) is None
    assert identity.read_history({identity.HISTORY: text}) == ()


GOOD_PAST: list[Any] = [0, 137, "2026-11-22T10:00:00+00:00", "Error", None, 9, False, "it ended"]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(GOOD_PAST[:4], id="less than any agent ever told"),
        pytest.param(GOOD_PAST[:6], id="a part of what is told now"),
        pytest.param(["0", *GOOD_PAST[1:]], id="a number that is none"),
        pytest.param([*GOOD_PAST[:2], "yesterday", *GOOD_PAST[3:]], id="a time that is none"),
        pytest.param([*GOOD_PAST[:3], "NoSuchReason", *GOOD_PAST[4:]], id="a reason that is none"),
        pytest.param([*GOOD_PAST[:5], "SIGKILL", *GOOD_PAST[6:]], id="a signal that is no number"),
        pytest.param({"restart": 0}, id="an object"),
        pytest.param(5, id="a number"),
        pytest.param("ended", id="a text"),
        pytest.param(None, id="nothing"),
    ],
)
def test_one_end_that_does_not_parse_spoils_the_history(bad: object) -> None:
    assert identity.read_history({identity.HISTORY: json.dumps([GOOD_PAST, bad])}) == ()


@pytest.mark.parametrize("message", [None, 5, ["a"], {"a": 1}, "\ud800", "x" * 100_000])
def test_whatever_stands_for_a_message_becomes_a_short_text(message: object) -> None:
    label = {identity.HISTORY: json.dumps([[*GOOD_PAST[:-1], message]])}
    [past] = identity.read_history(label)
    assert len(past.message.encode()) <= MAX_LABEL


def test_a_later_agent_may_tell_more_of_an_end() -> None:
    label = {identity.HISTORY: json.dumps([[*GOOD_PAST, {"more": True}]])}
    assert identity.read_history(label) == (
        PastExit(0, 137, NOW.replace(microsecond=0), Reason.ERROR, None, 9, False, "it ended"),
    )


def test_an_end_without_a_message_is_read() -> None:
    assert identity.read_exit({identity.EXIT: json.dumps(GOOD_EXIT)}) is not None
    surrogate = identity.read_exit({identity.EXIT: json.dumps({**GOOD_EXIT, "message": "\ud800"})})
    assert surrogate is not None
    assert surrogate.message == "?"


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("10", 10), ("2147483647", 2147483647), ("2147483648", 7), ("9" * 4000, 7), ("-1", 7), ("1.5", 7), ("", 7), ("²", 7), ("٣", 7)],
)  # fmt: skip
def test_numbers_are_read_in_bounds(text: str, number: int) -> None:
    assert identity.read_number({"name": text}, "name", 7) == number


@pytest.mark.parametrize(
    ("labels", "key"),
    [
        ({identity.NAMESPACE: "shop", identity.NAME: "web", identity.UID: "u"}, KEY),
        ({identity.NAMESPACE: "shop", identity.NAME: "web.v2-a", identity.UID: "u"}, ("shop", "web.v2-a")),
        ({identity.NAMESPACE: "shop", identity.NAME: "web"}, None),
        ({identity.NAMESPACE: "shop", identity.UID: "u"}, None),
        ({identity.NAMESPACE: "shop", identity.NAME: "", identity.UID: "u"}, None),
        ({identity.NAMESPACE: "shop", identity.NAME: "../../secrets", identity.UID: "u"}, None),
        ({identity.NAMESPACE: "..", identity.NAME: "web", identity.UID: "u"}, None),
        ({identity.NAMESPACE: "shop", identity.NAME: "web?watch=1", identity.UID: "u"}, None),
        ({identity.NAMESPACE: "shop", identity.NAME: "web\n", identity.UID: "u"}, None),
        ({identity.NAMESPACE: "shop", identity.NAME: "w" * 254, identity.UID: "u"}, None),
        ({"io.kubernetes.pod.name": "web"}, None),
        ({}, None),
    ],
)
def test_a_container_is_ours_by_whole_labels_only(labels: dict[str, str], key: identity.Key | None) -> None:
    assert identity.key_of(labels) == key


@pytest.mark.feature("L1", "L3")
@given(st.text(max_size=40), st.text(max_size=16))
def test_an_id_is_64_hexadecimal_digits_and_the_same_each_time(uid: str, spec_hash: str) -> None:
    made = identity.container_id(uid, spec_hash)
    assert len(made) == 64
    assert set(made) <= set("0123456789abcdef")
    assert made == identity.container_id(uid, spec_hash)
    assert made != identity.container_id(uid + "x", spec_hash)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["User", "Error"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["code", "at", "cause"]), inner),
    max_leaves=6,
)
TIMES = st.datetimes().map(datetime.isoformat) | st.datetimes(timezones=st.timezones()).map(datetime.isoformat)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "code": st.integers() | st.floats() | JSON,
        "signal": st.none() | st.integers() | JSON,
        "at": TIMES | JSON,
        "oom": JSON,
        "reason": st.sampled_from(Reason) | JSON,
        "message": st.text() | JSON,
        "cause": st.sampled_from(StopCause) | JSON,
        "killed": TIMES | JSON,
    },
)
PASTS = st.lists(st.tuples(*(st.just(good) | JSON for good in GOOD_PAST)), max_size=3)
VALUES = st.text(max_size=30) | st.integers().map(str) | (RECORDS | JSON | PASTS).map(json.dumps)
NAMES = [name for name in vars(identity).values() if isinstance(name, str) and name.startswith(identity.PREFIX)]
LABELS = st.dictionaries(st.sampled_from([name for name in NAMES if name != identity.PREFIX]), VALUES, max_size=8)
TASKS = st.none() | st.builds(
    TaskRecord,
    id=st.just(ID),
    status=st.sampled_from(TaskStatus),
    pid=st.integers(0, 2**32 - 1),
    exit_status=st.integers(0, 2**32 - 1),
    exited_at=st.none() | st.just(ago(5)),
)


@given(LABELS, TASKS, st.sampled_from([BASE, declared(desiredState="Stopped"), declared(deleting=True), None]))
def test_no_label_can_keep_the_plan_from_deciding(
    labels: dict[str, str], task: TaskRecord | None, given_object: Declared | None
) -> None:
    trusted = {identity.NAMESPACE: KEY[0], identity.NAME: KEY[1], identity.UID: UID, identity.SPEC_HASH: BASE.spec_hash}
    record = ContainerRecord(ID, {**labels, **trusted}, "", "", "", "", b"{}", ago(60), None)
    seen = from_records(record, task)
    assert seen is not None
    for later in (timedelta(0), timedelta(days=400)):
        decided = plan(given_object, Observation((seen,)), NOW + later)
        if decided.facts is not None and given_object is not None:
            status = summarize(given_object, decided.facts, NODE, NOW)
            json.dumps(difference(ContainerStatus(), status)).encode()
