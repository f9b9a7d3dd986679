"""One long-running process of the lab: started in a session of its own, known by a pid file, ended by that file only.

The pid file holds the process id and the process's start time from /proc, so that a process which merely got the same id
later is never signalled. A `Daemon` may be made anew from the same directory at any time and finds what runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hack.lab import waiting
from hack.lab.errors import LabError

_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
"""Processes that this very process started: they must be waited for, or they stay as zombies."""


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same id."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Process | None:
        """Return the running process of that id, or None where there is none.

        A zombie counts as none, unless threads of it still run: they may hold sockets and locks.
        """
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            threads = len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - a race must end in OSError here
        except OSError:
            return None
        return None if fields[0] in "ZX" and threads <= 1 else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Say whether this process still runs."""
        return Process.of(self.pid) == self

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if the process still is the one that was meant."""
        if self.alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def end(self, *, grace: float) -> None:
        """Ask the process to end, kill it after `grace` seconds, and return when it is gone."""
        if grace > 0:
            self.signal(signal.SIGTERM)
        if grace <= 0 or not waiting.holds(self._gone, timeout=grace):
            self.signal(signal.SIGKILL)
            waiting.until(self._gone, what=f"process {self.pid} killed", timeout=20)

    def _gone(self) -> bool:
        return not self.alive


@dataclass
class Daemon:
    """A process with a log and a pid file in a directory of its own."""

    name: str
    directory: Path
    argv: Sequence[str | Path] = field(default_factory=list)
    env: Mapping[str, str] | None = None

    @property
    def log(self) -> Path:
        """The file that holds what the process printed; it grows over restarts."""
        return self.directory / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """The file that holds process id and start time."""
        return self.directory / f"{self.name}.pid"

    @property
    def process(self) -> Process | None:
        """The running process, or None."""
        try:
            pid, started = map(int, self.pid_file.read_text().split())
        except (OSError, ValueError):
            return None
        process = Process(pid, started)
        return process if process.alive else None

    @property
    def pid(self) -> int:
        """The id of the running process; an error when it does not run."""
        process = self.process
        if process is None:
            raise LabError(f"{self.name} does not run", log=self.log)
        return process.pid

    def alive(self) -> bool:
        """Say whether the process runs."""
        return self.process is not None

    def start(self, *, ready: Callable[[], bool], timeout: float) -> None:
        """Start the process unless it runs, and return once `ready` holds."""
        if not self.alive():
            self._spawn()
        waiting.until(ready, what=f"{self.name} ready", timeout=timeout, alive=self.alive, log=self.log, every=0.05)

    def stop(self, *, grace: float = 10) -> None:
        """End the process, politely first; nothing happens when it does not run."""
        if process := self.process:
            process.end(grace=grace)
        _reap()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would."""
        self.stop(grace=0)

    def _spawn(self) -> None:
        _reap()
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                [str(word) for word in self.argv],
                env=None if self.env is None else dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        _CHILDREN[child.pid] = child
        process = Process.of(child.pid)
        if process is None:
            raise LabError(f"{self.name} ended at once", log=self.log)
        temporary = self.pid_file.with_suffix(".new")
        temporary.write_text(f"{process.pid} {process.started}\n")
        temporary.rename(self.pid_file)


def _reap() -> None:
    """Wait for those of our own children that have ended."""
    for pid, child in list(_CHILDREN.items()):
        if child.poll() is not None:
            del _CHILDREN[pid]
