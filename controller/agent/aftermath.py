"""What follows the end of a process: it is remembered, started again, left at that, or goes with its object. Pure."""

from dataclasses import replace
from datetime import datetime

from controller.agent import endings, unhealthy
from controller.agent.actions import (
    Action,
    Again,
    DeleteObject,
    RecordExit,
    RememberStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.decision import PATIENCE, Plan
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import ExitRecord, StopCause
from controller.agent.observation import Observation, ObservedContainer
from controller.agent.restarting import Restart, Stay, after_exit, after_unhealthy, short_runs
from controller.api.container import ContainerSpec, ContainerState, DesiredState
from controller.api.reasons import Reason
from controller.oci import start_errors


def exited(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    """What follows from an end that is remembered: by the user's wish first, else by the restart policy."""
    ended = current.exit
    if ended is None:
        return Plan()
    stopped = current.stop is not None and current.stop.cause is StopCause.USER
    if spec.desired_state is DesiredState.STOPPED:
        if not stopped:
            return Plan((RememberStop(current.id),))
        return Plan(
            facts=endings.facts(current, ended, Verdict(Reason.STOPPED, endings.text(ended))), forget_failure=True
        )
    if spec.desired_state is DesiredState.PAUSED and stopped:
        return _staying(spec, current, ended, Verdict(Reason.STOPPED), stuck=True)
    asked_for = current.stop is not None and not unhealthy.is_cause(current)
    if asked_for or restart_wanted(declared, current):
        return _start_again(declared, spec, current, observed, now, again=Again(restarted_at=declared.restarted_at))
    return _by_policy(declared, spec, current, observed, now)


def _by_policy(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    """The process has ended by itself, or for its health: the restart policy decides, unless `onFailure` does."""
    ended = current.exit
    if ended is None:
        return Plan()
    cause = current.stop.cause if current.stop is not None else None
    if cause is StopCause.HEALTH_STOP:
        unwell = current.stop.because if current.stop is not None else ""
        stays = "; ".join(filter(None, (unwell, "it stays so until it is restarted")))
        told = endings.with_more(ended.message or endings.text(ended), stays)
        return _staying(spec, current, ended, Verdict(Reason.UNHEALTHY, told), stuck=True)
    follows = after_unhealthy if cause is StopCause.HEALTH_RESTART else after_exit
    match follows(spec.restart_policy, ended, current.retries):
        case Restart(at=at):
            due = _not_before(ended, at)
            if now < due:
                return _waiting_to_restart(current, ended, due)
            again = Again(current.retries + 1, ended.short_runs, current.restarted_at)
            return _start_again(declared, spec, current, observed, now, again=again)
        case Stay(reason=reason, message=message, stuck=stuck):
            return _staying(spec, current, ended, Verdict(reason, message or endings.text(ended)), stuck=stuck)


def _not_before(ended: ExitRecord, at: datetime) -> datetime:
    """When the next try may come: what fails to start does so at once, and would be tried without pause."""
    return max(at, ended.finished_at + PATIENCE) if _never_began(ended) else at


def _never_began(ended: ExitRecord) -> bool:
    """Whether it is a start that failed, which is remembered as an end."""
    return ended.started_at is None and ended.code in start_errors.NEVER_RAN


def told_by_status(declared: Declared, spec: ContainerSpec, now: datetime) -> Plan | None:
    """An end that only the status remembers, and that the restart policy leaves at that; None when the container is to be made.

    How often the policy has started it is not in the status; all restarts are, which are as many or more.
    """
    told = endings.in_status(declared)
    if told is None or told.facts is None or told.facts.exit is None or told.facts.stalled is not None:
        return told
    match after_exit(spec.restart_policy, told.facts.exit, declared.status.restart_count or 0):
        case Restart(at=at):
            return None if now >= at else replace(told, look_again=at)
        case Stay():
            return told


def _start_again(
    declared: Declared,
    spec: ContainerSpec,
    current: ObservedContainer,
    observed: Observation,
    now: datetime,
    *,
    again: Again,
) -> Plan:
    held_back = endings.of_attempt(declared, observed, now, current)
    if held_back is not None:
        return removed_when_ended(spec, held_back)
    return Plan((*resources_first(declared, current), StartContainer(current.id, again)))


def _waiting_to_restart(current: ObservedContainer, ended: ExitRecord, at: datetime) -> Plan:
    again = f"restart {current.restarts + 1} at {at:%Y-%m-%d %H:%M:%S} UTC"
    told = endings.with_more(ended.message or endings.text(ended), again)
    why = Verdict(Reason.CRASH_LOOP_BACK_OFF, told)
    facts = Facts(
        ContainerState.RESTARTING,
        why,
        progressing=why,
        container=current,
        exit=ended,
        next_restart_at=at,
        # A wait that is soon over is not worth a write; the end itself is remembered by the container. But of one that never
        # began, nothing else would tell, however often it is tried.
        publish_after=None if _never_began(ended) else ended.finished_at + PATIENCE,
    )
    return Plan(facts=facts, look_again=at)


def _staying(spec: ContainerSpec, current: ObservedContainer, ended: ExitRecord, why: Verdict, *, stuck: bool) -> Plan:
    if spec.desired_state is DesiredState.PAUSED:
        why, stuck = Verdict(Reason.PAUSE_REFUSED, f"there is no process to pause: {endings.text(ended)}"), True
    facts = replace(endings.facts(current, ended, why), stalled=why if stuck else None)
    return removed_when_ended(spec, Plan(facts=facts))


def removed_when_ended(spec: ContainerSpec, ended: Plan) -> Plan:
    """With autoRemove the object goes, once its status has told of the end, or of why there can never be a process."""
    over = ended.facts is not None and (_ended(ended.facts) or _never_made(ended.facts))
    if not (spec.auto_remove and over and spec.desired_state is DesiredState.RUNNING):
        return ended
    return replace(ended, actions=(DeleteObject(),), say_first=True)


def _ended(facts: Facts) -> bool:
    """Whether nothing more comes of it: no try that it waits for, and no word of its user's that would let it go on."""
    return facts.state is ContainerState.EXITED and facts.progressing is None and facts.refused is None


def _never_made(facts: Facts) -> bool:
    """Whether the spec was accepted, and no container can be made of it. One that was refused is left for its user to mend."""
    return facts.state is ContainerState.PENDING and facts.stalled is not None and facts.refused is None


def restart_wanted(declared: Declared, current: ObservedContainer) -> bool:
    """Whether the user asked for a restart that the present run does not answer to."""
    return declared.restarted_at not in ("", current.restarted_at)


def resources_first(declared: Declared, current: ObservedContainer) -> tuple[Action, ...]:
    """Limits that changed while there was no process take effect with the next one."""
    return (UpdateResources(current.id),) if current.resources != declared.resources else ()


def record(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, now: datetime, vanished: Reason | None = None
) -> RecordExit:
    """The end of a run, with what the restart policy must know of it later."""
    began = endings.began(declared, current)
    ended = (current.task.exited_at if current.task is not None else None) or now
    until, spared = unhealthy.counted_from(spec, current, ended)
    runs = short_runs(spec.restart_policy.backoff, current.short_runs, began, until, spared)
    return RecordExit(current.id, vanished, began, runs)


def why_vanished(current: ObservedContainer, observed: Observation) -> Reason:
    """What made a process vanish: nothing outlives a boot."""
    rebooted = current.boot_id and observed.boot_id and current.boot_id != observed.boot_id
    return Reason.NODE_REBOOTED if rebooted else Reason.ERROR
