"""What the agent observed of a `Container` and reports in its status. Pure: no input or output."""

# ruff: noqa: RUF012 -- pydantic copies a default for each instance
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.conditions import Condition
from controller.api.model import Model, keyed_by


def whole_seconds(moment: datetime | None) -> datetime | None:
    """Kubernetes writes times in whole seconds."""
    return moment.replace(microsecond=0) if moment is not None else None


class ContainerState(StrEnum):
    """What the engine sees, in one word."""

    PENDING = "Pending"
    CREATED = "Created"
    RUNNING = "Running"
    PAUSED = "Paused"
    RESTARTING = "Restarting"
    EXITED = "Exited"
    REMOVING = "Removing"
    UNKNOWN = "Unknown"


class PullProgress(Model):
    """How far the pull of the image has come."""

    received_bytes: int = 0
    """Bytes received so far."""
    total_bytes: int = 0
    """Bytes of all layers that must be fetched; 0 while not known."""
    started_at: datetime | None = None
    """When the pull began."""


class PastRun(Model):
    """One earlier run of the container's process."""

    restart: int
    """Which run it was: 0 for the first, else the number of the restart that began it."""
    started_at: datetime | None = None
    """When it began."""
    finished_at: datetime | None = None
    """When it ended."""
    exit_code: int | None = None
    """Its exit code."""
    signal: int | None = None
    """Number of the signal that ended it."""
    oom_killed: bool | None = None
    """Whether the kernel killed it for want of memory."""
    reason: str = ""
    """Why it ended, in one word."""
    message: Annotated[str, Field(max_length=1536)] | None = None
    """How it ended, and the end of what it printed if it failed: 1536 bytes at most of the latest run, 384 of each other."""


class HealthStatus(StrEnum):
    """What the health check has found, in one word; the words are those of container engines."""

    STARTING = "Starting"
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"


class CheckResult(Model):
    """One check of a container's health."""

    start: datetime | None = None
    """When it began."""
    end: datetime | None = None
    """When it ended."""
    exit_code: int | None = None
    """Exit code of the command; of other checks 0 for a success and 1 for a failure; -1 when it took too long."""
    output: Annotated[str, Field(max_length=1024)] | None = None
    """What the command printed or the server answered, or why the check failed; the first 1024 bytes."""


class ContainerHealth(Model):
    """Whether the process is well, as its health check found."""

    status: HealthStatus | None = None
    """Starting (no check has succeeded yet), Healthy or Unhealthy."""
    failing_streak: int = 0
    """How many checks in a row have failed; brought up to date together with `log`."""
    log: Annotated[list[CheckResult], Field(max_length=5)] = []
    """The last checks, the latest last; five at most. Brought up to date with each change of health, and once a minute while checks fail."""


class ContainerStatus(Model):
    """What the agent observed. Written when it changes: by the agent, and by the manager while there is no agent for it."""

    observed_generation: int | None = None
    """The generation of the spec that this status speaks of."""
    state: ContainerState | None = None
    """What the engine sees, in one word: Pending, Created, Running, Paused, Restarting, Exited, Removing or Unknown."""
    container_id: str | None = None
    """Id of the container in containerd (64 hex digits); present only while containerd has it."""
    image_id: str | None = None
    """Digest of the image's configuration that the container was made from."""
    node_name: str | None = None
    """The node that runs the container."""
    pid: int | None = None
    """Process id of the container's first process, in the node's process namespace."""
    runtime_name: str | None = None
    """The OCI runtime that the container was made with."""
    created_at: datetime | None = None
    """When the container was made."""
    started_at: datetime | None = None
    """When its process was started last."""
    finished_at: datetime | None = None
    """When its process ended last."""
    exit_code: int | None = None
    """Exit code of the last process: 128 + n when signal n ended it; 127, 126 or 128 when it could not be started."""
    signal: int | None = None
    """Number of the signal that ended the last process."""
    oom_killed: bool | None = None
    """Whether the kernel killed it for want of memory."""
    restart_count: int | None = None
    """How often the container was started again."""
    next_restart_at: datetime | None = None
    """When the process is started again, while that waits."""
    history: Annotated[list[PastRun], Field(max_length=5)] = []
    """The last runs that have ended, the latest first; five at most."""
    restarted_at: str | None = None
    """The request for a restart (annotation `tallyman.dev/restartedAt`) that was answered last."""
    stopped_by_user: bool | None = None
    """Whether the user asked for the stop; then no restart policy undoes it."""
    health: ContainerHealth | None = None
    """What the health check has found; present while a process runs that has one."""
    spec_hash: str | None = None
    """Hash of the part of the spec that the container was made from."""
    pull: PullProgress | None = None
    """Progress of the pull, while there is one."""
    conditions: Annotated[list[Condition], Field(json_schema_extra=keyed_by("type"))] = []
    """Ready, Reconciling, Stalled, Accepted, ImageReady, Healthy, each with reason and message."""
