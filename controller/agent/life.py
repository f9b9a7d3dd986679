"""The life of a container as one state machine: its phases, and every edge from one to another with who brings it about. Pure.

`plan` decides by the phase that a container is in; an edge that is not written down here does not exist. The same table is drawn in
docs/lifecycle.md, each of its edges has a test of its own, and the property tests let nothing happen that is not among them.

A phase is one container's in containerd. What its object is told to be in (`status.state`) follows from it, and from what the object
asks for: see `ContainerState`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.agent.declared import Declared
from controller.agent.observation import ObservedContainer, TaskState
from controller.api.container import ContainerState, ContainerStatus


class Phase(StrEnum):
    """Where a container is in its life."""

    ABSENT = "Absent"
    CREATED = "Created"
    MADE = "Made"
    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    ENDED = "Ended"
    RECORDED = "Recorded"
    VANISHED = "Vanished"
    EXITED = "Exited"
    UNKNOWN = "Unknown"


MEANING: Final[Mapping[Phase, str]] = {
    Phase.ABSENT: "containerd has no such container.",
    Phase.CREATED: "It is registered with containerd; the present run of its process is still to begin.",
    Phase.MADE: "Its process is made, and waits to be started.",
    Phase.RUNNING: "Its process runs.",
    Phase.PAUSED: "Its processes are frozen.",
    Phase.STOPPING: "Its process is there, and is to end: the container remembers by a label who asked for it, and when.",
    Phase.ENDED: "Its process has ended; that is not remembered yet.",
    Phase.RECORDED: "The end is remembered by a label; the ended process and its shim are still to be freed.",
    Phase.VANISHED: "Its process had begun and is gone, and nobody knows how it ended.",
    Phase.EXITED: "Its process has ended, the end is remembered, and nothing of the process is left.",
    Phase.UNKNOWN: "containerd can't tell how its process is.",
}


STATES: Final[Mapping[ContainerState, tuple[Phase, ...]]] = {
    ContainerState.PENDING: (Phase.ABSENT,),
    ContainerState.CREATED: (Phase.CREATED, Phase.MADE),
    ContainerState.RUNNING: (Phase.RUNNING, Phase.STOPPING),
    ContainerState.PAUSED: (Phase.PAUSED, Phase.STOPPING),
    ContainerState.RESTARTING: (Phase.EXITED,),
    ContainerState.EXITED: (Phase.ENDED, Phase.RECORDED, Phase.VANISHED, Phase.EXITED, Phase.ABSENT),
    ContainerState.REMOVING: tuple(Phase),
    ContainerState.UNKNOWN: (Phase.UNKNOWN,),
}
"""The phases in which a status may show each state: Restarting where a policy waits, Removing where the object is deleted, and Exited
without a container where its start has failed for good."""


def phase(declared: Declared | None, current: ObservedContainer | None) -> Phase:
    """The phase of a container, with what the status of its object remembers of it."""
    if current is None:
        return Phase.ABSENT
    if current.task is None:
        if current.exit is not None:
            return Phase.EXITED
        return Phase.VANISHED if has_run(declared, current) else Phase.CREATED
    match current.task.state:
        case TaskState.STOPPED:
            return Phase.RECORDED if is_recorded(current) else Phase.ENDED
        case TaskState.UNKNOWN:
            return Phase.UNKNOWN
        case _ if current.stop is not None:
            return Phase.STOPPING
        case TaskState.CREATED:
            return Phase.MADE
        case TaskState.RUNNING:
            return Phase.RUNNING
        case TaskState.PAUSED:
            return Phase.PAUSED


def has_run(declared: Declared | None, current: ObservedContainer) -> bool:
    """Whether the present run has begun: this agent saw it start, its stop was asked for, or the status says so."""
    if current.started_at is not None or current.stop is not None:
        return True
    return declared is not None and declared.status.started_at is not None and is_told(declared.status, current)


def is_told(status: ContainerStatus, current: ObservedContainer) -> bool:
    """Whether a status speaks of the present run of a container."""
    return (status.container_id, status.restart_count or 0) == (current.id, current.restarts)


def is_recorded(current: ObservedContainer) -> bool:
    """Whether the end of this very process is remembered, not that of the one before."""
    task, ended = current.task, current.exit
    return task is not None and ended is not None and (task.exited_at is None or ended.finished_at == task.exited_at)


@dataclass(frozen=True)
class Edge:
    """One step of a life."""

    source: Phase
    target: Phase
    by: str
    """The action that is done, by its class's name in `actions`; or else who: `process`, `node`, `somebody`, `containerd`."""
    when: str
    """The occasion, for people."""
    rare: bool = False
    """Whether it is the trace of a crash, of somebody's meddling, or of a memory that was lost."""


PROCESS: Final = "process"
"""The process itself: it ends, by an exit or by a signal, or the kernel ends it."""
NODE: Final = "node"
"""A reboot, or an end of its shim: the process is gone and its exit code with it."""
SOMEBODY: Final = "somebody"
"""Somebody else who reaches containerd."""
CONTAINERD: Final = "containerd"
"""containerd itself: it loses sight of a process, or sees it again."""

_P = Phase
EDGES: Final = (
    Edge(_P.ABSENT, _P.CREATED, "CreateContainer", "It is to run or to be paused, its image is there, and nothing holds it back."),
    Edge(_P.CREATED, _P.RUNNING, "StartContainer", "It is to run or to be paused, and nothing holds it back."),
    Edge(_P.CREATED, _P.MADE, "StartContainer", "A start that is cut short between the making of the process and its start.", rare=True),
    Edge(_P.CREATED, _P.ABSENT, "RemoveContainer", "Its start has failed, its spec has changed, or its object is deleted."),
    Edge(_P.MADE, _P.RUNNING, "StartContainer", "A start that was cut short goes on.", rare=True),
    Edge(_P.MADE, _P.STOPPING, "KillContainer", "It is not to run any more."),
    Edge(_P.MADE, _P.ABSENT, "RemoveContainer", "Its spec has changed, or its object is deleted."),
    Edge(_P.RUNNING, _P.PAUSED, "PauseContainer", "`desiredState: Paused`."),
    Edge(_P.RUNNING, _P.STOPPING, "SignalStop", "`desiredState: Stopped`, a request for a restart, a changed spec, a deletion, or its health."),
    Edge(_P.RUNNING, _P.STOPPING, "KillContainer", "It is to end, with a grace period of 0, or by `onFailure: Kill`."),
    Edge(_P.PAUSED, _P.RUNNING, "ResumeContainer", "`desiredState: Running`."),
    Edge(_P.PAUSED, _P.STOPPING, "SignalStop", "It is to end, as one that runs; it is thawed for its signal."),
    Edge(_P.PAUSED, _P.STOPPING, "KillContainer", "It is to end, with a grace period of 0."),
    Edge(_P.STOPPING, _P.ENDED, "SignalStop", "The process obeys its stop signal, sent again by the next agent."),
    Edge(_P.STOPPING, _P.ENDED, "ResumeContainer", "A paused process is thawed and obeys its stop signal."),
    Edge(_P.STOPPING, _P.ENDED, "KillContainer", "The grace period is over."),
    Edge(_P.RUNNING, _P.ENDED, "SignalStop", "The process obeys its stop signal at once."),
    Edge(_P.RUNNING, _P.ENDED, "KillContainer", "SIGKILL ends the process at once."),
    Edge(_P.PAUSED, _P.ENDED, "KillContainer", "SIGKILL ends a frozen process too."),
    Edge(_P.MADE, _P.ENDED, "KillContainer", "SIGKILL ends a process that was never started."),
    Edge(_P.RUNNING, _P.ENDED, PROCESS, "It ends by itself, or the kernel ends it, for want of memory say."),
    Edge(_P.STOPPING, _P.ENDED, PROCESS, "It ends within its grace period."),
    Edge(_P.UNKNOWN, _P.ENDED, PROCESS, "It ends while containerd can't tell how it is."),
    Edge(_P.RUNNING, _P.VANISHED, NODE, "The node is rebooted, or the shim is killed."),
    Edge(_P.PAUSED, _P.VANISHED, NODE, "The node is rebooted, or the shim is killed."),
    Edge(_P.STOPPING, _P.VANISHED, NODE, "The node is rebooted, or the shim is killed."),
    Edge(_P.UNKNOWN, _P.VANISHED, NODE, "The node is rebooted, or the shim is killed."),
    Edge(_P.ENDED, _P.VANISHED, NODE, "A reboot before the end was remembered."),
    Edge(_P.RECORDED, _P.EXITED, NODE, "A reboot after the end was remembered."),
    Edge(_P.MADE, _P.CREATED, NODE, "A reboot; a process that never began has no end.", rare=True),
    *(Edge(one, _P.CREATED, NODE, "A reboot, of a run that began and was lost before anybody who is left was told of it.", rare=True) for one in (_P.RUNNING, _P.PAUSED, _P.ENDED, _P.UNKNOWN)),
    *(Edge(one, _P.UNKNOWN, CONTAINERD, "containerd loses sight of the process.", rare=True) for one in (_P.MADE, _P.RUNNING, _P.PAUSED, _P.STOPPING)),
    *(Edge(_P.UNKNOWN, one, CONTAINERD, "It sees the process again.", rare=True) for one in (_P.MADE, _P.RUNNING, _P.PAUSED, _P.STOPPING)),
    Edge(_P.UNKNOWN, _P.ENDED, "SignalStop", "Its object is deleted, or its spec has changed; it obeys its stop signal."),
    Edge(_P.UNKNOWN, _P.ENDED, "KillContainer", "It is to end, and its grace period is over."),
    Edge(_P.RUNNING, _P.PAUSED, SOMEBODY, "Somebody freezes the processes; they are thawed again, unless that is what is declared.", rare=True),
    Edge(_P.PAUSED, _P.RUNNING, SOMEBODY, "Somebody thaws them; they are frozen again, if that is what is declared.", rare=True),
    Edge(_P.STOPPING, _P.ENDED, SOMEBODY, "Somebody thaws a process that has its stop signal waiting.", rare=True),
    Edge(_P.CREATED, _P.EXITED, "RecordFailedStart", "Its start has failed by its own fault, and it has a restart policy, which decides."),
    Edge(_P.ENDED, _P.RECORDED, "RecordExit", "Before anything else, unless the object is deleted."),
    Edge(_P.VANISHED, _P.EXITED, "RecordExit", "Exit code 255, and `NodeRebooted` where that is why."),
    Edge(_P.RECORDED, _P.EXITED, "FreeProcess", "Once the status has told of the end."),
    Edge(_P.EXITED, _P.RUNNING, "StartContainer", "The restart policy, a request for a restart, `onFailure: Restart`, or `desiredState: Running` after a stop."),
    Edge(_P.EXITED, _P.MADE, "StartContainer", "A restart that is cut short between the making of the process and its start.", rare=True),
    Edge(_P.EXITED, _P.CREATED, "StartContainer", "A restart that is cut short before the process is made, or that fails.", rare=True),
    Edge(_P.EXITED, _P.ABSENT, "RemoveContainer", "Its spec has changed, or its object is deleted, as `autoRemove` does after the end."),
    Edge(_P.RECORDED, _P.ABSENT, "RemoveContainer", "Its spec has changed, or its object is deleted."),
    Edge(_P.ENDED, _P.ABSENT, "RemoveContainer", "Its object is deleted."),
    Edge(_P.VANISHED, _P.ABSENT, "RemoveContainer", "Its object is deleted."),
    Edge(_P.RECORDED, _P.EXITED, "RemoveContainer", "A removal that is cut short.", rare=True),
    Edge(_P.ENDED, _P.VANISHED, "RemoveContainer", "A removal that is cut short.", rare=True),
    Edge(_P.ENDED, _P.CREATED, "RemoveContainer", "A removal that is cut short, of a run that nobody who is left was told of.", rare=True),
    Edge(_P.MADE, _P.CREATED, "RemoveContainer", "A removal that is cut short.", rare=True),
    *(Edge(one, _P.ABSENT, SOMEBODY, "It is removed from containerd; one that is to run is made again.", rare=True) for one in Phase if one is not _P.ABSENT),
)  # fmt: skip
"""All that can happen. A phase that an action leaves as it is, such as a second SIGKILL, is no edge."""

KNOWN: Final = frozenset((edge.source, edge.target, edge.by) for edge in EDGES)
