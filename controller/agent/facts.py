"""What a plan found out about a container, in the words that its status is made of. Pure data."""

from dataclasses import dataclass
from datetime import datetime

from controller.agent.checks.state import Health
from controller.agent.identity import ExitRecord, PastExit
from controller.agent.observation import ObservedContainer, ObservedImage
from controller.api.container import ContainerState
from controller.api.reasons import Reason


@dataclass(frozen=True)
class Verdict:
    """A reason and a message: why a condition is as it is."""

    reason: Reason
    message: str = ""


@dataclass(frozen=True)
class Facts:
    """The state of one container and why; `status` makes the conditions from it."""

    state: ContainerState
    why: Verdict
    """Why the container is ready or not."""
    ready: bool = False
    progressing: Verdict | None = None
    """What the agent is doing or waiting for; None when there is nothing left to do."""
    stalled: Verdict | None = None
    """What keeps the agent from going on until somebody changes something."""
    refused: Verdict | None = None
    """Why the spec was not accepted."""
    container: ObservedContainer | None = None
    exit: ExitRecord | None = None
    past: tuple[PastExit, ...] = ()
    """The ends of a container that is being removed, the latest first."""
    image: ObservedImage | None = None
    health: Health | None = None
    """Of a process that runs and has a health check."""
    next_restart_at: datetime | None = None
    publish_after: datetime | None = None
    """Not worth a write before this moment, since it may pass by then."""
    transient: bool = False
    """One of many steps of something long: written now and then only."""
