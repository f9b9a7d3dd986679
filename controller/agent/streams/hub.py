"""The output of all containers of the node: prepared before a process is made, moved while it runs, closed when it is freed.

One epoll for all pipes hangs in the agent's event loop: no task, thread or process per container. In each turn of the loop only so
much is moved, so that containers that write without pause can't keep the agent from its other work.
"""

import asyncio
import select
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller import log
from controller.agent.excerpts import Output
from controller.agent.identity import Key
from controller.agent.observation import ObservedContainer
from controller.agent.streams import logs, pipes
from controller.agent.streams.capture import Capture, Limits, Stream, open_capture
from controller.agent.streams.held import Held
from controller.agent.streams.journal import CHUNK, Journal
from controller.api.container import LoggingDriver
from controller.api.reasons import Reason
from controller.oci.errors import OCIError

NO_OUTPUT: Final = "/dev/null"
"""Where a terminal's output goes that nobody wants; without a terminal the shim takes an empty path for the same."""
TURN_SECONDS: Final = 0.01
"""How long the other work of the event loop waits for output to be moved."""
END_SECONDS: Final = 1.0
"""How long the end of the output is waited for when a process has ended: its shim may have to be read from first."""
AGAIN_SECONDS: Final = 1.0
"""How long a pipe is left alone that could not be read, or not into the journal; its container waits when the pipe is full."""
_AT_ONCE: Final = 8
_log = log.get(__name__)


class OutputError(OCIError):
    """The files for a container's output can't be made on this node."""

    reason = Reason.NODE_UNFIT


@dataclass(frozen=True)
class Stdio:
    """Where a shim is told to put the output."""

    stdout: str
    stderr: str


class Streams:
    """The output of this node's containers."""

    def __init__(self, run_dir: Path, log_dir: Path, limits: Callable[[Key], Limits | None]) -> None:
        self._directory = run_dir / "streams"
        self._log_dir = log_dir
        self._limits = limits
        self._poll = select.epoll()
        self._captures: dict[str, Capture] = {}
        self._readable: dict[int, tuple[Capture, Stream]] = {}
        self._journal: Journal | None = None
        self._held = Held(self._directory)

    def open(self, containers: Iterable[ObservedContainer]) -> None:
        """Go on where the last agent was: finish what it had begun, read again what still runs, clear away the rest.

        Raises:
            OSError: the directory can't be made.
            JournalBusy: another agent works in it.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._journal = Journal(self._directory / "journal")
        asyncio.get_running_loop().add_reader(self._poll.fileno(), self._turn)
        present = {container.id: container for container in containers}
        left: dict[str, set[str]] = {}
        for container_id, stream in pipes.found(self._directory):
            left.setdefault(container_id, set()).add(stream)
        for container_id, names in left.items():
            self._take_over(container_id, present.get(container_id), names)

    def close(self) -> None:
        """Let go of everything; what is in the pipes stays there for the next agent."""
        if self._journal is not None:
            asyncio.get_running_loop().remove_reader(self._poll.fileno())
            self._journal.close()
        self._held.close()
        for capture in self._captures.values():
            capture.close()
        self._captures.clear()
        self._readable.clear()
        self._poll.close()

    def prepare(self, container: ObservedContainer, driver: LoggingDriver, *, tty: bool) -> Stdio:
        """Make ready what a new process is to write into. Repeated before the process exists, it changes nothing.

        Raises:
            OutputError: the files can't be made.
        """
        try:
            match driver:
                case LoggingDriver.NONE:
                    return Stdio(NO_OUTPUT if tty else "", "")
                case LoggingDriver.FILE:
                    path = logs.begin_run(self._logs_of(container), logs.RAW)
                    # NB: the shim of containerd 1.6 closes a file that it was named twice when the first of two streams
                    # ends, and loses what is left of the other. By another name it is opened, for appending, once more.
                    return Stdio(str(path), "" if tty else f"{path.parent}/./{path.name}")
                case LoggingDriver.CRI:
                    return self._prepare_pipes(container, pipes.STREAMS[:1] if tty else pipes.STREAMS)
        except OSError as error:
            raise OutputError(f"the output can't be captured: {error.strerror or error}: {error.filename}") from error

    async def drained(self, container: ObservedContainer) -> Output:
        """The end of what an ended process has printed, once all of it is moved or that takes too long.

        With driver `file` it is what the shim has written by now, and nobody tells whether that is all.
        """
        capture = self._captures.get(container.id)
        if capture is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(capture.ended.wait(), END_SECONDS)
        if container.log_driver in ("", LoggingDriver.NONE):
            return Output()
        return await asyncio.to_thread(logs.last_output, self._logs_of(container))

    def release(self, container_id: str) -> None:
        """Move what is left now that the shim is gone, and remove the pipes. Without any there is nothing to do."""
        self._end(container_id)
        for stream in pipes.STREAMS:
            pipes.remove(pipes.path_of(self._directory, container_id, stream))

    def erase(self, key: Key, uid: str) -> None:
        """Remove the logs of an object that is gone."""
        logs.erase(logs.directory_of(self._log_dir, key, uid))

    def _logs_of(self, container: ObservedContainer) -> Path:
        return logs.directory_of(self._log_dir, container.key, container.uid)

    def _prepare_pipes(self, container: ObservedContainer, names: tuple[str, ...]) -> Stdio:
        """FIFOs that are there already may be in use by a process whose creation was cut short: they and their run go on."""
        self._end(container.id)
        fifos = [pipes.path_of(self._directory, container.id, name) for name in names]
        directory = self._logs_of(container)
        known = logs.runs(directory) if any(fifo.exists() for fifo in fifos) else []
        path = known[-1] if known else logs.begin_run(directory, logs.CRI)
        self._attach(container.id, open_capture(self._directory, container.id, container.key, path, names))
        self._held.hold(fifos)
        return Stdio(str(fifos[0]), str(fifos[-1]) if len(fifos) > 1 else "")

    def _take_over(self, container_id: str, container: ObservedContainer | None, names: set[str]) -> None:
        """Read the pipes of a process again, also of one that is not there yet: its shim may wait for a reader just now."""
        if container is None:
            self.release(container_id)
            return
        ordered = [name for name in pipes.STREAMS if name in names]
        try:
            known = logs.runs(self._logs_of(container))
            path = known[-1] if known else logs.begin_run(self._logs_of(container), logs.CRI)
            capture = open_capture(self._directory, container_id, container.key, path, ordered)
        except OSError as error:
            _log.error("output can't be captured", container=container_id[:12], error=error.strerror)
            return
        self._attach(container_id, capture)
        self._held.hold([stream.fifo for stream in capture.streams])
        if container.task is not None:
            for stream in capture.streams:
                self._ask(capture, stream)

    def _ask(self, capture: Capture, stream: Stream) -> None:
        """Find out whether a pipe has ended: a new reader is not told that all writers had gone before it came."""
        for _ in range(2 * pipes.MOST // CHUNK):
            if not self._move(capture, stream):
                return

    def _attach(self, container_id: str, capture: Capture) -> None:
        self._captures[container_id] = capture
        for stream in capture.streams:
            self._readable[stream.pipe] = (capture, stream)
            # NB: a pipe says nothing before its first writer has come, so one that waits for its shim is not taken for ended.
            self._poll.register(stream.pipe, select.EPOLLIN)

    def _end(self, container_id: str) -> None:
        """Move what is there, however much, and close; the FIFOs stay."""
        capture = self._captures.pop(container_id, None)
        if capture is None:
            return
        for stream in capture.streams:
            while self._move(capture, stream):
                pass
            self._forget(stream)
        try:
            if self._journal is not None:
                capture.finish(self._journal)
        except OSError as error:
            _log.warning("output of a container is lost", log=str(capture.path), error=error.strerror)
        capture.close()

    def _turn(self) -> None:
        """A turn of the event loop: move from pipe after pipe until nothing is left or the time is up."""
        until = time.monotonic() + TURN_SECONDS
        while time.monotonic() < until:
            ready = self._poll.poll(0, _AT_ONCE)
            if not ready:
                return
            for pipe, _ in ready:
                self._move(*self._readable[pipe])

    def _move(self, capture: Capture, stream: Stream) -> int:
        """Move one chunk. A pipe that has come to its end is not looked at any more, and one that fails for a while."""
        if self._journal is None or stream.ended:
            return 0
        try:
            moved = capture.move(stream, self._journal, self._limits(capture.key))
        except OSError as error:
            _log.error("output of a container can't be captured now", log=str(capture.path), error=error.strerror)
            self._forget(stream)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._again, capture, stream)
            return 0
        if stream.ended:
            self._forget(stream)
        return moved

    def _again(self, capture: Capture, stream: Stream) -> None:
        if capture in self._captures.values() and not stream.ended:
            self._readable[stream.pipe] = (capture, stream)
            self._poll.register(stream.pipe, select.EPOLLIN)

    def _forget(self, stream: Stream) -> None:
        if self._readable.pop(stream.pipe, None) is not None:
            self._poll.unregister(stream.pipe)
