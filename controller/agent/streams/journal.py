"""Moves bytes from a pipe into a log so that each is there exactly once, wherever SIGKILL ends the agent.

What is read from a pipe is gone from it, so between a read and a write there is always a moment in which the bytes live in the
reader only. Here they never do: splice(2) moves them from the pipe into a file, the journal, and in the kernel a signal can't come
between the writing of a piece and its removal from the pipe. The rest is an ordinary redo log:

    1. write down what comes next: which log, at which position, with which time, and the beginning of a line that is held back
    2. splice: from now on the journal is longer than what was written down, which is what makes it pending
    3. make the records, write them at that position, keep the beginning of a line that is left
    4. empty the journal

Steps 3 and 4 are repeated by the next agent when they were cut short. The same input gives the same bytes in the same place, so
nothing is missing, nothing is there twice, and a reader of the log never sees it shrink. One journal serves all containers, for one
piece is moved at a time. It is about the death of a process, not of the node: nothing is synced to disk.
"""

import errno
import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from controller import log, metrics
from controller.agent.streams import cri

CHUNK: Final = 256 * 1024
"""Bytes moved at a time. Larger ones are no faster, and delay all else that the agent does."""
_HEAD: Final = 16384
"""Room for an entry: two paths of at most 4096 bytes, escaped."""
_log = log.get(__name__)


class JournalBusy(Exception):
    """Another agent that runs uses this journal."""


@dataclass(frozen=True)
class Entry:
    """What is to be done with the bytes that follow."""

    log: str
    at: int
    when: str
    stream: str
    rest: str
    """The file that keeps the beginning of a line."""
    held: int = 0
    """How many bytes of a line were kept back before; they come first."""
    last: bool = False
    """No bytes follow, and what was kept back is written as it is."""


@dataclass(frozen=True)
class Moved:
    """What was done."""

    count: int
    """Bytes taken from the pipe."""
    lines: int
    rest: bytes
    """The beginning of a line that is kept back."""


class Journal:
    """The journal of one agent."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise JournalBusy(f"another agent uses {path}; give each its own --run-dir") from None
        self._recover()

    def close(self) -> None:
        """Let another agent have it."""
        os.close(self._file)

    def move(self, pipe: int, file: int, entry: Entry, held: bytes) -> Moved | None:
        """Move what a pipe has, one chunk at most; None when it has nothing, and 0 bytes when nobody can write into it any more."""
        begin = self._write_down(entry, held)
        try:
            count = os.splice(pipe, self._file, CHUNK, offset_dst=begin, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        if count == 0:
            return Moved(0, 0, held)
        return self._finish(entry, file, os.pread(self._file, begin - _HEAD + count, _HEAD))

    def finish_line(self, file: int, entry: Entry, held: bytes) -> None:
        """Write the beginning of a line that will not be continued."""
        self._write_down(entry, held)
        self._finish(entry, file, held)

    def _write_down(self, entry: Entry, held: bytes) -> int:
        """Write the entry; returns where the bytes from the pipe are to go."""
        head = json.dumps(asdict(entry)).encode()
        if len(head) > _HEAD:
            raise OSError(f"the path of the log is too long: {entry.log}")
        os.ftruncate(self._file, 0)
        if os.pwrite(self._file, head.ljust(_HEAD) + held, 0) < _HEAD + len(held):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return _HEAD + len(held)

    def _finish(self, entry: Entry, file: int, data: bytes) -> Moved:
        made, rest = cri.records(data, entry.when, entry.stream)
        if entry.last:
            made, rest = made + cri.unfinished(rest, entry.when, entry.stream), b""
        _write(file, made, entry.at, lost=len(data))
        if rest or entry.held:
            _keep(entry.rest, rest)
        os.ftruncate(self._file, 0)
        return Moved(len(data) - entry.held, data.count(b"\n"), rest)

    def _recover(self) -> None:
        """Do what an agent could not finish."""
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        try:
            entry = Entry(**json.loads(content[:_HEAD]))
        except (ValueError, TypeError):
            return
        expected = _HEAD + entry.held
        if len(content) > expected or (entry.last and len(content) == expected):
            self._redo(entry, content[_HEAD:])

    def _redo(self, entry: Entry, data: bytes) -> None:
        try:
            file = os.open(entry.log, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:  # removed together with its container
            return
        try:
            self._finish(entry, file, data)
        finally:
            os.close(file)
        _log.info("output that an earlier agent could not finish is written", log=entry.log, bytes=len(data))


def read_rest(path: str) -> bytes:
    """The beginning of a line that was kept back."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        return b""


def _keep(path: str, rest: bytes) -> None:
    try:
        if rest:
            Path(path).write_bytes(rest)
        else:
            Path(path).unlink(missing_ok=True)
    except OSError as error:  # this agent has it in memory, too
        _log.warning("the beginning of a line can't be kept for the next agent", error=error.strerror)


def _write(file: int, data: bytes, at: int, *, lost: int) -> None:
    """Write it at that position. Where that fails (the disk is full), this piece is lost, so that the container goes on."""
    try:
        _write_all(file, data, at)
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file, at)
        metrics.output_lost(lost)
        _log.warning("output of a container is lost: its log can't be written", error=error.strerror)


def _write_all(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count
