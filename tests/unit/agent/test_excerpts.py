"""What is kept of a text fits, is whole where there is room, and is not cut a second time."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import excerpts

TEXTS = st.text(max_size=300) | st.text(st.sampled_from('\n"\\x\U0001f600'), max_size=300)
ROOMS = st.integers(2, 400)


def as_json(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


@given(TEXTS, ROOMS)
def test_a_beginning_fits_and_is_not_cut_again(text: str, room: int) -> None:
    kept = excerpts.beginning(text, room)
    assert as_json(kept) <= room
    assert text.encode(errors="replace").decode().startswith(kept)
    assert excerpts.beginning(kept, room) == kept


@given(st.lists(TEXTS, max_size=12), ROOMS)
def test_last_lines_fit_and_are_not_cut_again(lines: list[str], room: int) -> None:
    kept = excerpts.last_lines(lines, room)
    assert as_json(kept) <= room
    assert "\n".join(lines).endswith(kept)
    assert excerpts.last_lines(kept.split("\n"), room) == kept


@pytest.mark.parametrize(
    ("lines", "room", "kept"),
    [
        pytest.param(["one", "two"], 10, "one\ntwo", id="with room for all of them, all are kept"),
        pytest.param(["one", "two"], 9, "two", id="a line that does not fit is left out"),
        pytest.param(["one", "two"], 4, "wo", id="of the last one the end is kept in any case"),
        pytest.param(["one", "", ""], 9, "one\n\n", id="empty lines count"),
        pytest.param(["", "", ""], 4, "\n", id="there is not room for any number of empty lines"),
        pytest.param([], 9, "", id="nothing is nothing"),
    ],
)
def test_lines_are_kept_from_the_last_one_back(lines: list[str], room: int, kept: str) -> None:
    assert excerpts.last_lines(lines, room) == kept
