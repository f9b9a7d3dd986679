"""The health of one run of a container's process, as a state machine: what each check makes of it, and when the next is due.

Pure: no input or output, no clock. A run begins with `STARTING`; what was known of it before a restart of the agent is
`resumed` from the status.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from controller.api.container import HealthCheck, HealthStatus
from controller.api.status import ContainerHealth

LOG_LENGTH: Final = 5
TIMED_OUT: Final = -1
"""Exit code of a check that took too long."""
_DEFAULT_START_INTERVAL: Final = 5.0
_MAX_LINE: Final = 256


@dataclass(frozen=True, slots=True)
class CheckRun:
    """One check that was made."""

    start: datetime
    end: datetime
    exit_code: int
    output: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether it found the process well."""
        return self.exit_code == 0


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of a run's health."""

    status: HealthStatus
    failing_streak: int = 0
    log: tuple[CheckRun, ...] = ()
    """The last checks, the latest last."""
    message: str = ""
    """Why it is as it is, in words that stay until the status changes."""


STARTING: Final = Health(HealthStatus.STARTING, message="no health check has succeeded yet")


def after(before: Health, made: CheckRun, check: HealthCheck, began: datetime | None) -> Health:
    """The health once a check was made. `began` is when the run began; unknown means long ago."""
    log = (*before.log, made)[-LOG_LENGTH:]
    if made.succeeded:
        message = before.message if before.status is HealthStatus.HEALTHY else ""
        return Health(HealthStatus.HEALTHY, 0, log, message)
    if _is_spared(before, check, began, made.start):
        return replace(before, log=log)
    streak = before.failing_streak + 1
    if before.status is HealthStatus.UNHEALTHY or streak < max(check.retries, 1):
        return replace(before, failing_streak=streak, log=log)
    return Health(HealthStatus.UNHEALTHY, streak, log, _told(streak, made))


def pause(health: Health, check: HealthCheck, began: datetime | None, now: datetime) -> float:
    """Seconds from the beginning of one check to that of the next."""
    return _start_interval(check) if _is_spared(health, check, began, now) else check.interval_seconds


def resumed(known: ContainerHealth, message: str) -> Health | None:
    """The health of a run as its status tells it; None when it tells nothing."""
    if known.status is None:
        return None
    log = tuple(
        CheckRun(one.start, one.end, one.exit_code, one.output or "")
        for one in known.log
        if one.start is not None and one.end is not None and one.exit_code is not None
    )
    return Health(known.status, known.failing_streak, log, message)


def shortest_failure(check: HealthCheck) -> timedelta:
    """How long a process that never was well has run at most when it is found unhealthy."""
    each = check.interval_seconds + check.timeout_seconds
    return timedelta(seconds=check.start_period_seconds + max(check.retries, 1) * each)


def in_short(health: Health) -> str:
    """How it came to its status, without anything that the process or the command has said."""
    if health.status is HealthStatus.HEALTHY:
        return "the health check succeeded"
    return _count(health.failing_streak)


def _is_spared(health: Health, check: HealthCheck, began: datetime | None, at: datetime) -> bool:
    """Whether a failed check does not count: in the start period, as long as none has succeeded."""
    if health.status is not HealthStatus.STARTING or began is None:
        return False
    return at - began < timedelta(seconds=check.start_period_seconds)


def _start_interval(check: HealthCheck) -> float:
    return check.start_interval_seconds or min(check.interval_seconds, _DEFAULT_START_INTERVAL)


def _told(streak: int, last: CheckRun) -> str:
    line = next((line.strip() for line in last.output.splitlines() if line.strip()), "")
    how = line[:_MAX_LINE] or f"exit code {last.exit_code}"
    return f"{_count(streak)}: {how}"


def _count(streak: int) -> str:
    return "the health check failed" if streak == 1 else f"{streak} health checks in a row failed"
