"""What is worth telling the user of a step that was done, or of a status that was written. Pure.

Steps and statuses are told once each; that repeats are counted and floods held back is the business of whoever posts them. A
message never holds what a process printed: that may be anything, and more people read Events than logs.
"""

from datetime import UTC, datetime, timedelta

from controller.agent import endings, life, stopping
from controller.agent.actions import (
    Action,
    Announcement,
    CreateContainer,
    DeleteObject,
    KillContainer,
    PauseContainer,
    RecordExit,
    RemoveContainer,
    ResumeContainer,
    SignalStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.declared import Declared
from controller.agent.exit_record import VANISHED
from controller.agent.identity import ExitRecord, StopCause, container_id
from controller.agent.observation import ObservedContainer, ObservedTask, TaskState
from controller.api.container import ContainerStatus
from controller.api.events import EVENTS
from controller.api.reasons import Reason
from controller.api.signals import signal_name
from controller.oci.exits import Exit, describe

ANY = ""
"""All news of a reason are alike, whatever their messages say."""
EPOCH = datetime.fromtimestamp(0, UTC)
WHY_STOPPED = {
    StopCause.USER: "desiredState is Stopped",
    StopCause.RECREATE: "the spec changed",
    StopCause.RESTART: "a restart was asked for",
    StopCause.REMOVE: "the container is to be removed",
    StopCause.HEALTH_RESTART: "it is unhealthy (onFailure: Restart)",
    StopCause.HEALTH_STOP: "it is unhealthy (onFailure: Stop)",
    StopCause.HEALTH_KILL: "it is unhealthy (onFailure: Kill)",
}


def of_step(
    action: Action, declared: Declared, before: ObservedContainer | None, after: ObservedContainer | None
) -> tuple[Announcement, ...]:
    """What an action that was done tells; `before` and `after` are the container that it was about."""
    own: Announcement | None = getattr(action, "announcement", None)
    announced = () if own is None else (own,)
    match action:
        case CreateContainer():
            made = container_id(declared.uid, declared.spec_hash)
            return (*announced, Announcement(Reason.CREATED, f"container {made[:12]} is made", ANY))
        case StartContainer():
            return (_started(after),)
        case SignalStop() | KillContainer():
            return announced or _stopping(action, declared, before)
        case RecordExit():
            return _only(end(action, declared, before, after))
        case PauseContainer():
            return (Announcement(Reason.PAUSED, "the processes are frozen"),)
        case ResumeContainer() if before is None or before.stop is None:
            return (Announcement(Reason.RESUMED, "the processes are thawed"),)
        case UpdateResources():
            return (Announcement(Reason.UPDATED, "the limits of the spec are in force"),)
        case RemoveContainer():
            return (*announced, *_only(end(action, declared, before, after)), *_removed(before))
        case DeleteObject():
            return (
                Announcement(
                    Reason.REMOVING, "it has ended or can't be made, and autoRemove is set: its object is deleted"
                ),
            )
    return announced


def _started(after: ObservedContainer | None) -> Announcement:
    again = f", restart {after.restarts}" if after is not None and after.restarts else ""
    pid = f", pid {after.task.pid}" if after is not None and after.task is not None else ""
    return Announcement(Reason.STARTED, f"the process is started{pid}{again}", ANY)


def _stopping(
    action: SignalStop | KillContainer, declared: Declared, before: ObservedContainer | None
) -> tuple[Announcement, ...]:
    """Why a process is asked to end, and how; or that it did not, and is killed."""
    if action.cause is None:
        if isinstance(action, SignalStop):
            # The signal of a stop that an earlier agent has told of.
            return ()
        return (Announcement(Reason.KILLING, "the process did not end within its grace period; SIGKILL is sent", ANY),)
    why = "the object is deleted" if declared.deleting else WHY_STOPPED[action.cause]
    if action.cause is StopCause.RESTART and declared.restarted_at:
        why = f"{why} ({declared.restarted_at})"
    reason = Reason.RESTARTING if action.cause in (StopCause.RESTART, StopCause.HEALTH_RESTART) else Reason.STOPPING
    if isinstance(action, KillContainer):
        return (Announcement(reason, f"{why}: SIGKILL is sent"),)
    sent = f"{why}: {signal_name(action.signal)} is sent"
    if before is None:
        return (Announcement(reason, sent),)
    grace = stopping.manner(before, declared.spec).grace_seconds
    return (Announcement(reason, f"{sent}, SIGKILL follows after {grace} s"),)


def end(
    action: Action, declared: Declared, before: ObservedContainer | None, after: ObservedContainer | None
) -> Announcement | None:
    """How a process ended, if this action is the one that takes it down, or that clears it away before anybody has."""
    match action:
        case RecordExit(vanished=vanished) if after is not None and after.exit is not None:
            return _end(declared, after, after.exit, VANISHED.get(vanished) if vanished is not None else None)
        case RemoveContainer() if before is not None and before.task is not None:
            if before.task.state is TaskState.STOPPED and not life.is_recorded(before):
                return _end(declared, before, _seen(before.task, endings.began(declared, before)))
    return None


def _only(announcement: Announcement | None) -> tuple[Announcement, ...]:
    return () if announcement is None else (announcement,)


def _seen(task: ObservedTask, began: datetime | None) -> ExitRecord:
    """The end of a process as containerd tells it."""
    told = describe(task.exit_code)
    return ExitRecord(told.code, told.signal, task.exited_at or began or EPOCH, False, told.reason, started_at=began)


def _end(declared: Declared, after: ObservedContainer, ended: ExitRecord, vanished: str | None = None) -> Announcement:
    return Announcement(_why_ended(declared, after, ended), vanished or _how_ended(ended), f"{ended.code}")


def _why_ended(declared: Declared, after: ObservedContainer, ended: ExitRecord) -> Reason:
    """The end's reason as its user sees it: by their own wish, or by what they call success."""
    if ended.reason not in (Reason.COMPLETED, Reason.ERROR, Reason.UNHEALTHY):
        return ended.reason
    if after.stop is not None:
        return Reason.STOPPED
    success = declared.spec.restart_policy.success_exit_codes if declared.spec is not None else [0]
    return Reason.COMPLETED if ended.code in success else Reason.ERROR


def _how_ended(ended: ExitRecord) -> str:
    after = f" after {_duration(ended.finished_at - ended.started_at)}" if ended.started_at is not None else ""
    was = "was " if ended.reason is Reason.OOM_KILLED else ""
    return f"the process {was}{Exit(ended.code, ended.signal, ended.reason).message}{after}"


def _removed(before: ObservedContainer | None) -> tuple[Announcement, ...]:
    """What never ran was made for a start that failed, and that has been told."""
    if before is None or (before.exit is None and before.task is None and before.started_at is None):
        return ()
    return (Announcement(Reason.REMOVED, f"container {before.id[:12]} and all that was made for it is removed", ANY),)


def of_status(before: ContainerStatus, after: ContainerStatus) -> tuple[Announcement, ...]:
    """What a status tells that the one before did not."""
    known = {condition.reason for condition in before.conditions}
    new = {c.reason: c.message for c in reversed(after.conditions) if c.reason not in known}
    if after.next_restart_at is not None and after.next_restart_at != before.next_restart_at:
        # Each wait is news, the reason of all of them being the same.
        messages = {condition.reason: condition.message for condition in reversed(after.conditions)}
        new[Reason.CRASH_LOOP_BACK_OFF] = messages.get(Reason.CRASH_LOOP_BACK_OFF, "")
    return tuple(
        Announcement(reason, endings.without_output(new[reason]), ANY)
        for reason, occasion in EVENTS.items()
        if occasion.of_condition and reason in new
    )


def pulled(image: str, since: datetime | None, now: datetime, size: int) -> str:
    """That an image has been pulled: how long that took, waiting for other pulls included, and how large it is in bytes."""
    took = f" in {_duration(now - since)}" if since is not None else ""
    return f"image {image} is pulled and unpacked{took}; its size is {size} bytes"


def _duration(elapsed: timedelta) -> str:
    """In words that suit its length."""
    seconds = max(elapsed.total_seconds(), 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"
