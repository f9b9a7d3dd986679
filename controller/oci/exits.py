"""How a container's process ended, and why one could not be started: from numbers and runtime texts to reasons. Pure."""

from dataclasses import dataclass
from typing import Final

from controller.api.reasons import Reason
from controller.api.signals import RTMAX, SIGKILL, signal_name

_SIGNAL_BASE: Final = 128
UNKNOWN_EXIT: Final = 255
"""containerd's status for a process whose end nobody saw."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of a process."""

    code: int
    signal: int | None
    """The signal that ended it. A process that returns 128 + n by itself (as shells do for a child) can't be told apart."""
    reason: Reason
    """Completed, Error or OOMKilled."""

    @property
    def message(self) -> str:
        """What happened, for people."""
        if self.reason is Reason.OOM_KILLED:
            return "killed by the kernel for want of memory (exit code 137)"
        if self.signal is not None:
            return f"ended by {signal_name(self.signal)} (exit code {self.code})"
        return f"ended with exit code {self.code}"


def describe(status: int, *, oom_killed: bool = False) -> Exit:
    """The end of a process by containerd's exit status (0-255; 128 + n for signal n).

    `oom_killed` says that the container's cgroup counted an OOM kill. The count may stem from another process, so only an
    end by SIGKILL is put down to it.
    """
    signal = status - _SIGNAL_BASE if _SIGNAL_BASE < status <= _SIGNAL_BASE + RTMAX else None
    if status == 0:
        return Exit(0, None, Reason.COMPLETED)
    if oom_killed and signal == SIGKILL:
        return Exit(status, signal, Reason.OOM_KILLED)
    return Exit(status, signal, Reason.ERROR)
