"""The one error that the lab raises on purpose; it prints nothing and ends no process itself."""

from __future__ import annotations

from pathlib import Path


class LabError(Exception):
    """A part of the lab could not be made or started; the message says why and what to do about it."""

    def __init__(self, message: str, *, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def __str__(self) -> str:
        message = super().__str__()
        if self.log is None:
            return message
        lines = last_lines(self.log)
        return f"{message}\n--- last lines of {self.log}\n{lines}" if lines else f"{message} (log: {self.log})"


def last_lines(path: Path, count: int = 15) -> str:
    """Return the last lines of a log, or nothing where there is no log."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-count:])
