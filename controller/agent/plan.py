"""The decision: what is declared against what was observed gives what to do, what to say and when to look again.

Pure: no input or output, no clock, no sleep, nothing remembered. Deleted, invalid, paused and gone are inputs here, not branches
elsewhere. Each rule is one small function; the order of the rules is the order in `plan`.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.agent import aftermath, elsewhere, endings, hindrances, holds, life, stopping, unhealthy
from controller.agent.actions import (
    AddFinalizer,
    Announcement,
    CheckSuccessor,
    CorrectTimes,
    CreateContainer,
    EnsureImage,
    FreeProcess,
    PauseContainer,
    RemoveContainer,
    RemoveFinalizer,
    ResumeContainer,
    StartContainer,
)
from controller.agent.decision import PATIENCE, is_ahead, is_due, working
from controller.agent.decision import Plan as Plan
from controller.agent.decision import engine_state as engine_state
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause, container_id
from controller.agent.life import Phase
from controller.agent.observation import ImagePhase, Observation, ObservedContainer, past_ends
from controller.api.container import ContainerSpec, ContainerState, DesiredState
from controller.api.reasons import Reason
from controller.api.validation import Validated
from controller.oci.fingerprint import changed_fields

PROGRESS_INTERVAL = timedelta(seconds=2)
UNAVAILABLE_PATIENCE = timedelta(seconds=20)
"""How long containerd may be away, for a restart of it say, before every status tells of it."""
UNKNOWN_AGAIN = timedelta(seconds=5)
LONGEST_PULL_WAIT = timedelta(minutes=5)
SUCCESSOR_CHECKED = timedelta(seconds=30)
"""For how long it is believed that a container can be made of a changed spec."""


def plan(declared: Declared | None, observed: Observation, now: datetime) -> Plan:
    """Decide for one object.

    `declared` is None only when the API server has said that the object is gone, or another node's: see `observed.elsewhere`.
    """
    if observed.unavailable_since is not None:
        return _unavailable(declared, observed, observed.unavailable_since, now)
    set_back = tuple(CorrectTimes(one.id) for one in observed.containers if _remembers_what_is_to_come(one, now))
    if set_back:
        return Plan(set_back)
    if declared is None and observed.elsewhere is not None:
        return hindrances.held_back(None, elsewhere.decide(observed, now), observed, now)
    if declared is None:
        return hindrances.held_back(None, stopping.remove_all(observed.containers, None, now), observed, now)
    decided = hindrances.held_back(declared, _plan(declared, observed, now), observed, now)
    return _withdrawn(declared, decided, observed)


def _remembers_what_is_to_come(container: ObservedContainer, now: datetime) -> bool:
    stopped = container.stop.at if container.stop is not None else None
    # NB: while the ended process is there, its time is how its record is known to be its own.
    ended = container.exit.finished_at if container.exit is not None and container.task is None else None
    return any(is_ahead(moment, now) for moment in (stopped, ended, container.killed_at, container.started_at))


def _plan(declared: Declared, observed: Observation, now: datetime) -> Plan:
    strangers = tuple(c for c in observed.containers if c.uid != declared.uid)
    if strangers:
        return _waiting_for_predecessor(strangers, now)
    if declared.deleting:
        return _delete(declared, observed, now)
    current, surplus = _current(declared, observed.containers)
    if surplus:
        why = Verdict(Reason.REMOVING, "a surplus container is being removed")
        return replace(stopping.remove_all(surplus, None, now), facts=working(current, why))
    if declared.spec is None:
        return _invalid(declared, current)
    decided = _decide(declared, declared.spec, current, observed, now)
    decided = holds.unless_held(decided, declared, current, observed, now)
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


def _withdrawn(declared: Declared, decided: Plan, observed: Observation) -> Plan:
    """The id of a container that goes is taken out of the status before containerd forgets it; its ends stay there."""
    ids = {action.id for action in decided.actions if isinstance(action, RemoveContainer)}
    going = [one for one in observed.containers if one.id in ids and one.uid == declared.uid]
    past = tuple(end for one in going for end in past_ends(one))
    named = declared.status.container_id in ids
    if decided.facts is None or not (named or (past and not declared.deleting)):
        return decided
    state = ContainerState.REMOVING if declared.deleting else ContainerState.PENDING
    facts = replace(decided.facts, state=state, container=None, exit=None, past=past, publish_after=None)
    return replace(decided, facts=facts, say_first=True)


def _unavailable(declared: Declared | None, observed: Observation, since: datetime, now: datetime) -> Plan:
    """Nothing is decided on what was seen before containerd went away; after a while, that is said.

    Not where only the status knows of an end: that needs no containerd, and would be overwritten.
    """
    own = tuple(c for c in observed.containers if declared is not None and c.uid == declared.uid)
    current = _current(declared, own)[0] if declared is not None else None
    unrecorded = current is None or (current.task is None and current.exit is None)
    if declared is None or (unrecorded and endings.in_status(declared, current) is not None):
        return Plan()
    told = since + UNAVAILABLE_PATIENCE
    if not is_due(told, UNAVAILABLE_PATIENCE, now):
        return Plan(look_again=told)
    why = Verdict(
        Reason.CONTAINERD_UNAVAILABLE,
        f"the node's containerd does not answer since {since:%Y-%m-%d %H:%M:%S} UTC; what is shown was seen before that",
    )
    refused = _refusal(declared) if declared.spec is None else holds.refusal(observed)
    state = ContainerState.UNKNOWN if current is not None else ContainerState.PENDING
    ended = current.exit if current is not None else None
    facts = Facts(state, why, progressing=why, refused=refused, container=current, exit=ended, health=observed.health)
    return Plan(facts=facts)


def _refusal(declared: Declared) -> Verdict:
    """Why an invalid spec is not acted on."""
    return Verdict(declared.error_reason, Validated(None, declared.errors).message)


# --- objects that are going, gone or unusable ---------------------------------------------------------------------------


def _waiting_for_predecessor(strangers: tuple[ObservedContainer, ...], now: datetime) -> Plan:
    why = Verdict(Reason.PROGRESSING, "the container of an earlier object of this name is being removed")
    facts = replace(working(None, why), publish_after=stopping.since(strangers, now) + PATIENCE)
    return replace(stopping.remove_all(strangers, None, now), facts=facts)


def _delete(declared: Declared, observed: Observation, now: datetime) -> Plan:
    why = Verdict(Reason.REMOVING, "the container is being stopped and removed")
    # NB: without the container's id, so that it need not be taken out by a write of its own.
    facts = Facts(ContainerState.REMOVING, why, progressing=why)
    if not observed.containers:
        outdated = declared.status.container_id is not None
        last = (RemoveFinalizer(),) if declared.ours else ()
        return Plan(last, facts if outdated else None, say_first=outdated and declared.ours)
    held = holds.until_dependents_are_gone(observed, now)
    if held is not None:
        return held
    due = stopping.since(observed.containers, now) + PATIENCE
    return replace(
        stopping.remove_all(observed.containers, declared.spec, now), facts=replace(facts, publish_after=due)
    )


def _invalid(declared: Declared, current: ObservedContainer | None) -> Plan:
    """A spec that breaks a rule: nothing is started or changed; what runs already goes on."""
    why = _refusal(declared)
    facts = Facts(
        engine_state(current), why, stalled=why, refused=why, container=current, exit=current.exit if current else None
    )
    return Plan(endings.to_record(declared, current), facts)


# --- no container yet ---------------------------------------------------------------------------------------------------


def _without_container(declared: Declared, spec: ContainerSpec, observed: Observation, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED:
        why = Verdict(Reason.STOPPED, "desiredState is Stopped, and nothing was made yet")
        return Plan(facts=Facts(ContainerState.PENDING, why), forget_failure=True)
    held_back = endings.of_attempt(declared, observed, now) or aftermath.told_by_status(declared, spec, now)
    if held_back is not None:
        return aftermath.removed_when_ended(spec, held_back)
    held_back = _image(declared, observed, now, None)
    if held_back is not None:
        return held_back
    make = (CreateContainer(_vanished_news(declared)), StartContainer(container_id(declared.uid, declared.spec_hash)))
    if declared.status.container_id is None:
        return Plan(make)
    # NB: before one with the same id is made, of which the status would tell that it has run.
    return Plan(make, working(None, Verdict(Reason.PROGRESSING, "the container is made again")), say_first=True)


def _vanished_news(declared: Declared) -> Announcement | None:
    """A container that the status names and containerd no longer has was removed by somebody else."""
    if declared.status.container_id is None or declared.status.spec_hash != declared.spec_hash:
        return None
    return Announcement(
        Reason.CONTAINER_VANISHED,
        f"container {declared.status.container_id[:12]} is gone from containerd and was made again",
    )


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
        facts = replace(working(current, why), image=image, publish_after=since, transient=True)
        return Plan(facts=facts, look_again=now + PROGRESS_INTERVAL if is_due(since, PATIENCE, now) else since)
    if image.retry_at is not None and is_due(image.retry_at, LONGEST_PULL_WAIT, now):
        return Plan((EnsureImage(),))
    why = Verdict(image.reason, image.message)
    return Plan(facts=replace(working(current, why), image=image), look_again=image.retry_at)


# --- a container made from another spec ---------------------------------------------------------------------------------


def _outdated(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    """Replace the container: first everything is made ready for the new one, then the old one goes."""
    ending = life.phase(declared, current) in (Phase.ENDED, Phase.VANISHED)
    if spec.desired_state is DesiredState.STOPPED or ending:
        return _with_container(declared, spec, current, observed, now)
    image = _image(declared, observed, now, current)
    if image is not None:
        return replace(image, actions=(*endings.to_record(declared, current), *image.actions))
    unsure = _successor(declared, current, observed, now)
    if unsure is not None:
        return replace(unsure, actions=(*endings.to_record(declared, current), *unsure.actions))
    changed = ", ".join(changed_fields(current.fingerprint, declared.fingerprint)) or "the spec"
    news = Announcement(Reason.RECREATING, f"changed: {changed}; the container is replaced")
    step = stopping.tear_down(current, StopCause.RECREATE, stopping.manner(current, spec), now, news)
    why = Verdict(Reason.RECREATING, f"changed: {changed}; the container made from the former spec is being stopped")
    due = stopping.since([current], now) + PATIENCE
    return replace(step, facts=replace(working(current, why), image=observed.image, publish_after=due))


def _successor(declared: Declared, current: ObservedContainer, observed: Observation, now: datetime) -> Plan | None:
    """What keeps the new container from being made, or that this is not known; None when nothing does, or it is too late to ask."""
    if current.stop is not None and (current.live or current.stop.cause is StopCause.RECREATE):
        return None
    held_back = endings.of_attempt(declared, observed, now, current)
    if held_back is not None:
        return held_back
    known = observed.checked
    if known is None or known.spec_hash != declared.spec_hash:
        return Plan((CheckSuccessor(),))
    return Plan((CheckSuccessor(),)) if is_due(known.at + SUCCESSOR_CHECKED, SUCCESSOR_CHECKED, now) else None


# --- the container as it should be --------------------------------------------------------------------------------------


def _with_container(  # noqa: C901 - the machine is read in one piece: a branch a phase, and nothing else
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    """One branch for each phase of the container's life."""
    if current.task is None and current.shim_unsure:
        return Plan((FreeProcess(current.id),))
    match life.phase(declared, current):
        case Phase.CREATED:
            return _created(declared, spec, current, observed, now)
        case Phase.MADE:
            return _made(spec, current, now)
        case Phase.RUNNING:
            return _running(declared, spec, current, observed, now)
        case Phase.PAUSED:
            return _paused(declared, spec, current, now)
        case Phase.STOPPING:
            return stopping.stop(current, StopCause.USER, stopping.manner(current, spec), now)
        case Phase.ENDED:
            return Plan((aftermath.record(declared, spec, current, now),))
        case Phase.RECORDED:
            after = _with_container(declared, spec, replace(current, task=None, shim_unsure=False), observed, now)
            return Plan((FreeProcess(current.id),), after.facts, say_first=True)
        case Phase.VANISHED:
            why = aftermath.why_vanished(current, observed)
            return Plan((aftermath.record(declared, spec, current, now, why),))
        case Phase.EXITED:
            return aftermath.exited(declared, spec, current, observed, now)
        case Phase.UNKNOWN | Phase.ABSENT:
            return _unknown(current, observed, now)


def _unknown(current: ObservedContainer, observed: Observation, now: datetime) -> Plan:
    why = Verdict(Reason.PROGRESSING, "containerd does not know the state of the process")
    facts = Facts(ContainerState.UNKNOWN, why, progressing=why, container=current, health=observed.health)
    return Plan(facts=facts, look_again=now + UNKNOWN_AGAIN)


def _created(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    if spec.desired_state is DesiredState.STOPPED:
        why = Verdict(Reason.STOPPED, "desiredState is Stopped, and the process was not started yet")
        return Plan(facts=Facts(ContainerState.CREATED, why, container=current), forget_failure=True)
    failure = observed.failure
    if failure is not None and endings.concerns(failure, declared):
        if endings.is_for_policy(spec, failure):
            return Plan((endings.failed_start(current, failure),))
        if current.restarts == 0:
            return Plan((RemoveContainer(current.id),), working(current, Verdict(failure.reason, failure.message)))
    held_back = endings.of_attempt(declared, observed, now, current) or endings.in_status(declared, current)
    if held_back is not None:
        return aftermath.removed_when_ended(spec, held_back)
    return Plan((*aftermath.resources_first(declared, current), StartContainer(current.id)))


def _made(spec: ContainerSpec, current: ObservedContainer, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED:
        return stopping.stop(current, StopCause.USER, stopping.AT_ONCE, now)
    return Plan((StartContainer(current.id),))


def _running(
    declared: Declared, spec: ContainerSpec, current: ObservedContainer, observed: Observation, now: datetime
) -> Plan:
    if spec.desired_state is DesiredState.STOPPED:
        return stopping.stop(current, StopCause.USER, stopping.manner(current, spec), now)
    if aftermath.restart_wanted(declared, current):
        return stopping.stop(current, StopCause.RESTART, stopping.manner(current, spec), now)
    going_on = unhealthy.running(spec, current, observed.health, now)
    pause = (PauseContainer(current.id),) if spec.desired_state is DesiredState.PAUSED else ()
    actions = (*aftermath.resources_first(declared, current), *pause)
    if not actions or (going_on.actions and not pause):
        return going_on
    return Plan(actions)


def _paused(declared: Declared, spec: ContainerSpec, current: ObservedContainer, now: datetime) -> Plan:
    if spec.desired_state is DesiredState.STOPPED:
        return stopping.stop(current, StopCause.USER, stopping.manner(current, spec), now)
    if aftermath.restart_wanted(declared, current):
        return stopping.stop(current, StopCause.RESTART, stopping.manner(current, spec), now)
    if spec.desired_state is DesiredState.RUNNING:
        return Plan((ResumeContainer(current.id),))
    return Plan(facts=Facts(ContainerState.PAUSED, Verdict(Reason.PAUSED), container=current))
