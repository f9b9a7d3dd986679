"""How a container is brought to its end: the stop signal, the grace period, SIGKILL, and at last its removal. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.agent.actions import Action, Announcement, KillContainer, RemoveContainer, ResumeContainer, SignalStop
from controller.agent.decision import PATIENCE, Plan, engine_state
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause
from controller.agent.observation import ObservedContainer, TaskState
from controller.api.container import ContainerSpec
from controller.api.reasons import Reason
from controller.api.signals import parse_signal

KILL_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True)
class Manner:
    """How a process is asked to end, and for how long."""

    signal: int
    grace_seconds: int


AT_ONCE = Manner(signal=9, grace_seconds=0)


def manner(current: ObservedContainer, spec: ContainerSpec | None = None) -> Manner:
    """As the spec says now; where there is none, or it does not say, as the container remembers it."""
    if current.stop is not None and current.stop.cause is StopCause.HEALTH_KILL:
        return AT_ONCE
    if current.task is not None and current.task.state is TaskState.CREATED:
        return AT_ONCE  # what was never started has no ear for a signal
    if spec is None:
        return Manner(current.stop_signal, current.grace_seconds)
    signal = parse_signal(spec.stop_signal) if spec.stop_signal is not None else current.stop_signal
    return Manner(signal, spec.termination_grace_period_seconds)


def remove_all(containers: Iterable[ObservedContainer], spec: ContainerSpec | None, now: datetime) -> Plan:
    """Tear down all of these at the same time; the next look is when the first of them is due."""
    steps = [tear_down(one, StopCause.REMOVE, manner(one, spec), now) for one in containers]
    actions = tuple(action for step in steps for action in step.actions)
    return Plan(actions, look_again=min((step.look_again for step in steps if step.look_again), default=None))


def since(containers: Iterable[ObservedContainer], now: datetime) -> datetime:
    """Since when the first of them is being stopped; now, if none is yet."""
    return min((one.stop.at for one in containers if one.stop is not None), default=now)


def tear_down(
    current: ObservedContainer, cause: StopCause, how: Manner, now: datetime, news: Announcement | None = None
) -> Plan:
    """Stop the process if there is one, then remove the container."""
    if current.task is not None and current.task.state in (TaskState.RUNNING, TaskState.PAUSED, TaskState.UNKNOWN):
        return stop(current, cause, how, now, news)
    return Plan((RemoveContainer(current.id, news if current.stop is None else None),))


def stop(
    current: ObservedContainer,
    cause: StopCause,
    how: Manner,
    now: datetime,
    news: Announcement | None = None,
    *,
    because: str = "",
) -> Plan:
    """The stop signal, the grace period, then SIGKILL, again and again until the process is gone."""
    facts = _stopping_facts(current, now)
    if current.killed_at is not None and now < current.killed_at + KILL_AGAIN:
        return Plan(facts=facts, look_again=current.killed_at + KILL_AGAIN)
    if current.stop is None:
        if how.grace_seconds == 0:
            return Plan((KillContainer(current.id, cause, news, because),), facts)
        return Plan((SignalStop(current.id, how.signal, cause, news, because),), facts)
    deadline = current.stop.at + timedelta(seconds=how.grace_seconds)
    if now < deadline and not current.signalled and current.killed_at is None:
        # An agent that went before this one may have remembered the stop and no more. A second signal does no harm.
        return Plan((SignalStop(current.id, how.signal),), facts)
    if now < deadline:
        thaw: tuple[Action, ...] = ()
        if current.task is not None and current.task.state is TaskState.PAUSED:
            thaw = (ResumeContainer(current.id),)
        return Plan(thaw, facts, deadline)
    return Plan((KillContainer(current.id),), facts)


def _stopping_facts(current: ObservedContainer, now: datetime) -> Facts:
    why = Verdict(Reason.STOPPING, "the stop signal was sent; SIGKILL follows after the grace period")
    due = since([current], now) + PATIENCE
    return Facts(engine_state(current), why, progressing=why, container=current, publish_after=due)
