"""The log files on the node: their names, their rotation, and what of them becomes part of an exit's message."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.excerpts import Output
from controller.agent.identity import _MAX_MESSAGE
from controller.agent.streams import cri, logs
from controller.agent.streams.logs import CRI, KEPT_RUNS, RAW, TAIL_BYTES, TAIL_LINES

UID = "11111111-aaaa-4bbb-8ccc-222222222222"
WHEN = "2026-11-22T10:00:00.250000000Z"


def written(directory: Path, output: bytes, kind: str = CRI) -> Path:
    """A run with that output."""
    path = logs.begin_run(directory, kind)
    made, rest = cri.records(output, WHEN, "stdout")
    path.write_bytes(output if kind == RAW else made + cri.unfinished(rest, WHEN, "stdout"))
    return path


@pytest.mark.feature("X1")
@pytest.mark.parametrize(
    ("key", "uid", "name"),
    [
        pytest.param(("shop", "web"), UID, f"shop_web_{UID}", id="as the kubelet does"),
        pytest.param(("n" * 63, "x" * 253), UID, f"{'n' * 63}_{'x' * 154}_{UID}", id="a name too long for a directory"),
        pytest.param(("shop", "web"), "../../etc", "shop_web_..-..-etc", id="a uid that somebody else wrote"),
    ],
)
def test_directories(key: tuple[str, str], uid: str, name: str) -> None:
    directory = logs.directory_of(Path("/var/log"), key, uid)

    assert directory == Path("/var/log") / name
    assert len(name) <= 255


@pytest.mark.feature("X1")
def test_runs_are_counted_on_and_only_the_last_two_are_kept(tmp_path: Path) -> None:
    begun = []
    for number in range(12):
        path = logs.begin_run(tmp_path / "web", RAW if number % 5 == 4 else CRI)
        path.with_name(f"{path.name}.20261122-100000.000000").touch()
        begun.append(path.name)

    assert begun[3:6] == ["3.log", "4.out", "5.log"]
    assert [path.name for path in logs.runs(tmp_path / "web")] == ["10.log", "11.log"]
    assert len(list((tmp_path / "web").iterdir())) == 2 * KEPT_RUNS


@pytest.mark.feature("X1")
@pytest.mark.parametrize("kept", [1, 2, 3, 10])
def test_no_more_files_are_kept_than_may_be(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "0.log"
    for number in range(6):
        path.write_text(str(number))
        logs.rotate(path, kept)

    assert [file.read_text() for file in logs.rotated(path)] == [str(n) for n in range(6)][-(kept - 1) :][: kept - 1]
    assert path.read_text() == ""


@pytest.mark.feature("X1", "L15")
def test_a_run_whose_rotation_was_cut_short_is_still_the_last_one(tmp_path: Path) -> None:
    written(tmp_path, b"of an earlier run\n")
    path = written(tmp_path, b"one\ntwo\n")
    logs.rotate(path, 3)
    path.unlink()

    assert [run.name for run in logs.runs(tmp_path)] == ["0.log", "1.log"]
    assert logs.last_output(tmp_path) == Output("one\ntwo")
    assert logs.begin_run(tmp_path, CRI).name == "2.log"
    assert sorted(file.name for file in tmp_path.iterdir()) == [logs.rotated(path)[0].name, "2.log"]


@pytest.mark.feature("L11")
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        pytest.param(b"", Output(), id="nothing"),
        pytest.param(b"one\n", Output("one", "one"), id="one line"),
        pytest.param(b"one", Output("one", "one"), id="one line that was not ended"),
        pytest.param(b"one\ntwo\n", Output("one\ntwo"), id="two lines"),
        pytest.param(b"\x1b[31mred\x1b[0m\0 \xff\n", Output("red \ufffd", "red \ufffd"), id="colours and rubbish"),
        pytest.param(b"a\n\nb\n", Output("a\n\nb"), id="an empty line"),
        pytest.param(b"\r\n", Output("", ""), id="an empty line of a terminal"),
    ],
)
@pytest.mark.parametrize("kind", [CRI, RAW])
def test_the_end_of_the_output(tmp_path: Path, output: bytes, expected: Output, kind: str) -> None:
    written(tmp_path, b"of an earlier run\n", kind)
    written(tmp_path, output, kind)

    assert logs.last_output(tmp_path) == expected


@pytest.mark.feature("L11")
def test_of_much_output_only_the_end_is_told(tmp_path: Path) -> None:
    written(tmp_path, b"".join(b"%d\n" % number for number in range(100_000)))
    assert logs.last_output(tmp_path).text.split("\n") == [str(n) for n in range(100_000 - TAIL_LINES, 100_000)]

    written(tmp_path, b"begin " + b"x" * 5000 + b" end\n")
    text = logs.last_output(tmp_path).text
    assert text.endswith("x end")
    assert TAIL_BYTES / 2 < len(text) <= TAIL_BYTES


def test_the_end_of_the_output_may_be_in_a_file_that_was_put_away(tmp_path: Path) -> None:
    path = written(tmp_path, b"one\ntwo\n")
    logs.rotate(path, 3)
    path.write_bytes(cri.records(b"three\n", WHEN, "stdout")[0])

    assert logs.last_output(tmp_path) == Output("one\ntwo\nthree")


@given(output=st.lists(st.binary(max_size=300), max_size=20).map(b"\n".join))
def test_a_label_has_room_for_the_end_of_any_output(output: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("logs")
    written(directory, output)

    text = logs.last_output(directory).text

    assert len(json.dumps(text, ensure_ascii=False).encode()) <= TAIL_BYTES + 2 * TAIL_LINES < _MAX_MESSAGE


def test_without_logs_there_is_no_output(tmp_path: Path) -> None:
    assert logs.last_output(tmp_path / "gone") == Output()
    logs.erase(tmp_path / "gone")
