"""What was observed about one object's containers, image and last attempt: the facts that `plan` decides by. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from controller.agent.actions import Action
from controller.agent.checks.state import Health
from controller.agent.identity import ExitRecord, Key, PastExit, StopMark
from controller.agent.standing import Dependencies, Dependent
from controller.api.fields import FieldError
from controller.api.reasons import Reason


class TaskState(StrEnum):
    """The state of a container's process in containerd."""

    CREATED = "Created"
    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    UNKNOWN = "Unknown"


@dataclass(frozen=True)
class ObservedTask:
    """A process that containerd knows."""

    state: TaskState
    pid: int = 0
    exit_code: int = 0
    exited_at: datetime | None = None


@dataclass(frozen=True)
class ObservedContainer:
    """A container that containerd has registered, with what its labels remember."""

    id: str
    key: Key
    uid: str
    spec_hash: str
    fingerprint: dict[str, str] = field(default_factory=dict)
    resources: str = ""
    image_id: str = ""
    chain_id: str = ""
    runtime_name: str = ""
    log_driver: str = ""
    """Where its output goes; empty in containers of an agent that kept none."""
    stop_signal: int = 15
    grace_seconds: int = 10
    restarts: int = 0
    retries: int = 0
    """Restarts by the policy since the process was started first, or by the user."""
    short_runs: int = 0
    """Runs in a row before the present one that were too short to count as stable."""
    restarted_at: str = ""
    """The user's request for a restart that the present run answers to."""
    boot_id: str = ""
    """The boot of the node in which the process was started."""
    history: tuple[PastExit, ...] = ()
    created_at: datetime | None = None
    started_at: datetime | None = None
    """When the process was started, as far as this agent saw it; containerd does not tell."""
    signalled: bool = False
    """Whether this agent has sent the stop signal. A stop that is remembered may be one whose signal was never sent."""
    killed_at: datetime | None = None
    """When this agent sent SIGKILL last."""
    stop: StopMark | None = None
    exit: ExitRecord | None = None
    task: ObservedTask | None = None
    shim_unsure: bool = False
    """Found with an ended process that is no longer there: if its deletion was cut short, a shim is left that containerd
    does not list."""

    @property
    def live(self) -> bool:
        """Whether there is a process that has not ended."""
        return self.task is not None and self.task.state is not TaskState.STOPPED

    @property
    def running(self) -> bool:
        """Whether there is a process that runs."""
        return self.task is not None and self.task.state is TaskState.RUNNING


def past_ends(container: ObservedContainer) -> tuple[PastExit, ...]:
    """The ends that a container remembers, the latest first."""
    ended = container.exit
    if ended is None:
        return container.history
    return (PastExit.of(container.restarts, ended), *container.history)


class ImagePhase(StrEnum):
    """How far the acquisition of an image has come."""

    PULLING = "Pulling"
    PRESENT = "Present"
    FAILED = "Failed"


@dataclass(frozen=True)
class ObservedImage:
    """The image that an object asks for, as far as this node has it."""

    wanted: str
    """The reference and policy that this speaks of; another one makes it meaningless."""
    phase: ImagePhase
    received_bytes: int = 0
    total_bytes: int = 0
    started_at: datetime | None = None
    reason: Reason = Reason.UNPACKED
    message: str = ""
    retry_at: datetime | None = None
    image_id: str = ""


@dataclass(frozen=True)
class Failure:
    """The last attempt to make or start a container, which failed."""

    uid: str
    spec_hash: str
    reason: Reason
    message: str
    at: datetime
    exit_code: int | None = None
    retry_at: datetime | None = None
    """When to try again; None: not before the spec changes."""
    restarted_at: str = ""
    """The user's request for a restart at that time; a newer one is a reason to try again."""


@dataclass(frozen=True)
class Checked:
    """A spec of which a container could be made on this node, when that was tried last."""

    spec_hash: str
    at: datetime


@dataclass(frozen=True)
class Trouble:
    """Something that was tried on a container that is there, and failed."""

    action: Action
    generation: int
    """Of the object, when it was tried: another spec is a reason to try again."""
    reason: Reason
    message: str
    since: datetime
    retry_at: datetime
    count: int = 0


@dataclass(frozen=True)
class Elsewhere:
    """An object that is another node's, while this node has a container under its name."""

    key: Key
    uid: str
    resource_version: str
    node_name: str | None
    """The node that it names; None when it is bound to none."""


@dataclass(frozen=True)
class Observation:
    """All that is known about one key at one moment."""

    containers: tuple[ObservedContainer, ...] = ()
    image: ObservedImage | None = None
    failure: Failure | None = None
    unavailable_since: datetime | None = None
    """Since when containerd does not answer; None when it does. Then the containers are what was last seen."""
    boot_id: str = ""
    """The node's present boot."""
    violations: tuple[FieldError, ...] = ()
    """What of the spec the node's policy does not allow."""
    dependencies: Dependencies | None = None
    """How far what it depends on has come; None when nobody has looked."""
    dependents: tuple[Dependent, ...] = ()
    """Of one that is being deleted: who is to go first."""
    health: Health | None = None
    """The health of the present run, when it has a health check."""
    missing_runtimes: Mapping[str, str] = field(default_factory=dict)
    """The OCI runtimes that are gone from the node, each with its binary."""
    lost: frozenset[str] = frozenset()
    """Ids of containers whose processes run on, and of which containerd knows nothing any more."""
    checked: Checked | None = None
    has_freezer: bool = True
    """Whether the node can freeze processes."""
    troubles: tuple[Trouble, ...] = ()
    elsewhere: Elsewhere | None = None
    """Whose the object is, when it is another node's; then nothing is declared here."""
