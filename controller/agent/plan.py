"""The decision: what is declared against what was observed gives what to do, what to say and when to look again.

Pure: no input or output, no clock, no sleep, nothing remembered. Deleted, invalid, paused and gone are inputs here, not branches
elsewhere. Each rule is one small function; the order of the rules is the order in `plan`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.agent.actions import (
    Action,
    AddFinalizer,
    Announcement,
    CreateContainer,
    EnsureImage,
    FreeProcess,
    KillContainer,
    PauseContainer,
    RecordExit,
    RememberStop,
    RemoveContainer,
    RemoveFinalizer,
    ResumeContainer,
    SignalStop,
    StartContainer,
    UpdateResources,
)
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import ExitRecord, StopCause, container_id
from controller.agent.observation import ImagePhase, Observation, ObservedContainer, TaskState
from controller.api.conditions import ConditionStatus, ConditionType
from controller.api.container import ContainerSpec, ContainerState, DesiredState
from controller.api.reasons import Reason
from controller.api.signals import parse_signal
from controller.api.validation import Validated
from controller.oci.fingerprint import changed_fields

PATIENCE = timedelta(seconds=1)
"""How long something passing must last before it is worth a write of the status."""
PROGRESS_INTERVAL = timedelta(seconds=2)
KILL_AGAIN = timedelta(seconds=5)
UNAVAILABLE_PATIENCE = timedelta(seconds=20)
"""How long containerd may be away, for a restart of it say, before every status tells of it."""
UNKNOWN_AGAIN = timedelta(seconds=5)


@dataclass(frozen=True)
class Manner:
    """How a process is asked to end, and for how long."""

    signal: int
    grace_seconds: int


AT_ONCE = Manner(signal=9, grace_seconds=0)


@dataclass(frozen=True)
class Plan:
    """What to do, in order; what to say once nothing is left to do; and when to look again without being woken."""

    actions: tuple[Action, ...] = ()
    facts: Facts | None = None
    look_again: datetime | None = None
    forget_failure: bool = False
    say_first: bool = False
    """Whether the facts are true already, and worth saying before the actions are done."""


def plan(declared: Declared | None, observed: Observation, now: datetime) -> Plan:
    """Decide for one object. `declared` is None only when the API server has confirmed that the object is gone."""
    if observed.unavailable_since is not None:
        return _unavailable(declared, observed, observed.unavailable_since, now)
    if declared is None:
        return _remove_all(observed.containers, now, None)
    return _withdrawn(declared, _plan(declared, observed, now))


def _plan(declared: Declared, observed: Observation, now: datetime) -> Plan:
    strangers = tuple(c for c in observed.containers if c.uid != declared.uid)
    if strangers:
        return _remove_all(strangers, now, _waiting_for_predecessor(strangers, now))
    if declared.deleting:
        return _delete(declared, observed, now)
    current, surplus = _current(declared, observed.containers)
    if surplus:
        return _remove_all(
            surplus, now, _working(current, Verdict(Reason.REMOVING, "a surplus container is being removed"))
        )
    if declared.spec is None:
        return _invalid(declared, current)
    decided = _decide(declared, declared.spec, current, observed, now)
    if decided.actions and not declared.ours:
        return replace(decided, actions=(AddFinalizer(), *decided.actions))
    return decided


def _decide(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer | None, observed: Observation, now: datetime
) -> Plan:
    if current is None:
        return _without_container(declared, spec, observed, now)
    if current.spec_hash != declared.spec_hash:
        return _outdated(declared, spec, current, observed, now)
    return _with_container(declared, spec, current, observed, now)


def _current(
    declared: Declared, containers: tuple[ObservedContainer, ...]
) -> tuple[ObservedContainer | None, tuple[ObservedContainer, ...]]:
    """The container that counts, and those that should not be there: the one made from this spec wins, then the youngest."""
    ordered = sorted(
        containers,
        key=lambda c: (c.spec_hash == declared.spec_hash, c.created_at is not None, c.created_at, c.id),
    )
    return (ordered[-1], tuple(ordered[:-1])) if ordered else (None, ())


def _withdrawn(declared: Declared, decided: Plan) -> Plan:
    """The id of a container that goes is taken out of the status before containerd forgets it."""
    going = {action.id for action in decided.actions if isinstance(action, RemoveContainer)}
    if declared.status.container_id not in going or decided.facts is None:
        return decided
    state = ContainerState.REMOVING if declared.deleting else ContainerState.PENDING
    facts = replace(decided.facts, state=state, container=None, exit=None, publish_after=None)
    return replace(decided, facts=facts, say_first=True)


def _unavailable(declared: Declared | None, observed: Observation, since: datetime, now: datetime) -> Plan:
    """Nothing is decided on what was seen before containerd went away; after a while, that is said.

    Not where only the status knows of an end: that needs no containerd, and would be overwritten.
    """
    own = tuple(c for c in observed.containers if declared is not None and c.uid == declared.uid)
    current = _current(declared, own)[0] if declared is not None else None
    unrecorded = current is None or (current.task is None and current.exit is None)
    if declared is None or (unrecorded and _ended_before(declared, current) is not None):
        return Plan()
    told = since + UNAVAILABLE_PATIENCE
    if now < told:
        return Plan(look_again=told)
    why = Verdict(
        Reason.CONTAINERD_UNAVAILABLE,
        f"the node's containerd does not answer since {since:%Y-%m-%d %H:%M:%S} UTC; what is shown was seen before that",
    )
    refused = _refusal(declared) if declared.spec is None else None
    state = ContainerState.UNKNOWN if current is not None else ContainerState.PENDING
    ended = current.exit if current is not None else None
    return Plan(facts=Facts(state, why, progressing=why, refused=refused, container=current, exit=ended))


def _refusal(declared: Declared) -> Verdict:
    """Why an invalid spec is not acted on."""
    return Verdict(declared.error_reason, Validated(None, declared.errors).message)


# --- objects that are going, gone or unusable ---------------------------------------------------------------------------


def _remove_all(containers: tuple[ObservedContainer, ...], now: datetime, facts: Facts | None) -> Plan:
    """Stop and remove containers that no object of this node stands behind."""
    steps = [_tear_down(c, StopCause.REMOVE, _manner(c), now) for c in containers]
    actions = tuple(action for step in steps for action in step.actions)
    return Plan(actions, facts, min((s.look_again for s in steps if s.look_again), default=None))


def _waiting_for_predecessor(strangers: tuple[ObservedContainer, ...], now: datetime) -> Facts:
    why = Verdict(Reason.PROGRESSING, "the container of an earlier object of this name is being removed")
    since = min((c.stop.at for c in strangers if c.stop is not None), default=now)
    return replace(_working(None, why), publish_after=since + PATIENCE)


def _delete(declared: Declared, observed: Observation, now: datetime) -> Plan:
    why = Verdict(Reason.REMOVING, "the container is being stopped and removed")
    # NB: without the container's id, so that it need not be taken out by a write of its own.
    facts = Facts(ContainerState.REMOVING, why, progressing=why)
    if not observed.containers:
        outdated = declared.status.container_id is not None
        last = (RemoveFinalizer(),) if declared.ours else ()
        return Plan(last, facts if outdated else None, say_first=outdated and declared.ours)
    steps = [_tear_down(c, StopCause.REMOVE, _manner(c, declared.spec), now) for c in observed.containers]
    since = min((c.stop.at for c in observed.containers if c.stop is not None), default=now)
    actions = tuple(action for step in steps for action in step.actions)
    look_again = min((s.look_again for s in steps if s.look_again), default=None)
    return Plan(actions, replace(facts, publish_after=since + PATIENCE), look_again)


def _invalid(declared: Declared, current: ObservedContainer | None) -> Plan:
    """A spec that breaks a rule: nothing is started or changed; what runs already goes on."""
    why = _refusal(declared)
    facts = Facts(
        engine_state(current), why, stalled=why, refused=why, container=current, exit=current.exit if current else None
    )
    return Plan(_exit_to_record(current), facts)


# --- no container yet ---------------------------------------------------------------------------------------------------


def _without_container(declared: Declared, spec: ContainerSpec, observed: Observation, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED:
        why = Verdict(Reason.STOPPED, "desiredState is Stopped, and nothing was made yet")
        return Plan(facts=Facts(ContainerState.PENDING, why), forget_failure=True)
    held_back = _failed(declared, observed, now) or _ended_before(declared) or _image(declared, observed, now, None)
    if held_back is not None:
        return held_back
    new = container_id(declared.uid, declared.spec_hash)
    return Plan((CreateContainer(_vanished_news(declared)), StartContainer(new)))


def _vanished_news(declared: Declared) -> Announcement | None:
    """A container that the status names and containerd no longer has was removed by somebody else."""
    if declared.status.container_id is None or declared.status.spec_hash != declared.spec_hash:
        return None
    return Announcement(
        Reason.CONTAINER_VANISHED,
        f"container {declared.status.container_id[:12]} is gone from containerd and was made again",
    )


def _failed(
    declared: Declared, observed: Observation, now: datetime, current: ObservedContainer | None = None
) -> Plan | None:
    """The last attempt failed: wait for its next try, or for another spec.

    Only what is not tried again is Exited: what is, must not be taken for an end by an agent that knows the status only.
    """
    failure = observed.failure
    if failure is None or (failure.uid, failure.spec_hash) != (declared.uid, declared.spec_hash):
        return None
    if failure.retry_at is not None and now >= failure.retry_at:
        return None
    why = Verdict(failure.reason, failure.message)
    ended = current.exit if current is not None else None
    state = engine_state(current)
    if failure.exit_code is not None:
        ended = ExitRecord(failure.exit_code, None, failure.at, False, failure.reason, failure.message)
        state = ContainerState.EXITED if failure.retry_at is None else state
    facts = Facts(
        state,
        why,
        progressing=None if failure.retry_at is None else why,
        stalled=why if failure.retry_at is None else None,
        refused=why if failure.reason is Reason.INVALID_SPEC else None,
        container=current,
        exit=ended,
        image=observed.image,
    )
    return Plan(facts=facts, look_again=failure.retry_at)


def _ended_before(declared: Declared, current: ObservedContainer | None = None) -> Plan | None:
    """The status remembers an end that containerd does not, or not any longer: it stays one until the spec changes.

    Of a container that is there this can only be a start that failed, for any other end is remembered by its labels.
    """
    status = declared.status
    if current is not None and (status.container_id, status.restart_count or 0) != (current.id, current.restarts):
        return None
    if status.state is not ContainerState.EXITED or status.spec_hash != declared.spec_hash or status.stopped_by_user:
        return None
    if status.exit_code is None or status.finished_at is None:
        return None
    ready = next((c for c in status.conditions if c.type is ConditionType.READY), None)
    reason = Reason(ready.reason) if ready is not None and ready.reason in set(Reason) else Reason.ERROR
    message = ready.message if ready is not None else ""
    why = Verdict(reason, message)
    stuck = any(c.type is ConditionType.STALLED and c.status is ConditionStatus.TRUE for c in status.conditions)
    ended = ExitRecord(status.exit_code, status.signal, status.finished_at, bool(status.oom_killed), reason, message)
    facts = Facts(ContainerState.EXITED, why, stalled=why if stuck else None, container=current, exit=ended)
    return Plan(facts=facts)


def _image(declared: Declared, observed: Observation, now: datetime, current: ObservedContainer | None) -> Plan | None:
    """What the image still needs; None when it is there."""
    image = observed.image
    if image is None or image.wanted != declared.image_wanted:
        return Plan((EnsureImage(),))
    if image.phase is ImagePhase.PRESENT:
        return None
    if image.phase is ImagePhase.PULLING:
        why = Verdict(Reason.PULLING, image.message)
        since = (image.started_at or now) + PATIENCE
        facts = replace(_working(current, why), image=image, publish_after=since, transient=True)
        return Plan(facts=facts, look_again=max(since, now + PROGRESS_INTERVAL) if now >= since else since)
    if image.retry_at is not None and now >= image.retry_at:
        return Plan((EnsureImage(),))
    why = Verdict(image.reason, image.message)
    return Plan(facts=replace(_working(current, why), image=image), look_again=image.retry_at)


# --- a container made from another spec ---------------------------------------------------------------------------------


def _outdated(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    """Replace the container: first everything is made ready for the new one, then the old one goes."""
    if spec.desired_state is DesiredState.STOPPED:
        return _with_container(declared, spec, current, observed, now)
    image = _image(declared, observed, now, current)
    if image is not None:
        return replace(image, actions=(*_exit_to_record(current), *image.actions))
    changed = ", ".join(changed_fields(current.fingerprint, declared.fingerprint)) or "the spec"
    news = Announcement(Reason.RECREATING, f"changed: {changed}; the container is replaced")
    step = _tear_down(current, StopCause.RECREATE, _manner(current, spec), now, news)
    why = Verdict(Reason.RECREATING, f"changed: {changed}; the container made from the former spec is being stopped")
    since = current.stop.at if current.stop else now
    return replace(step, facts=replace(_working(current, why), image=observed.image, publish_after=since + PATIENCE))


# --- the container as it should be --------------------------------------------------------------------------------------


def _with_container(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    if current.task is None:
        if current.shim_unsure:
            return Plan((FreeProcess(current.id),))
        return _without_process(declared, spec, current, observed, now)
    match current.task.state:
        case TaskState.STOPPED:
            return _with_ended_process(declared, spec, current, observed, now)
        case TaskState.CREATED:
            return _with_created_process(spec, current, now)
        case TaskState.RUNNING:
            return _with_running_process(declared, spec, current, now)
        case TaskState.PAUSED:
            return _with_paused_process(spec, current, now)
        case TaskState.UNKNOWN:
            why = Verdict(Reason.PROGRESSING, "containerd does not know the state of the process")
            facts = Facts(ContainerState.UNKNOWN, why, progressing=why, container=current)
            return Plan(facts=facts, look_again=now + UNKNOWN_AGAIN)


def _without_process(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    if current.exit is not None:
        return _exited(declared, spec, current, observed, now)
    if _has_run(declared, current):
        return Plan((RecordExit(current.id, vanished=True),))
    if spec.desired_state is DesiredState.STOPPED:
        why = Verdict(Reason.STOPPED, "desiredState is Stopped, and the process was not started yet")
        return Plan(facts=Facts(ContainerState.CREATED, why, container=current), forget_failure=True)
    failure = observed.failure
    known = failure is not None and (failure.uid, failure.spec_hash) == (current.uid, current.spec_hash)
    if failure is not None and known and current.restarts == 0:
        return Plan((RemoveContainer(current.id),), _working(current, Verdict(failure.reason, failure.message)))
    held_back = _failed(declared, observed, now, current) or _ended_before(declared, current)
    if held_back is not None:
        return held_back
    return Plan((*_resources_first(declared, current), StartContainer(current.id)))


def _resources_first(declared: Declared, current: ObservedContainer) -> tuple[Action, ...]:
    """Limits that changed while there was no process take effect with the next one."""
    return (UpdateResources(current.id),) if current.resources != declared.resources else ()


def _has_run(declared: Declared, current: ObservedContainer) -> bool:
    """Whether this container had a process before: this agent saw it start, its stop was asked for, or the status says so."""
    status = declared.status
    published = (
        status.container_id == current.id
        and status.started_at is not None
        and (status.restart_count or 0) == current.restarts
    )
    return current.started_at is not None or current.stop is not None or published


def _exited(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    ended = current.exit
    if ended is None:
        return Plan()
    stopped = current.stop is not None and current.stop.cause is StopCause.USER
    if spec.desired_state is DesiredState.STOPPED:
        if not stopped:
            return Plan((RememberStop(current.id),))
        return Plan(
            facts=_ended_facts(current, ended, Verdict(Reason.STOPPED, _ended_text(ended))), forget_failure=True
        )
    if current.stop is not None and not (stopped and spec.desired_state is DesiredState.PAUSED):
        held_back = _failed(declared, observed, now, current)
        if held_back is not None:
            return held_back
        return Plan((*_resources_first(declared, current), StartContainer(current.id, again=True)))
    if spec.desired_state is DesiredState.PAUSED:
        why = Verdict(Reason.PAUSE_REFUSED, f"there is no process to pause: {_ended_text(ended)}")
        return Plan(facts=replace(_ended_facts(current, ended, why), stalled=why))
    return Plan(facts=_ended_facts(current, ended, Verdict(ended.reason, ended.message or _ended_text(ended))))


def _with_ended_process(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    """First the end is remembered, then said, then what the process held is freed."""
    if not _recorded(current):
        return Plan((RecordExit(current.id),))
    after = _without_process(declared, spec, replace(current, task=None), observed, now)
    return Plan((FreeProcess(current.id),), after.facts, say_first=True)


def _with_created_process(spec: ContainerSpec, current: ObservedContainer, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED or current.stop is not None:
        return _stop(current, StopCause.USER, AT_ONCE, now)
    return Plan((StartContainer(current.id),))


def _with_running_process(declared: Declared, spec: ContainerSpec, current: ObservedContainer, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED or current.stop is not None:
        return _stop(current, StopCause.USER, _manner(current, spec), now)
    if current.resources != declared.resources:
        return Plan((UpdateResources(current.id),))
    if spec.desired_state is DesiredState.PAUSED:
        return Plan((PauseContainer(current.id),))
    return Plan(facts=Facts(ContainerState.RUNNING, Verdict(Reason.RUNNING), ready=True, container=current))


def _with_paused_process(spec: ContainerSpec, current: ObservedContainer, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED or current.stop is not None:
        return _stop(current, StopCause.USER, _manner(current, spec), now)
    if spec.desired_state is DesiredState.RUNNING:
        return Plan((ResumeContainer(current.id),))
    return Plan(facts=Facts(ContainerState.PAUSED, Verdict(Reason.PAUSED), container=current))


# --- steps shared by the rules ------------------------------------------------------------------------------------------


def _manner(current: ObservedContainer, spec: ContainerSpec | None = None) -> Manner:
    """As the spec says now; where there is none, or it does not say, as the container remembers it."""
    if spec is None:
        return Manner(current.stop_signal, current.grace_seconds)
    signal = parse_signal(spec.stop_signal) if spec.stop_signal is not None else current.stop_signal
    return Manner(signal, spec.termination_grace_period_seconds)


def _tear_down(
    current: ObservedContainer, cause: StopCause, manner: Manner, now: datetime, news: Announcement | None = None
) -> Plan:
    """Stop the process if there is one, then remove the container."""
    if current.task is not None and current.task.state in (TaskState.RUNNING, TaskState.PAUSED, TaskState.UNKNOWN):
        return _stop(current, cause, manner, now, news)
    return Plan((RemoveContainer(current.id, news if current.stop is None else None),))


def _stop(
    current: ObservedContainer, cause: StopCause, manner: Manner, now: datetime, news: Announcement | None = None
) -> Plan:
    """The stop signal, the grace period, then SIGKILL, again and again until the process is gone."""
    facts = _stopping_facts(current, now)
    if current.killed_at is not None and now < current.killed_at + KILL_AGAIN:
        return Plan(facts=facts, look_again=current.killed_at + KILL_AGAIN)
    if current.stop is None:
        if manner.grace_seconds == 0:
            return Plan((KillContainer(current.id, cause, news),), facts)
        return Plan((SignalStop(current.id, manner.signal, cause, news),), facts)
    deadline = current.stop.at + timedelta(seconds=manner.grace_seconds)
    if now < deadline:
        thaw: tuple[Action, ...] = ()
        if current.task is not None and current.task.state is TaskState.PAUSED:
            thaw = (ResumeContainer(current.id),)
        return Plan(thaw, facts, deadline)
    return Plan((KillContainer(current.id),), facts)


def _exit_to_record(current: ObservedContainer | None) -> tuple[Action, ...]:
    """A process that has ended and still holds its place."""
    if current is None or current.task is None or current.task.state is not TaskState.STOPPED:
        return ()
    return (FreeProcess(current.id),) if _recorded(current) else (RecordExit(current.id),)


def _recorded(current: ObservedContainer) -> bool:
    """Whether the end of this very process is remembered, not that of the one before."""
    task, ended = current.task, current.exit
    return task is not None and ended is not None and (task.exited_at is None or ended.finished_at == task.exited_at)


def _working(current: ObservedContainer | None, why: Verdict) -> Facts:
    ended = current.exit if current is not None else None
    return Facts(engine_state(current), why, progressing=why, container=current, exit=ended)


def _stopping_facts(current: ObservedContainer, now: datetime) -> Facts:
    why = Verdict(Reason.STOPPING, "the stop signal was sent; SIGKILL follows after the grace period")
    since = current.stop.at if current.stop else now
    return Facts(engine_state(current), why, progressing=why, container=current, publish_after=since + PATIENCE)


def _ended_facts(current: ObservedContainer, ended: ExitRecord, why: Verdict) -> Facts:
    return Facts(ContainerState.EXITED, why, container=current, exit=ended)


def _ended_text(ended: ExitRecord) -> str:
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
    return f"the process ended with {how}"


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
