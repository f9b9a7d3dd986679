"""What holds a container back that has nothing to do with itself: here, the node's policy. Pure.

A hold does not change what was decided but leaves out what would begin something: making, starting, or stopping in order to
start again. What runs goes on, and stopping, pausing and deleting work as ever.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from controller.agent import endings
from controller.agent.actions import (
    Action,
    Announcement,
    CreateContainer,
    EnsureImage,
    KillContainer,
    RemoveContainer,
    SignalStop,
    StartContainer,
)
from controller.agent.decision import Plan, engine_state
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause
from controller.agent.observation import Observation, ObservedContainer
from controller.agent.status import MAX_MESSAGE
from controller.api.container import ContainerState, ContainerStatus
from controller.api.reasons import Reason
from controller.api.validation import Validated

_TO_BEGIN_AGAIN = frozenset({StopCause.RECREATE, StopCause.RESTART})


@dataclass(frozen=True)
class Hold:
    """Why nothing may begin."""

    why: Verdict
    refused: bool = False
    """Whether the spec is not accepted on this node."""
    stuck: bool = False
    """Whether it lasts until somebody changes something."""
    pulls: bool = False
    """Whether the image is had meanwhile."""
    look_again: datetime | None = None
    publish_after: datetime | None = None

    def holds(self, actions: Iterable[Action], facts: Facts | None) -> bool:
        """Whether what was decided may not be."""
        if self.refused and facts is not None and facts.state is ContainerState.RESTARTING:
            return True
        return any(self._begins(action) for action in actions)

    def _begins(self, action: Action) -> bool:
        match action:
            case CreateContainer() | StartContainer():
                return True
            case EnsureImage():
                return not self.pulls
            case SignalStop(cause=cause) | KillContainer(cause=cause):
                return cause in _TO_BEGIN_AGAIN
            case RemoveContainer():
                return not self.pulls
            case _:
                return False

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

    def news(self, before: ContainerStatus) -> Announcement | None:
        """What to tell the user, unless the status says it already."""
        told = self.why.message[:MAX_MESSAGE]
        if any((one.reason, one.message) == (self.why.reason, told) for one in before.conditions):
            return None
        return Announcement(self.why.reason, self.why.message)

    def remarked(self, facts: Facts | None) -> Facts | None:
        """What was decided, with what is to be said beside it."""
        return replace(facts, refused=self.why) if facts is not None and self.refused else facts


def unless_held(decided: Plan, declared: Declared, current: ObservedContainer | None, observed: Observation) -> Plan:
    """What was decided, unless it begins what may not begin now; that is left out and said instead."""
    hold = find(observed)
    if hold is None:
        return decided
    news = hold.news(declared.status)
    if hold.holds(decided.actions, decided.facts):
        facts = hold.facts(engine_state(current), current)
        return Plan(endings.to_record(current), facts, hold.look_again, news=news)
    return replace(decided, facts=hold.remarked(decided.facts), news=news if hold.refused else decided.news)


def refusal(observed: Observation) -> Verdict | None:
    """Why the spec is not accepted on this node, if it is not."""
    hold = find(observed)
    return hold.why if hold is not None and hold.refused else None


def find(observed: Observation) -> Hold | None:
    """What holds the container back, if anything does."""
    if observed.violations:
        told = Validated(None, observed.violations).message
        return Hold(Verdict(Reason.POLICY_FORBIDDEN, told), refused=True, stuck=True)
    return None
