"""What a restart policy makes of a process that has ended. Pure: a rule a function, and the time is an argument."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.agent import endings
from controller.agent.identity import ExitRecord
from controller.api.lifecycle import Backoff, RestartPolicy, RestartPolicyName
from controller.api.reasons import Reason

_MOST_DOUBLINGS = 64
"""Beyond it every back-off has long come to its cap; more would only make the numbers overflow."""


@dataclass(frozen=True)
class Restart:
    """It is started again, not before `at`."""

    at: datetime


@dataclass(frozen=True)
class Stay:
    """It stays ended. With `stuck`, only because of a limit that somebody may want to lift."""

    reason: Reason
    message: str
    stuck: bool = False


def after_exit(policy: RestartPolicy, ended: ExitRecord, retries: int) -> Restart | Stay:
    """What follows from an end that nobody asked for, after so many restarts by the policy."""
    success = ended.code in policy.success_exit_codes
    told = Stay(Reason.COMPLETED if success else _failure(ended), ended.message)
    if policy.name is RestartPolicyName.NEVER:
        return told
    if ended.code in policy.never_restart_exit_codes:
        message = f"exit code {ended.code} is one of restartPolicy.neverRestartExitCodes; it is not started again"
        return Stay(Reason.RESTART_EXCLUDED, message, stuck=True)
    if policy.name is RestartPolicyName.ON_FAILURE and success:
        return told
    return _again(policy, ended, retries)


def after_unhealthy(policy: RestartPolicy, ended: ExitRecord, retries: int) -> Restart | Stay:
    """What follows from an end that `healthCheck.onFailure: Restart` asked for: whatever the policy's name and the exit code."""
    return _again(policy, ended, retries)


def _again(policy: RestartPolicy, ended: ExitRecord, retries: int) -> Restart | Stay:
    limit = policy.maximum_retry_count
    if limit is not None and retries >= limit:
        limited = f"it was started again {'once' if retries == 1 else f'{retries} times'}, which is the limit"
        message = endings.with_more(ended.message, limited)
        return Stay(Reason.RETRY_LIMIT_REACHED, message, stuck=True)
    return Restart(ended.finished_at + wait(policy.backoff, ended.short_runs))


def _failure(ended: ExitRecord) -> Reason:
    """The end's own reason, unless that is success by another rule than this container's."""
    return Reason.ERROR if ended.reason is Reason.COMPLETED else ended.reason


def wait(backoff: Backoff, short_runs: int) -> timedelta:
    """How long to wait after so many short runs in a row; a stable one counts as none."""
    doublings = min(max(short_runs - 1, 0), _MOST_DOUBLINGS)
    return timedelta(seconds=min(backoff.initial_seconds * backoff.factor**doublings, backoff.max_seconds))


def short_runs(
    backoff: Backoff,
    before: int,
    started_at: datetime | None,
    finished_at: datetime,
    spared: timedelta = timedelta(),
) -> int:
    """How many runs in a row were short, with the one that ended just now; 0 when it was stable.

    A run of which nobody knows when it began counts as short. `spared` is what it has run in any case, well or not.
    """
    needed = timedelta(seconds=backoff.reset_after_seconds) + spared
    stable = started_at is not None and finished_at - started_at >= needed
    return 0 if stable else before + 1
