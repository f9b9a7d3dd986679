"""Which reasons are told as Kubernetes Events, of which type, and when. Pure.

The table of events in docs/container.md is made from here. A reason that is not listed is told by its condition alone.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.api.reasons import Reason


class EventType(StrEnum):
    """Kubernetes' two kinds of Events: what goes as it should, and what somebody may have to look at."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True)
class Occasion:
    """What an Event with a reason is about."""

    type: EventType
    when: str
    """When it is posted, in one sentence."""
    of_condition: bool = False
    """Whether it is posted when a condition takes up the reason, and not by a step of the agent."""


def _normal(when: str) -> Occasion:
    return Occasion(EventType.NORMAL, when)


def _warning(when: str) -> Occasion:
    return Occasion(EventType.WARNING, when)


def _shown(when: str, type_: EventType = EventType.WARNING) -> Occasion:
    return Occasion(type_, when, of_condition=True)


_COULD_NOT: Final = _warning("It could not be done to the container; counted with every try.")
_FAILED: Final = _warning("The container could not be made or started; counted with every try.")

EVENTS: Final[dict[Reason, Occasion]] = {
    Reason.BOUND: _normal("The container is bound to a node; names it."),
    Reason.BIND_ERROR: _warning("The API server refuses to have it given to a node; holds the answer."),
    Reason.UNBINDABLE: _warning("It can be bound to no node; says of each why not."),
    Reason.PULLING: _normal("The pull of the image has begun, and its size is known."),
    Reason.PULLED: _normal("The image is pulled and unpacked; says how long that took, and how large the image is."),
    Reason.ERR_IMAGE_PULL: _warning("A pull failed; counted with every try."),
    Reason.IMAGE_PULL_BACK_OFF: _shown("A pull failed more than once; the next try waits."),
    Reason.ERR_IMAGE_NEVER_PULL: _warning("The image is not on the node and may not be pulled."),
    Reason.CREATED: _normal("The container is registered with containerd."),
    Reason.STARTED: _normal("The process is started; counted with every restart."),
    Reason.HEALTHY: _normal("A health check has succeeded, for the first time or after failures."),
    Reason.UNHEALTHY: _warning("As many health checks in a row have failed as `healthCheck.retries` says."),
    Reason.PAUSED: _normal("The processes are frozen."),
    Reason.RESUMED: _normal("The processes are thawed."),
    Reason.UPDATED: _normal("New limits are in force in the running container."),
    Reason.STOPPING: _normal("The process is asked to end; says why, by which signal, and for how long it is waited."),
    Reason.RESTARTING: _normal("The same, since a restart was asked for, or an unhealthy process is to be restarted."),
    Reason.RECREATING: _normal("The same, since fields changed that can't change in place; names them."),
    Reason.KILLING: _warning("The process did not end within its grace period; SIGKILL is sent."),
    Reason.STOPPED: _normal("The process has ended after it was asked to."),
    Reason.COMPLETED: _normal("The process has ended by itself, with an exit code that counts as success."),
    Reason.ERROR: _warning("The process has ended by itself with any other exit code, or by a signal."),
    Reason.OOM_KILLED: _warning("The kernel has killed the process for want of memory."),
    Reason.NODE_REBOOTED: _warning("The process has ended since the node was restarted."),
    Reason.CRASH_LOOP_BACK_OFF: _shown("The process is started again after a wait; says when."),
    Reason.RETRY_LIMIT_REACHED: _shown("It is not started again: the policy's retry limit is reached."),
    Reason.RESTART_EXCLUDED: _shown("It is not started again: the policy excludes its exit code."),
    Reason.REMOVING: _normal("The object is deleted since `autoRemove` asks for it."),
    Reason.REMOVED: _normal("The container and all that was made for it are removed."),
    Reason.NODE_LOST: _warning(
        "The node's agent has not been heard of for a while; the container's state is not known."
    ),
    Reason.RESCHEDULED: _normal("The node is gone, and the container is to be bound to another one."),
    Reason.MOVED: _normal("The node that was away is back, and removes its copy of a container that was bound anew."),
    Reason.FINALIZER_REMOVED: _warning("The deleted object was let go without its node, which is gone or lost."),
    Reason.CONTAINER_VANISHED: _warning("The container was removed behind the agent's back, and is made again."),
    Reason.INVALID_SPEC: _shown("The spec breaks a rule."),
    Reason.INVALID_IMAGE_NAME: _shown("The image's name is not a reference."),
    Reason.NODE_CHANGED: _shown("`nodeName` was changed."),
    Reason.PAUSE_REFUSED: _shown("The container can't be paused as it is."),
    Reason.POLICY_FORBIDDEN: _shown("The node's policy does not allow what the spec asks for."),
    Reason.DEPENDENCY_WAITING: _shown("A dependency has not come to what is asked of it.", EventType.NORMAL),
    Reason.DEPENDENCY_MISSING: _shown("A dependency does not exist."),
    Reason.DEPENDENCY_FAILED: _shown("A dependency has failed."),
    Reason.DEPENDENCY_CYCLE: _shown("Containers wait for each other."),
    Reason.PROCESS_LOST: _shown("containerd has lost sight of the process, which runs on."),
    Reason.PAUSE_ERROR: _COULD_NOT,
    Reason.RESUME_ERROR: _COULD_NOT,
    Reason.UPDATE_ERROR: _COULD_NOT,
    Reason.STOP_ERROR: _COULD_NOT,
    Reason.REMOVE_ERROR: _COULD_NOT,
    Reason.NODE_UNFIT: _FAILED,
    Reason.RUNTIME_MISSING: _FAILED,
    Reason.LIMIT_NOT_PERMITTED: _FAILED,
    Reason.COMMAND_NOT_FOUND: _FAILED,
    Reason.COMMAND_NOT_EXECUTABLE: _FAILED,
    Reason.MOUNT_TYPE_MISMATCH: _FAILED,
    Reason.MOUNT_SOURCE_MISSING: _FAILED,
    Reason.USER_NOT_FOUND: _FAILED,
    Reason.CREATE_ERROR: _FAILED,
    Reason.START_ERROR: _FAILED,
}
"""In the order of a life."""

START_FAILURES: Final = tuple(reason for reason, occasion in EVENTS.items() if occasion is _FAILED)
"""The reasons for which a container could not be made or started."""


def type_of(reason: Reason) -> EventType:
    """The type of an Event with this reason; what nobody has classed is a warning."""
    occasion = EVENTS.get(reason)
    return EventType.WARNING if occasion is None else occasion.type
