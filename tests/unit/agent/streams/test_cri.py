"""The CRI log format: nothing of the output is changed, added or lost, however it was cut into pieces."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.streams.cri import MAX_LINE, records, stamp, texts, unfinished

WHEN = "2026-11-22T10:00:00.250000000Z"
RECORD = re.compile(rb"2026-11-22T10:00:00\.250000000Z stderr [FP] [^\n]*")
LONG = MAX_LINE + 1

outputs = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from([b"\n", b"\n\n", b"\r\n", b"x" * (MAX_LINE - 1), b"x" * MAX_LINE, b"x" * LONG, b" F \n"]),
    ),
    max_size=12,
).map(b"".join)


def logged(pieces: list[bytes]) -> bytes:
    """The log of an output that comes in these pieces and ends then."""
    made, rest = b"", b""
    for piece in pieces:
        new, rest = records(rest + piece, WHEN, "stderr")
        made += new
    return made + unfinished(rest, WHEN, "stderr")


@pytest.mark.feature("X1")
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"one\n", ["F one"], id="a line"),
        pytest.param(b"one\ntwo\n", ["F one", "F two"], id="two lines"),
        pytest.param(b"\n\n", ["F ", "F "], id="empty lines"),
        pytest.param(b"one\ntwo", ["F one", "P two"], id="a last line that is not ended"),
        pytest.param(b"one\r\n", ["F one\r"], id="a terminal's line"),
        pytest.param(b"x" * MAX_LINE + b"\n", ["F " + "x" * MAX_LINE], id="the longest line"),
        pytest.param(b"x" * LONG + b"\n", ["P " + "x" * MAX_LINE, "F x"], id="a longer line"),
        pytest.param(b"a\n" + b"x" * LONG, ["F a", "P " + "x" * MAX_LINE, "P x"], id="a longer line that is not ended"),
    ],
)
def test_records(output: bytes, expected: list[str]) -> None:
    assert logged([output]) == b"".join(f"{WHEN} stderr {line}\n".encode() for line in expected)


@pytest.mark.feature("X1")
@given(output=outputs, cuts=st.lists(st.integers(0, 4 * LONG), max_size=8))
def test_the_records_do_not_depend_on_how_the_output_was_cut(output: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(output)) for cut in cuts), len(output)]
    pieces = [output[begin:end] for begin, end in pairwise(edges)]

    assert logged(pieces) == logged([output])


@given(outputs)
def test_no_byte_is_changed_and_every_record_is_one(output: bytes) -> None:
    log = logged([output])

    assert all(RECORD.fullmatch(line) for line in log.split(b"\n")[:-1])
    assert list(texts(log)) == output.removesuffix(b"\n").split(b"\n") if output else not log


@given(outputs)
def test_of_a_line_no_more_is_kept_back_than_one_record_holds(output: bytes) -> None:
    made, rest = records(output, WHEN, "stderr")

    assert len(rest) <= MAX_LINE
    assert b"\n" not in rest
    assert all(len(line) <= len(f"{WHEN} stderr F ") + MAX_LINE for line in made.split(b"\n"))


def test_time_stamps_are_equally_long_and_sort_by_time() -> None:
    moments = [0, 1, 999_999_999, 1_000_000_000, 1_795_341_600_250_000_000]

    stamps = [stamp(moment) for moment in moments]

    assert stamps[0] == "1970-01-01T00:00:00.000000000Z"
    assert stamps[-1] == WHEN
    assert stamps == sorted(stamps)
    assert len({len(one) for one in stamps}) == 1


def test_a_log_with_foreign_lines_is_read_all_the_same() -> None:
    log = b"rubbish\n\n" + logged([b"one\ntwo"])

    assert list(texts(log)) == [b"one", b"two"]
