"""Facts become a status: the one pure function that makes conditions, and the only one that sets Ready.

Polarity and words are those that kstatus, `kubectl wait` and Helm know: Ready True when the container is as declared;
Reconciling True while the agent works or waits; Stalled True when it can't go on until somebody changes something.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controller.agent import history, life
from controller.agent.checks.state import Health
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause
from controller.agent.observation import ImagePhase, ObservedContainer, TaskState
from controller.api.conditions import Condition, ConditionStatus, ConditionType, merged
from controller.api.container import CheckResult, ContainerHealth, ContainerStatus, HealthStatus, PullProgress
from controller.api.model import Model
from controller.api.reasons import Reason
from controller.api.status import whole_seconds

SETTLED = Verdict(Reason.SETTLED)
MAX_MESSAGE = 4096
"""Longer ones are cut: they may come from a registry or a runtime, and the API server would refuse the whole status."""


def summarize(declared: Declared, facts: Facts, node: str, now: datetime) -> ContainerStatus:
    """The status that says what `facts` found, given the one before."""
    container, ended, before = facts.container, facts.exit, declared.status
    running = container is not None and container.task is not None and container.task.state is not TaskState.STOPPED
    last = ended if not running else None
    image = facts.image
    pulling = image is not None and image.phase is ImagePhase.PULLING
    return ContainerStatus(
        observed_generation=declared.generation,
        state=facts.state,
        container_id=container.id if container else None,
        image_id=container.image_id if container else None,
        node_name=node,
        pid=container.task.pid if container and container.task and running else None,
        runtime_name=container.runtime_name or None if container else None,
        created_at=whole_seconds(container.created_at) if container else None,
        started_at=_started(declared, facts),
        finished_at=whole_seconds(last.finished_at) if last else None,
        exit_code=last.code if last else None,
        signal=last.signal if last else None,
        oom_killed=last.oom_killed if last else None,
        restart_count=container.restarts if container else before.restart_count,
        next_restart_at=whole_seconds(facts.next_restart_at),
        history=history.told(facts, before, now),
        restarted_at=(container.restarted_at if container else declared.restarted_at) or None,
        stopped_by_user=_stopped_by_user(container, running=running),
        health=_health(facts.health),
        spec_hash=container.spec_hash if container else (declared.spec_hash if last else None),
        pull=PullProgress(
            received_bytes=image.received_bytes,
            total_bytes=image.total_bytes,
            started_at=whole_seconds(image.started_at),
        )
        if image is not None and pulling
        else None,
        conditions=merged(_conditions(declared, facts), before.conditions, whole_seconds(now) or now),
    )


def _milliseconds(moment: datetime) -> datetime:
    """A check may take less than a second, and how long it took is worth knowing."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _health(health: Health | None) -> ContainerHealth | None:
    if health is None:
        return None
    log = [
        CheckResult(
            start=_milliseconds(made.start),
            end=_milliseconds(made.end),
            exit_code=made.exit_code,
            # NB: absent when empty, which some API servers take for null and refuse.
            output=made.output or None,
        )
        for made in health.log
    ]
    return ContainerHealth(status=health.status, failing_streak=health.failing_streak, log=log)


def _started(declared: Declared, facts: Facts) -> datetime | None:
    """When the last process was started: as seen by this agent, else as the status has it for the same process."""
    container, before = facts.container, declared.status
    if container is None:
        remembered = facts.exit is not None and before.finished_at == whole_seconds(facts.exit.finished_at)
        return before.started_at if remembered else None
    if container.started_at is not None:
        return whole_seconds(container.started_at)
    return before.started_at if life.is_told(before, container) else None


def _stopped_by_user(container: ObservedContainer | None, *, running: bool) -> bool | None:
    if container is None or running:
        return None
    return True if container.stop is not None and container.stop.cause is StopCause.USER else None


def _conditions(declared: Declared, facts: Facts) -> list[Condition]:
    conditions = [
        _condition(ConditionType.READY, facts.ready, facts.why),
        _condition(ConditionType.RECONCILING, facts.progressing is not None, facts.progressing or SETTLED),
        _condition(ConditionType.STALLED, facts.stalled is not None, facts.stalled or SETTLED),
        _condition(ConditionType.ACCEPTED, facts.refused is None, facts.refused or Verdict(Reason.VALID)),
        *_image_ready(facts),
        *_healthy(facts.health),
    ]
    return [c.model_copy(update={"observed_generation": declared.generation}) for c in conditions]


_HEALTH_REASONS = {
    HealthStatus.STARTING: Reason.HEALTH_STARTING,
    HealthStatus.HEALTHY: Reason.HEALTHY,
    HealthStatus.UNHEALTHY: Reason.UNHEALTHY,
}


def _healthy(health: Health | None) -> list[Condition]:
    if health is None:
        return []
    why = Verdict(_HEALTH_REASONS[health.status], health.message)
    return [_condition(ConditionType.HEALTHY, health.status is HealthStatus.HEALTHY, why)]


def _image_ready(facts: Facts) -> list[Condition]:
    image = facts.image
    if image is None or image.phase is ImagePhase.PRESENT:
        known = facts.container is not None or image is not None
        return [_condition(ConditionType.IMAGE_READY, True, Verdict(Reason.UNPACKED))] if known else []
    reason = Reason.PULLING if image.phase is ImagePhase.PULLING else image.reason
    return [_condition(ConditionType.IMAGE_READY, False, Verdict(reason, image.message))]


def _condition(kind: ConditionType, holds: bool, why: Verdict) -> Condition:
    status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
    return Condition(type=kind, status=status, reason=why.reason, message=why.message[:MAX_MESSAGE])


def difference(before: Model, after: Model) -> Mapping[str, Any]:
    """The merge patch that turns one status into the other; empty when they say the same."""
    old = before.model_dump(by_alias=True, exclude_none=True, mode="json")
    new = after.model_dump(by_alias=True, exclude_none=True, mode="json")
    return _merge_patch(old, new)


def _merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            value = _merge_patch(before, value)  # noqa: PLW2901 - what is sent of an object is its own difference
            if value:
                patch[name] = value
        elif value != before:
            patch[name] = value
    return patch
