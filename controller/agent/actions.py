"""The things that can be done to containerd and to an object's metadata, as plain values: a plan is a list of these. Pure.

Each is idempotent: done twice, or done again after a crash at any line, it ends the same. What is new to the user carries an
announcement, which becomes a Kubernetes Event once the action is done.
"""

from dataclasses import dataclass
from datetime import datetime

from controller.agent.identity import StopCause
from controller.api.reasons import Reason


@dataclass(frozen=True)
class Announcement:
    """News for the user, posted when its action is done."""

    reason: Reason
    message: str
    alike: str | None = None
    """News about an object with this and the reason in common are counted as one; None: those with the same message."""


@dataclass(frozen=True)
class AddFinalizer:
    """Put our finalizer on the object, so that it can't go before its container has."""


@dataclass(frozen=True)
class RemoveFinalizer:
    """Take our finalizer off: everything made for the object is gone."""


@dataclass(frozen=True)
class EnsureImage:
    """See to it that the image is on the node; a pull goes on in the background."""


@dataclass(frozen=True)
class LookAtDependencies:
    """Find out how far everything has come that the container depends on."""


@dataclass(frozen=True)
class CheckSuccessor:
    """See whether the container of a changed spec could be made here, before the one of the former spec goes."""


@dataclass(frozen=True)
class CreateContainer:
    """Register the container with containerd."""

    announcement: Announcement | None = None


@dataclass(frozen=True)
class Again:
    """How a restart counts: what the container is to remember from its start on."""

    retries: int = 0
    """Restarts by the policy, this one included, since the user's last start."""
    short_runs: int = 0
    """Runs in a row that were too short to count as stable."""
    restarted_at: str = ""
    """The user's request for a restart that this one answers to."""


@dataclass(frozen=True)
class StartContainer:
    """Make the root filesystem and the process, and start it. With `again`, the container ran before."""

    id: str
    again: Again | None = None


@dataclass(frozen=True)
class SignalStop:
    """Send the stop signal. With a cause, the stop is remembered first."""

    id: str
    signal: int
    cause: StopCause | None = None
    announcement: Announcement | None = None
    because: str = ""


@dataclass(frozen=True)
class KillContainer:
    """Send SIGKILL to every process of the container. With a cause, the stop is remembered first."""

    id: str
    cause: StopCause | None = None
    announcement: Announcement | None = None
    because: str = ""


@dataclass(frozen=True)
class RememberStop:
    """Remember that the user wants an ended container stopped, so that a later start is a new one."""

    id: str


@dataclass(frozen=True)
class PauseContainer:
    """Freeze the container's processes."""

    id: str


@dataclass(frozen=True)
class ResumeContainer:
    """Thaw the container's processes."""

    id: str


@dataclass(frozen=True)
class UpdateResources:
    """Apply the declared limits to the running container."""

    id: str


@dataclass(frozen=True)
class RecordExit:
    """Remember how the process ended. With `vanished`, nobody knows how it ended, but what made it vanish is."""

    id: str
    vanished: Reason | None = None
    started_at: datetime | None = None
    short_runs: int = 0


@dataclass(frozen=True)
class RecordFailedStart:
    """Remember a start that failed as the end of a run that never began, so that the restart policy decides on it."""

    id: str
    code: int
    reason: Reason
    message: str
    at: datetime
    short_runs: int


@dataclass(frozen=True)
class CorrectTimes:
    """Put the present for every moment that a container remembers and that lies ahead: the node's clock was set back."""

    id: str


@dataclass(frozen=True)
class FreeProcess:
    """Delete the ended process with its shim, now that its end is remembered."""

    id: str


@dataclass(frozen=True)
class DeleteObject:
    """Delete the object, as its user asked for once the process has ended."""


@dataclass(frozen=True)
class RemoveContainer:
    """Remove the container and everything made for it; its record in containerd goes last."""

    id: str
    announcement: Announcement | None = None


Action = (
    AddFinalizer
    | RemoveFinalizer
    | EnsureImage
    | LookAtDependencies
    | CheckSuccessor
    | CreateContainer
    | StartContainer
    | SignalStop
    | KillContainer
    | RememberStop
    | PauseContainer
    | ResumeContainer
    | UpdateResources
    | RecordExit
    | RecordFailedStart
    | CorrectTimes
    | FreeProcess
    | RemoveContainer
    | DeleteObject
)
