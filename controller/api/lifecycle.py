"""When a container's process is started: after others, and again after its end (restart policy, back-off, meaning of exit codes).

Part of the spec; no model here stands alone. Pure: no input or output.
"""

# ruff: noqa: RUF012 -- pydantic copies a default for each instance
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from controller.api.model import DISTINCT, Model
from controller.api.scalars import Integer, Number, ObjectName

ExitCode = Annotated[Integer, Field(ge=0, le=255)]
ExitCodes = Annotated[list[ExitCode], Field(max_length=64, json_schema_extra=DISTINCT)]


class RestartPolicyName(StrEnum):
    """Whether a process that has ended is started again."""

    ALWAYS = "Always"
    UNLESS_STOPPED = "UnlessStopped"
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class Backoff(Model):
    """How long to wait before a process is started again; longer from one short run to the next."""

    initial_seconds: Annotated[Number, Field(ge=0, le=3600)] = 0.1
    """Seconds before the first restart."""
    factor: Annotated[Number, Field(ge=1, le=10)] = 2
    """By how much each wait is longer than the one before."""
    max_seconds: Annotated[Number, Field(ge=0, le=86400)] = 60
    """Most seconds to wait."""
    reset_after_seconds: Annotated[Number, Field(ge=0, le=86400)] = 10
    """A run of at least so many seconds counts as stable: after it the waits begin anew."""


class RestartPolicy(Model):
    """Whether and when a process that has ended is started again. A stop that the user asked for is never undone."""

    name: RestartPolicyName = RestartPolicyName.NEVER
    """Always, UnlessStopped, OnFailure (after an exit code that is no success) or Never."""
    maximum_retry_count: Annotated[Integer, Field(ge=0, le=1_000_000)] | None = None
    """With OnFailure: how often it is started again at most, counted since it was started first or by the user. Default: no limit."""
    backoff: Backoff = Backoff()
    """How long to wait before each restart."""
    success_exit_codes: ExitCodes = [0]
    """Exit codes that count as success: reason Completed, and no restart by OnFailure."""
    never_restart_exit_codes: ExitCodes = []
    """Exit codes after which no policy restarts the container."""


class DependencyCondition(StrEnum):
    """What another container must have come to."""

    STARTED = "Started"
    HEALTHY = "Healthy"
    COMPLETED = "Completed"


class Dependency(Model):
    """Another container of the namespace that must have come to something before this one is started."""

    name: ObjectName
    """Name of the other Container, in the same namespace, on this node or another."""
    condition: DependencyCondition = DependencyCondition.STARTED
    """Started: its process runs. Healthy: it runs, and its health check succeeds. Completed: its process has ended with success."""
