"""What can't be done at this moment: the decision stands, but waits. Pure.

A plan says what should be done. What the node does not let be done just now is taken out of it here, and its facts say why and what
helps: the container's OCI runtime is gone, containerd has lost sight of its process, the node has no freezer, or the same was tried
and failed a moment ago. No other rule has to know of that.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.agent import endings
from controller.agent.actions import (
    Action,
    FreeProcess,
    KillContainer,
    PauseContainer,
    RecordExit,
    RemoveContainer,
    ResumeContainer,
    SignalStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.decision import PATIENCE, Plan, is_due, working
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.observation import Observation, ObservedContainer, TaskState
from controller.api.container import ContainerState
from controller.api.reasons import Reason

LOST_AGAIN = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=1)
_ENDED = (None, TaskState.STOPPED)


@dataclass(frozen=True)
class Hindrance:
    """Why one action has to wait."""

    why: Verdict
    until: datetime | None = None
    """When to try again; None: when the node, or the spec, has changed."""
    state: ContainerState | None = None
    """What to call the container's state, where what containerd has is not the truth."""
    stuck: bool = False
    """Whether only another spec helps."""
    publish_after: datetime | None = None


def held_back(declared: Declared | None, decided: Plan, observed: Observation, now: datetime) -> Plan:
    """The plan without what can't be done now, and with the reason."""
    found = ((action, _hindrance(action, declared, observed, now)) for action in decided.actions)
    hindered = [(action, hindrance) for action, hindrance in found if hindrance is not None]
    if not hindered:
        return _with_mention(decided, observed)
    undone = {action for action, _ in hindered}
    action, first = hindered[0]
    times = [decided.look_again, *(hindrance.until for _, hindrance in hindered)]
    return replace(
        decided,
        actions=tuple(one for one in decided.actions if one not in undone),
        facts=_told(
            decided.facts or replace(working(_target(action, observed), first.why), health=observed.health), first
        ),
        look_again=min((time for time in times if time is not None), default=None),
        say_first=False,
    )


def _told(facts: Facts, first: Hindrance) -> Facts:
    state = facts.state if first.state is None or facts.state is ContainerState.REMOVING else first.state
    return replace(
        facts,
        state=state,
        why=first.why,
        ready=False,
        progressing=None if first.stuck else first.why,
        stalled=first.why if first.stuck else None,
        publish_after=first.publish_after,
        transient=False,
    )


def _target(action: Action, observed: Observation) -> ObservedContainer | None:
    """The container that an action is for, if there is one yet."""
    return next((one for one in observed.containers if one.id == getattr(action, "id", None)), None)


def _hindrance(action: Action, declared: Declared | None, observed: Observation, now: datetime) -> Hindrance | None:
    current = _target(action, observed)
    if current is None:
        return None
    return (
        _process_lost(action, current, observed, now)
        or _runtime_missing(action, current, observed)
        or _without_freezer(action, observed)
        or _failed_before(action, declared, observed, now)
    )


def _without_freezer(action: Action, observed: Observation) -> Hindrance | None:
    if observed.has_freezer or not isinstance(action, PauseContainer):
        return None
    told = "this node's kernel has no freezer for cgroups, so nothing can be paused here; set desiredState to Running or Stopped"
    return Hindrance(Verdict(Reason.PAUSE_REFUSED, told), stuck=True)


def _failed_before(action: Action, declared: Declared | None, observed: Observation, now: datetime) -> Hindrance | None:
    """It was tried, for the same spec, and is not tried again before its time. What passes soon is not worth a write."""
    generation = declared.generation if declared is not None else 0
    for trouble in observed.troubles:
        waits = not is_due(trouble.retry_at, LONGEST_WAIT, now)
        if (trouble.action, trouble.generation) == (action, generation) and waits:
            why = Verdict(trouble.reason, trouble.message)
            return Hindrance(why, trouble.retry_at, publish_after=trouble.since + PATIENCE)
    return None


# --- an OCI runtime that is gone ----------------------------------------------------------------------------------------


def _runtime_missing(action: Action, current: ObservedContainer, observed: Observation) -> Hindrance | None:
    binary = observed.missing_runtimes.get(current.runtime_name)
    undone = _needs_runtime(action, current)
    if binary is None or undone is None:
        return None
    told = f"{_gone(current, binary)}: the container can't be {undone} until it is installed again"
    if isinstance(action, SignalStop | KillContainer) and current.task is not None:
        told += f"; process {current.task.pid} of the node can be ended by hand"
    return Hindrance(Verdict(Reason.RUNTIME_MISSING, told))


def _needs_runtime(action: Action, current: ObservedContainer) -> str | None:
    """What can't be done without the runtime, in one word; None when it can be.

    An ended process, with its shim, can be removed; it can't be freed for another start, for the runtime would still remember it.
    """
    state = current.task.state if current.task is not None else None
    match action:
        case StartContainer():
            return "started"
        case SignalStop() | KillContainer():
            return "stopped"
        case PauseContainer():
            return "paused"
        case ResumeContainer():
            return "resumed"
        case UpdateResources() if state not in _ENDED:
            return "given other resources"
        case FreeProcess() if state is not None:
            return "started again"
        case RemoveContainer() if state not in _ENDED:
            return "removed"
        case _:
            return None


def _with_mention(decided: Plan, observed: Observation) -> Plan:
    """A container that is left as it is says that its runtime is gone, for the next thing that is asked of it can't be done."""
    facts = decided.facts
    if decided.actions or facts is None or facts.container is None:
        return decided
    binary = observed.missing_runtimes.get(facts.container.runtime_name)
    if binary is None or facts.progressing or facts.stalled or facts.refused:
        return decided
    return replace(decided, facts=replace(facts, why=Verdict(Reason.RUNTIME_MISSING, _mention(facts, binary))))


def _mention(facts: Facts, binary: str) -> str:
    current = facts.container
    if current is None:
        return ""
    gone = _gone(current, binary)
    if current.task is not None and current.task.state not in _ENDED:
        goes_on = "is frozen" if current.task.state is TaskState.PAUSED else "runs on"
        return f"{gone}: the process {goes_on}, and can't be stopped, paused or changed until it is installed again"
    ended = f"{facts.why.message or endings.text(facts.exit)}; " if facts.exit is not None else ""
    return f"{ended}{gone}: the container can be removed, but not started, until it is installed again"


def _gone(current: ObservedContainer, binary: str) -> str:
    return f"OCI runtime {current.runtime_name} ({binary}) is gone from this node"


# --- a process that containerd has lost sight of ------------------------------------------------------------------------


def _process_lost(action: Action, current: ObservedContainer, observed: Observation, now: datetime) -> Hindrance | None:
    """It runs on, as its cgroup shows: it must be taken for ended by nobody, and nothing that it uses be removed."""
    if current.id not in observed.lost or not isinstance(action, RecordExit | StartContainer | RemoveContainer):
        return None
    binary = observed.missing_runtimes.get(current.runtime_name)
    told = "containerd has lost sight of the process, which runs on"
    if binary is None:
        why = Verdict(Reason.PROCESS_LOST, f"{told}; restart containerd on the node, so that it looks for it again")
    else:
        helps = "install it again, then restart containerd on the node, so that it looks for the process again"
        why = Verdict(Reason.RUNTIME_MISSING, f"{_gone(current, binary)}, and {told}; {helps}")
    return Hindrance(why, now + LOST_AGAIN, ContainerState.UNKNOWN)
