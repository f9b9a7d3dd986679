"""What holds a container back that has nothing to do with itself: the node's policy, and what it depends on. Pure.

A hold does not change what was decided but leaves out what would begin something: making, starting, or stopping in order to
start again. What runs goes on, and stopping, pausing and deleting work as ever.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.agent import endings
from controller.agent.actions import (
    Action,
    CheckSuccessor,
    CreateContainer,
    EnsureImage,
    KillContainer,
    LookAtDependencies,
    RemoveContainer,
    SignalStop,
    StartContainer,
)
from controller.agent.decision import PATIENCE, Plan, engine_state, is_ahead, is_due
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause
from controller.agent.observation import Observation, ObservedContainer
from controller.agent.standing import Dependencies, Outcome, in_words
from controller.api.container import ContainerState, Dependency
from controller.api.reasons import Reason
from controller.api.validation import Validated

_MOST_NAMED = 5
LONGEST_BELIEF = timedelta(minutes=1)
"""What was found out about dependencies is believed for a shorter time than this."""
_STUCK = frozenset({Reason.DEPENDENCY_CYCLE, Reason.DEPENDENCY_FAILED})
_BY_OUTCOME = {
    Outcome.FAILED: Reason.DEPENDENCY_FAILED,
    Outcome.MISSING: Reason.DEPENDENCY_MISSING,
    Outcome.WAITING: Reason.DEPENDENCY_WAITING,
}
"""The worst first."""
_TO_BEGIN_AGAIN = frozenset({StopCause.RECREATE, StopCause.RESTART, StopCause.HEALTH_RESTART})


@dataclass(frozen=True)
class Hold:
    """Why nothing may begin."""

    why: Verdict
    refused: bool = False
    """Whether the spec is not accepted on this node."""
    stuck: bool = False
    """Whether it lasts until somebody changes something."""
    look_again: datetime | None = None
    publish_after: datetime | None = None

    def holds(self, actions: Iterable[Action], facts: Facts | None) -> bool:
        """Whether what was decided may not be."""
        if not self.refused:
            return begins(actions)
        waits = facts is not None and facts.state is ContainerState.RESTARTING
        return waits or begins(actions) or any(isinstance(one, EnsureImage | RemoveContainer) for one in actions)

    def facts(self, state: ContainerState, current: ObservedContainer | None) -> Facts:
        """What is said in place of what was decided."""
        ended = current.exit if current is not None else None
        return Facts(
            ContainerState.RESTARTING if ended is not None and not self.stuck else state,
            self.why,
            progressing=None if self.stuck else self.why,
            stalled=self.why if self.stuck else None,
            refused=self.why if self.refused else None,
            container=current,
            exit=ended,
            publish_after=self.publish_after,
        )

    def remarked(self, facts: Facts | None) -> Facts | None:
        """What was decided, with what is to be said beside it."""
        return replace(facts, refused=self.why) if facts is not None and self.refused else facts


def unless_held(
    decided: Plan, declared: Declared, current: ObservedContainer | None, observed: Observation, now: datetime
) -> Plan:
    """What was decided, unless it begins what may not begin now; that is left out and said instead."""
    hold = by_policy(observed)
    if hold is None and declared.depends_on and begins(decided.actions):
        known = observed.dependencies
        if known is None or not is_known(declared.depends_on, known, now):
            return Plan((LookAtDependencies(),))
        hold = by_dependencies(known, now)
    if hold is None:
        return decided
    if hold.holds(decided.actions, decided.facts):
        facts = replace(hold.facts(engine_state(current), current), image=observed.image, health=observed.health)
        return Plan(endings.to_record(declared, current), facts, hold.look_again)
    return replace(decided, facts=hold.remarked(decided.facts))


def refusal(observed: Observation) -> Verdict | None:
    """Why the spec is not accepted on this node, if it is not."""
    hold = by_policy(observed)
    return hold.why if hold is not None else None


def begins(actions: Iterable[Action]) -> bool:
    """Whether something is made, started, or stopped in order to be started again."""
    return any(_begins(action) for action in actions)


def _begins(action: Action) -> bool:
    match action:
        case CheckSuccessor() | CreateContainer() | StartContainer():
            return True
        case SignalStop(cause=cause) | KillContainer(cause=cause):
            return cause in _TO_BEGIN_AGAIN
        case _:
            return False


def by_policy(observed: Observation) -> Hold | None:
    """What the node's policy does not allow."""
    if not observed.violations:
        return None
    told = Validated(None, observed.violations).message
    return Hold(Verdict(Reason.POLICY_FORBIDDEN, told), refused=True, stuck=True)


def is_known(depends_on: Sequence[Dependency], known: Dependencies | None, now: datetime) -> bool:
    """Whether it is known how far everything has come that the container depends on."""
    return known is not None and known.wanted == tuple(depends_on) and not is_due(known.again_at, LONGEST_BELIEF, now)


def by_dependencies(known: Dependencies, now: datetime) -> Hold | None:
    """What has not come to what the container waits for; the worst of it is named."""
    if known.satisfied:
        return None
    publish_after = known.since + PATIENCE if now < known.since + PATIENCE else None
    hold = Hold(_worst(known), look_again=known.again_at, publish_after=publish_after)
    return replace(hold, stuck=hold.why.reason in _STUCK)


def _worst(known: Dependencies) -> Verdict:
    if known.cycle:
        return Verdict(Reason.DEPENDENCY_CYCLE, f"these containers wait for each other: {in_words(known.cycle)}")
    for outcome, reason in _BY_OUTCOME.items():
        for fact in known.facts:
            if fact.outcome is outcome:
                return Verdict(reason, fact.message)
    return Verdict(Reason.DEPENDENCY_WAITING)


def until_dependents_are_gone(observed: Observation, now: datetime) -> Plan | None:
    """What to say of a container that is being deleted while others are to go first, and until when they are waited for."""
    waited_for = [one for one in observed.dependents if now < one.until and not is_ahead(one.since, now)]
    lives = any(one.live for one in observed.containers)
    if not waited_for or not lives or any(one.stop is not None for one in observed.containers):
        return None
    names = ", ".join(dependent.name for dependent in waited_for[:_MOST_NAMED])
    why = Verdict(Reason.REMOVING, f"waits until what depends on it is gone: {names}")
    due = min(dependent.since for dependent in waited_for) + 2 * PATIENCE
    facts = Facts(ContainerState.REMOVING, why, progressing=why, publish_after=due)
    return Plan(facts=facts, look_again=min(dependent.until for dependent in waited_for))
