"""What a decision is, and the words that all rules share. Pure data and pure functions."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.agent.actions import Action
from controller.agent.facts import Facts, Verdict
from controller.agent.observation import ObservedContainer, TaskState
from controller.api.container import ContainerState

PATIENCE = timedelta(seconds=1)
"""How long something passing must last before it is worth a write of the status."""
CLOCK_SLACK = timedelta(seconds=2)
"""How far ahead a moment of the past may lie before the node's clock counts as set back."""


@dataclass(frozen=True)
class Plan:
    """What to do, in order; what to say once nothing is left to do; and when to look again without being woken."""

    actions: tuple[Action, ...] = ()
    facts: Facts | None = None
    look_again: datetime | None = None
    forget_failure: bool = False
    say_first: bool = False
    """Whether the facts are true already, and worth saying before the actions are done."""


def is_ahead(moment: datetime | None, now: datetime) -> bool:
    """Whether what has happened would be yet to come: the node's clock was set back since."""
    return moment is not None and moment > now + CLOCK_SLACK


def is_due(moment: datetime, longest: timedelta, now: datetime) -> bool:
    """Whether a wait is over: its time has come, or it is longer than any such wait, since the node's clock was set back."""
    return now >= moment or moment > now + longest + CLOCK_SLACK


def working(current: ObservedContainer | None, why: Verdict) -> Facts:
    """The facts while the agent works or waits."""
    ended = current.exit if current is not None else None
    return Facts(engine_state(current), why, progressing=why, container=current, exit=ended)


def engine_state(current: ObservedContainer | None) -> ContainerState:
    """The engine's word for what containerd has."""
    if current is None:
        return ContainerState.PENDING
    if current.task is None:
        return ContainerState.CREATED if current.exit is None else ContainerState.EXITED
    return {
        TaskState.CREATED: ContainerState.CREATED,
        TaskState.RUNNING: ContainerState.RUNNING,
        TaskState.PAUSED: ContainerState.PAUSED,
        TaskState.STOPPED: ContainerState.EXITED,
        TaskState.UNKNOWN: ContainerState.UNKNOWN,
    }[current.task.state]
