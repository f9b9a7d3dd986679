"""Pipes that are held stay what they are while no agent has them open; the holder goes when it is not needed."""

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from controller.agent.streams import holder, pipes
from controller.agent.streams.held import Held
from tests.e2e import waiting

HELD = Held.__module__


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory of FIFOs, so long a path that it would be none for a socket; its holder ends with it."""
    made = tmp_path / ("x" * 100)
    made.mkdir()
    yield made
    for path in made.iterdir():
        path.unlink()
    waiting.empty(lambda: holders_of(made), "the holder has ended")


def holders_of(directory: Path) -> list[str]:
    """The processes that have it as their last argument."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(directory) in words and any(word.endswith(b"/holder.py") for word in words):
            found.append(process.parent.name)
    return found


def fifo(directory: Path, name: str = "box.stdout") -> Path:
    pipes.make(directory / name)
    return directory / name


def printed(path: Path, text: bytes) -> None:
    """Write into a pipe as a shim does, and leave it."""
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    os.write(pipe, text)
    os.close(pipe)


def read(path: Path) -> bytes:
    pipe = pipes.open_to_read(path)
    try:
        return os.read(pipe, 1000)
    finally:
        os.close(pipe)


@pytest.mark.feature("X1", "L15")
def test_what_was_printed_last_waits_for_the_next_agent(directory: Path) -> None:
    held = Held(directory)
    one, other = fifo(directory), fifo(directory, "box.stderr")
    held.hold([one, other])
    held.close()
    printed(one, b"last words\n")
    printed(other, b"and more\n")

    assert [read(one), read(other)] == [b"last words\n", b"and more\n"]
    assert len(holders_of(directory)) == 1


def test_without_a_holder_it_would_be_lost(directory: Path) -> None:
    one = fifo(directory)
    printed(one, b"last words\n")

    assert read(one) == b""


def test_agents_share_one_holder_which_goes_when_the_fifos_have_gone(directory: Path) -> None:
    first, second = Held(directory), Held(directory)
    first.hold([fifo(directory)])
    second.hold([fifo(directory, "other.stdout")])
    assert len(holders_of(directory)) == 1
    first.close()
    second.close()
    for name in ("box.stdout", "other.stdout"):
        (directory / name).unlink()

    waiting.empty(lambda: holders_of(directory), "the holder has ended", seconds=10)


def test_a_holder_that_was_killed_is_started_again(directory: Path) -> None:
    held = Held(directory)
    held.hold([fifo(directory)])
    before = holders_of(directory)
    os.kill(int(before[0]), 9)
    waiting.empty(lambda: holders_of(directory), "it is dead")
    held.hold([fifo(directory)])
    held.close()
    printed(directory / "box.stdout", b"last words\n")

    assert read(directory / "box.stdout") == b"last words\n"


async def test_a_holder_that_is_stuck_is_left_alone_and_told_what_it_has_missed_once_it_goes_on(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{HELD}.ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(f"{HELD}.AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(f"{HELD}.AT_ONCE", 10)
    names = [f"{number}.stdout" for number in range(30)]
    one = Held(directory)
    one.hold([fifo(directory, "first.stdout")])
    (number,) = map(int, holders_of(directory))
    os.kill(number, signal.SIGSTOP)
    try:
        asked = count_questions(one, monkeypatch)
        for name in names:
            one.hold([fifo(directory, name)])
        assert asked == [1], "it is asked once by whoever waits, and then in the background"
        await eventually(lambda: asked[0] > 2)
        (directory / names.pop()).unlink()
    finally:
        os.kill(number, signal.SIGCONT)
    await eventually(lambda: one._catching_up is None)
    one.hold([fifo(directory, "last.stdout")])
    one.close()
    for name in ("first.stdout", *names, "last.stdout"):
        printed(directory / name, b"last words\n")
        assert read(directory / name) == b"last words\n"


def count_questions(one: Held, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked, ask = [0], one._ask

    def counted(names: Sequence[str]) -> bool:
        asked[0] += 1
        return ask(names)

    monkeypatch.setattr(one, "_ask", counted)
    return asked


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_an_agent_that_goes_while_a_holder_is_stuck_leaves_nothing_open(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{HELD}.ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(f"{HELD}.AGAIN_SECONDS", 0.0)
    one = Held(directory)
    one.hold([fifo(directory)])
    (number,) = map(int, holders_of(directory))
    os.kill(number, signal.SIGSTOP)
    try:
        asked = count_questions(one, monkeypatch)
        one.hold([fifo(directory, "other.stdout")])
        await eventually(lambda: asked[0] > 1)
        one.close()
        await asyncio.get_running_loop().shutdown_default_executor()
        assert one._connection is None
    finally:
        os.kill(number, signal.SIGCONT)


def test_more_pipes_than_select_can_count_are_held(directory: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    first, second = Held(directory), Held(directory)
    try:
        names = [f"{number}.stdout" for number in range(1100)]
        for at in range(0, len(names), 500):
            first.hold([fifo(directory, name) for name in names[at : at + 500]])
        second.hold([fifo(directory, "last.stdout")])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        first.close()
        second.close()
    for name in (*names, "last.stdout"):
        printed(directory / name, b"last words\n")
        assert read(directory / name) == b"last words\n"


def test_a_fifo_that_was_made_anew_is_held_anew(directory: Path) -> None:
    held = Held(directory)
    held.hold([fifo(directory)])
    (directory / "box.stdout").unlink()
    held.hold([fifo(directory)])
    held.close()
    printed(directory / "box.stdout", b"last words\n")

    assert read(directory / "box.stdout") == b"last words\n"


def test_nothing_outside_its_directory_is_held(directory: Path, tmp_path: Path) -> None:
    outside = fifo(tmp_path)
    held = Held(directory)
    held._connected().sendall(b"../box.stdout\n/etc/passwd")
    assert held._connected().recv(16) == b"held"
    held.close()
    printed(outside, b"last words\n")

    assert read(outside) == b""


async def test_an_agent_goes_on_without_a_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holder, "__file__", "/no/such/program")
    held = Held(tmp_path)

    held.hold([fifo(tmp_path)])

    held.close()
