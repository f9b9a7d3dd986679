"""What a process's health means for it: whether it is ready, and what follows when it is not well. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.agent import stopping
from controller.agent.checks.state import STARTING, Health, shortest_failure
from controller.agent.decision import Plan
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import FOR_HEALTH, StopCause
from controller.agent.observation import ObservedContainer
from controller.api.container import ContainerSpec, ContainerState, HealthStatus, OnFailure
from controller.api.reasons import Reason

_CAUSES = {
    OnFailure.RESTART: StopCause.HEALTH_RESTART,
    OnFailure.STOP: StopCause.HEALTH_STOP,
    OnFailure.KILL: StopCause.HEALTH_KILL,
}


def running(spec: ContainerSpec, current: ObservedContainer, health: Health | None, now: datetime) -> Plan:
    """A process that runs is as declared, and ready while it is healthy; what follows when it is not, the spec says."""
    facts = Facts(ContainerState.RUNNING, Verdict(Reason.RUNNING), container=current)
    if spec.health_check is None:
        return Plan(facts=replace(facts, ready=True))
    health = health or STARTING
    facts = replace(facts, health=health)
    if health.status is HealthStatus.HEALTHY:
        return Plan(facts=replace(facts, ready=True))
    if health.status is HealthStatus.STARTING:
        why = Verdict(Reason.HEALTH_STARTING, health.message)
        return Plan(facts=replace(facts, why=why, progressing=why))
    cause = _CAUSES.get(spec.health_check.on_failure)
    if cause is not None:
        how = stopping.AT_ONCE if cause is StopCause.HEALTH_KILL else stopping.manner(current, spec)
        return stopping.stop(current, cause, how, now, because=health.message)
    return Plan(facts=replace(facts, why=Verdict(Reason.UNHEALTHY, health.message)))


def is_cause(current: ObservedContainer) -> bool:
    """Whether the process was stopped because it was unhealthy."""
    return current.stop is not None and current.stop.cause in FOR_HEALTH


def counted_from(spec: ContainerSpec, current: ObservedContainer, ended: datetime) -> tuple[datetime, timedelta]:
    """Until when a run counts, and how much of it says nothing about its being stable.

    A run that was never well must not pass for stable because it took its time to be found unhealthy, nor because it took its time to end.
    """
    if current.stop is None or not is_cause(current):
        return ended, timedelta()
    check = spec.health_check
    return current.stop.at, shortest_failure(check) if check is not None else timedelta()
