"""What is written down of a process that has ended: its exit status, read with all else that is known of it. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.agent.actions import RecordExit
from controller.agent.endings import LAST_OUTPUT
from controller.agent.excerpts import Output
from controller.agent.identity import FOR_HEALTH, ExitRecord
from controller.agent.observation import ObservedContainer
from controller.api.reasons import Reason
from controller.oci import exits, start_errors

_NOT_STARTED = {
    start_errors.NOT_FOUND: Reason.COMMAND_NOT_FOUND,
    start_errors.NOT_EXECUTABLE: Reason.COMMAND_NOT_EXECUTABLE,
}
VANISHED = {
    Reason.NODE_REBOOTED: "the node was restarted while the process ran",
    Reason.ERROR: "the process is gone, and nobody saw how it ended",
}
"""What is known of a process that vanished, by what made it vanish."""
EARLY = timedelta(seconds=2)
"""A process that ended so soon after its start may never have been the user's program."""


def of_process(
    current: ObservedContainer, action: RecordExit, output: Output, *, oom_kills: int, init: bool, now: datetime
) -> ExitRecord:
    """How the process ended, with what it printed last if it failed.

    `oom_kills` is how many processes of the container the kernel has killed for want of memory. With `init`, the runtime starts
    the init, and that it could not start the command shows in its exit code alone.
    """
    task = current.task
    status = exits.UNKNOWN_EXIT if action.vanished or task is None else task.exit_code
    ended = exits.describe(status, oom_killed=oom_kills > 0 and not _killed_by_us(current))
    record = ExitRecord(
        code=ended.code,
        signal=ended.signal,
        finished_at=(task.exited_at if task is not None else None) or now,
        oom_killed=ended.reason is Reason.OOM_KILLED,
        reason=action.vanished or (_NOT_STARTED.get(ended.code, ended.reason) if init else ended.reason),
        message=VANISHED.get(action.vanished, ended.message) if action.vanished else ended.message,
        started_at=action.started_at,
        short_runs=action.short_runs,
    )
    return _for_health(current, _never_ran(current, record, output) or _with_output(record, output))


def _killed_by_us(current: ObservedContainer) -> bool:
    """Whether an end by SIGKILL is our own doing and not the kernel's, even if a child of the process met that before.

    By what the container remembers: the agent that sent the signal may have gone before it could take down the end.
    """
    sent_at = current.stop.killed_at if current.stop is not None else None
    ended_at = current.task.exited_at if current.task is not None else None
    return sent_at is not None and (ended_at is None or ended_at >= sent_at)


def _for_health(current: ObservedContainer, record: ExitRecord) -> ExitRecord:
    """Of a process that was stopped for its health, that is the reason, however it took it."""
    if current.stop is None or current.stop.cause not in FOR_HEALTH:
        return record
    return replace(record, reason=Reason.UNHEALTHY, message=f"it was unhealthy and was stopped; {record.message}")


def _with_output(record: ExitRecord, output: Output) -> ExitRecord:
    if record.code == 0 or not output.text:
        return record
    return replace(record, message=f"{record.message}{LAST_OUTPUT}{output.text}")


def _never_ran(current: ObservedContainer, record: ExitRecord, output: Output) -> ExitRecord | None:
    """The end of a process that was the OCI runtime's to the last: it could not execute the program, and printed why."""
    late = current.started_at is not None and record.finished_at - current.started_at > EARLY
    if record.code != 1 or output.only_line is None or late:
        return None
    failed = start_errors.explain_output(output.only_line)
    if failed is None:
        return None
    return replace(record, code=failed.exit_code, reason=failed.reason, message=failed.message)
