"""Every byte of a container's output is in its log exactly once, wherever SIGKILL ends the agent."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from controller.agent.streams import cri, journal, logs
from controller.agent.streams.capture import Capture, open_capture
from controller.agent.streams.journal import Entry, Journal, JournalBusy, Moved

ROOT = Path(__file__).parents[4]
WHEN = "2026-11-22T10:00:00.250000000Z"
KILLS, LINES = 120, 60_000


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[int]:
    """A pipe of a container, held open as its shim does; to be written into."""
    os.mkfifo(tmp_path / "box.stdout")
    held = os.open(tmp_path / "box.stdout", os.O_RDWR)
    yield held
    os.close(held)


@pytest.fixture
def capture(tmp_path: Path, pipe: int) -> Iterator[Capture]:
    made = open_capture(tmp_path, "box", ("shop", "web"), tmp_path / "0.log", ["stdout"])
    yield made
    made.close()


@pytest.fixture
def a_journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal")
    yield made
    made.close()


def lines_of(directory: Path) -> list[bytes]:
    files = [*logs.rotated(directory / "0.log"), directory / "0.log"]
    return list(cri.texts(b"".join(file.read_bytes() for file in files)))


@pytest.mark.feature("X1", "L15")
def test_no_line_is_missing_and_none_is_there_twice_after_many_deaths_of_the_reader(tmp_path: Path) -> None:
    program = [sys.executable, str(Path(__file__).with_name("killed_reader.py")), str(tmp_path), str(KILLS), str(LINES)]
    subprocess.run(program, check=True, timeout=50, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

    numbers = [int(line.split()[0]) for line in lines_of(tmp_path)]

    assert numbers == list(range(LINES))


def entry_for(directory: Path, held: bytes = b"", **changes: object) -> Entry:
    fields = {"log": str(directory / "0.log"), "at": 0, "when": WHEN, "stream": "stdout", "held": len(held)}
    return Entry(**{**fields, "rest": str(directory / "rest"), **changes})  # type: ignore[arg-type]


def left_by_a_killed_agent(directory: Path, entry: Entry, content: bytes, log: bytes = b"") -> None:
    """A journal as it is when an agent dies at some point of a move."""
    head = json.dumps(asdict(entry)).encode().ljust(journal._HEAD)
    (directory / "journal").write_bytes(head + content)
    (directory / "0.log").write_bytes(log)


ONE, TWO = (f"{WHEN} stdout F {text}\n".encode() for text in ("one", "two"))


@pytest.mark.feature("X1", "L15")
@pytest.mark.parametrize("written", [b"", ONE, ONE[:10], ONE + TWO], ids=["nothing", "a line", "a part", "all"])
def test_what_was_taken_from_the_pipe_and_perhaps_written_is_written_once(tmp_path: Path, written: bytes) -> None:
    left_by_a_killed_agent(tmp_path, entry_for(tmp_path, b"on"), b"one\ntwo\nth", written)

    Journal(tmp_path / "journal").close()
    Journal(tmp_path / "journal").close()

    assert (tmp_path / "0.log").read_bytes() == ONE + TWO
    assert (tmp_path / "rest").read_bytes() == b"th"


@pytest.mark.parametrize("content", [b"", b"o", b"on"], ids=["cut before", "cut within", "whole"])
def test_a_move_that_had_taken_nothing_yet_is_forgotten(tmp_path: Path, content: bytes) -> None:
    left_by_a_killed_agent(tmp_path, entry_for(tmp_path, b"on"), content)
    (tmp_path / "rest").write_bytes(b"on")

    Journal(tmp_path / "journal").close()

    assert (tmp_path / "0.log").read_bytes() == b""
    assert (tmp_path / "rest").read_bytes() == b"on"


def test_the_end_of_a_line_that_was_begun_to_be_written_is_written(tmp_path: Path) -> None:
    left_by_a_killed_agent(tmp_path, entry_for(tmp_path, b"on", last=True), b"on")
    (tmp_path / "rest").write_bytes(b"on")

    Journal(tmp_path / "journal").close()

    assert (tmp_path / "0.log").read_bytes() == f"{WHEN} stdout P on\n".encode()
    assert not (tmp_path / "rest").exists()


@pytest.mark.parametrize("content", [b"", b"rubbish", b"{}", b"[1]" * 9000, b"\xff" * 20000])
def test_a_journal_that_can_not_be_read_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)

    Journal(tmp_path / "journal").close()

    assert not (tmp_path / "0.log").exists()


def test_output_of_a_container_whose_logs_are_gone_is_dropped(tmp_path: Path) -> None:
    left_by_a_killed_agent(tmp_path, entry_for(tmp_path, log=str(tmp_path / "gone" / "0.log")), b"one\n")

    Journal(tmp_path / "journal").close()

    assert not (tmp_path / "gone").exists()


def test_a_journal_has_one_agent(tmp_path: Path, a_journal: Journal) -> None:
    with pytest.raises(JournalBusy, match="--run-dir"):
        Journal(tmp_path / "journal")


def test_a_line_is_written_when_it_is_whole(tmp_path: Path, pipe: int, capture: Capture, a_journal: Journal) -> None:
    stream = capture.streams[0]
    for piece, lines in ((b"one\ntw", [b"one"]), (b"o", [b"one"]), (b"\n", [b"one", b"two"])):
        os.write(pipe, piece)
        assert capture.move(stream, a_journal, None) == len(piece)
        assert lines_of(tmp_path) == lines
    assert capture.move(stream, a_journal, None) == 0
    assert not stream.ended


def test_a_new_reader_goes_on_with_a_line_that_was_begun(tmp_path: Path, pipe: int, a_journal: Journal) -> None:
    for piece in (b"on", b"e\ntw"):
        reader = open_capture(tmp_path, "box", ("shop", "web"), tmp_path / "0.log", ["stdout"])
        os.write(pipe, piece)
        reader.move(reader.streams[0], a_journal, None)
        reader.close()
    last = open_capture(tmp_path, "box", ("shop", "web"), tmp_path / "0.log", ["stdout"])
    last.finish(a_journal)
    last.close()

    assert lines_of(tmp_path) == [b"one", b"tw"]


def test_a_log_that_was_cut_short_or_removed_is_gone_on_with(
    tmp_path: Path, pipe: int, capture: Capture, a_journal: Journal
) -> None:
    stream, log = capture.streams[0], tmp_path / "0.log"
    os.write(pipe, b"one\n")
    capture.move(stream, a_journal, None)
    os.truncate(log, 0)
    os.write(pipe, b"two\n")
    capture.move(stream, a_journal, None)
    assert lines_of(tmp_path) == [b"two"]
    log.unlink()
    os.write(pipe, b"three\n")
    capture.move(stream, a_journal, None)
    assert lines_of(tmp_path) == [b"three"]


def test_a_full_disk_loses_output_and_not_the_container(
    tmp_path: Path, pipe: int, capture: Capture, a_journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = capture.streams[0]
    os.write(pipe, b"one\n")
    capture.move(stream, a_journal, None)
    os.write(pipe, b"two\n")
    with monkeypatch.context() as full:
        full.setattr(journal, "_write_all", _half_of_it)
        assert capture.move(stream, a_journal, None) == 4
    os.write(pipe, b"three\n")
    capture.move(stream, a_journal, None)

    assert lines_of(tmp_path) == [b"one", b"three"]


def _half_of_it(file: int, data: bytes, at: int) -> None:
    os.pwrite(file, data[: len(data) // 2], at)
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_log_that_can_not_be_opened_loses_output_until_it_can(
    tmp_path: Path, pipe: int, a_journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "logs").write_text("a file in the way")
    capture = open_capture(tmp_path, "box", ("shop", "web"), tmp_path / "logs" / "0.log", ["stdout"])
    os.write(pipe, b"one\n")
    assert capture.move(capture.streams[0], a_journal, None) == 4
    (tmp_path / "logs").unlink()
    os.write(pipe, b"two\n")
    capture.move(capture.streams[0], a_journal, None)
    capture.close()

    assert lines_of(tmp_path / "logs") == [b"two"]


def test_a_pipe_that_all_have_left_has_ended(tmp_path: Path, a_journal: Journal) -> None:
    os.mkfifo(tmp_path / "box.stdout")
    capture = open_capture(tmp_path, "box", ("shop", "web"), tmp_path / "0.log", ["stdout"])
    writer = os.open(tmp_path / "box.stdout", os.O_WRONLY)
    os.write(writer, b"one\n")
    os.close(writer)
    stream = capture.streams[0]

    assert [capture.move(stream, a_journal, None), stream.ended] == [4, False]
    assert [capture.move(stream, a_journal, None), stream.ended] == [0, True]
    assert capture.ended.is_set()
    capture.close()


def test_what_was_done_is_told(tmp_path: Path, pipe: int, a_journal: Journal) -> None:
    os.write(pipe, b"one\ntwo\nth")
    log = logs.open_to_write(tmp_path / "0.log")

    assert a_journal.move(pipe, log, entry_for(tmp_path), b"") == Moved(10, 2, b"th")
    assert a_journal.move(pipe, log, entry_for(tmp_path), b"") is None
    os.close(log)
