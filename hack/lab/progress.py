"""Says which step is under way and how long it takes: in place on a terminal, in plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.lab.errors import last_lines

TERMINAL_PERIOD = 0.2
PLAIN_PERIOD = 15.0
WIDTH = 46


class Step:
    """One step under way; it may say more about itself."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.detail = ""
        self.followed: Path | None = None
        self.began = time.monotonic()

    def note(self, detail: str) -> None:
        """Say what came of it, in a few words."""
        self.detail = detail

    def follow(self, log: Path) -> None:
        """Show the last line of a log while the step takes long."""
        self.followed = log

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began

    def line(self) -> str:
        """Return the step as one line: name, seconds, detail."""
        return f"{self.name:{WIDTH}} {self.seconds:6.1f} s  {self.detail}".rstrip()

    def latest(self) -> str:
        """Return the last line of the followed log."""
        return last_lines(self.followed, 1).strip() if self.followed else ""


class Progress:
    """The steps of one command, printed to standard output."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._began = time.monotonic()

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Show a step while its block runs, and how it ended."""
        step = Step(name)
        ended = threading.Event()
        ticker = threading.Thread(target=self._tick, args=(step, ended), daemon=True)
        ticker.start()
        mark = "FAILED"
        try:
            yield step
            mark = "ok"
        finally:
            ended.set()
            ticker.join()
            start = "\r\033[K" if self._terminal else ""
            print(f"{start}  {mark:6} {step.line()}", flush=True)

    def total(self) -> float:
        """Return the seconds since the first step."""
        return time.monotonic() - self._began

    def _tick(self, step: Step, ended: threading.Event) -> None:
        period = TERMINAL_PERIOD if self._terminal else PLAIN_PERIOD
        while not ended.wait(period):
            if self._terminal:
                print(f"\r\033[K  ...    {step.line()} {step.latest()}"[:118], end="", flush=True)
            else:
                print(f"  ...    {step.line()} {step.latest()}".rstrip(), flush=True)
