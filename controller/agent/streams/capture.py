"""The output of one container: its pipes, its log, and the beginnings of lines between them.

Moves what is there when it is told to. When to look, and which container matters, is not known here.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from controller import log, metrics
from controller.agent.identity import Key
from controller.agent.streams import cri, logs, pipes
from controller.agent.streams.journal import Entry, Journal, read_rest

_log = log.get(__name__)


class Limits(NamedTuple):
    """How much of a container's output is kept."""

    max_bytes: int
    max_files: int


@dataclass(eq=False)
class Stream:
    """One pipe."""

    name: str
    fifo: Path
    pipe: int
    rest: bytes = b""
    ended: bool = False
    """Whether nobody can write into it any more, and all of it was moved."""


@dataclass(eq=False)
class Capture:
    """The streams of one container, and the log that they share."""

    key: Key
    path: Path
    streams: Sequence[Stream]
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _file: int = -1
    _blind: bool = False
    """Whether the log can't be opened, and the output goes nowhere, so that the container goes on."""

    def move(self, stream: Stream, journal: Journal, limits: Limits | None) -> int:
        """Move one chunk at most; returns its bytes. Raises `OSError` when the pipe or the journal can't be used."""
        entry = self._entry(stream)
        moved = journal.move(stream.pipe, self._file, entry, stream.rest)
        if moved is None:
            return 0
        if moved.count == 0:
            self._end(stream)
            return 0
        stream.rest = moved.rest
        metrics.output_moved(stream.name, moved.count, moved.lines)
        if self._blind:
            metrics.output_lost(moved.count)
        else:
            self._rotate(limits)
        return moved.count

    def finish(self, journal: Journal) -> None:
        """Write down what is left of lines that were not ended. Raises `OSError`."""
        for stream in self.streams:
            if stream.rest:
                entry = self._entry(stream, last=True)
                journal.finish_line(self._file, entry, stream.rest)
                stream.rest = b""

    def close(self) -> None:
        """Close all; the FIFOs stay, and with them what is in them, as long as the shim holds them."""
        for stream in self.streams:
            os.close(stream.pipe)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _end(self, stream: Stream) -> None:
        stream.ended = True
        if all(one.ended for one in self.streams):
            self.ended.set()

    def _entry(self, stream: Stream, *, last: bool = False) -> Entry:
        at = self._position()
        return Entry(
            log=os.devnull if self._blind else str(self.path),
            at=at,
            when=cri.stamp(time.time_ns()),
            stream=stream.name,
            rest=pipes.rest_of(stream.fifo),
            held=len(stream.rest),
            last=last,
        )

    def _position(self) -> int:
        """The end of the log. Others may have cut it short or removed it, and then it goes on from there."""
        if self._file >= 0:
            state = os.fstat(self._file)
            if state.st_nlink > 0 and not self._blind:
                return state.st_size
            os.close(self._file)
            self._file = -1
        self._file = self._open_log()
        return os.fstat(self._file).st_size

    def _open_log(self) -> int:
        try:
            file = logs.open_to_write(self.path)
        except OSError as error:
            if not self._blind:
                _log.warning("output is lost until its log can be opened", log=str(self.path), error=error.strerror)
            self._blind = True
            return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._blind = False
        return file

    def _rotate(self, limits: Limits | None) -> None:
        """Begin a new file when the present one is full. Between chunks, so that the journal has nothing to do with it."""
        if limits is None or os.fstat(self._file).st_size < limits.max_bytes:
            return
        try:
            logs.rotate(self.path, limits.max_files)
        except OSError as error:
            _log.warning("a log can't be rotated", log=str(self.path), error=error.strerror)
            return
        os.close(self._file)
        self._file = -1


def open_capture(directory: Path, container_id: str, key: Key, path: Path, names: Sequence[str]) -> Capture:
    """Open the pipes of a container, which are made where they are missing. Raises `OSError`."""
    opened: list[Stream] = []
    try:
        for name in names:
            fifo = pipes.path_of(directory, container_id, name)
            pipes.make(fifo)
            opened.append(Stream(name, fifo, pipes.open_to_read(fifo), read_rest(pipes.rest_of(fifo))))
    except OSError:
        for stream in opened:
            os.close(stream.pipe)
        raise
    return Capture(key, path, opened)
