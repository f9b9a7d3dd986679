"""How a container stands, as far as those that depend on it need to know, and what follows for them. Pure.

Read from an object as the API server has it, of this node or of another, and tolerant of whatever is written there.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from controller.api.container import ContainerState, Dependency, DependencyCondition
from controller.api.fields import shown
from controller.api.reasons import Reason

_NO_FAILURE: Final = frozenset({Reason.COMPLETED, Reason.STOPPED, Reason.PAUSE_REFUSED, Reason.POLICY_FORBIDDEN})
"""Reasons of an ended container that do not say that it failed."""
_LONGEST_CYCLE_SHOWN: Final = 16


@dataclass(frozen=True)
class Standing:
    """One container, seen from those that depend on it."""

    uid: str = ""
    deleting: bool = False
    up_to_date: bool = False
    """Whether the status speaks of the spec as it is now."""
    state: str = ""
    reason: str = ""
    """Why it is ready or not."""
    healthy: bool = False
    checked: bool = False
    """Whether it has a health check, without which it never becomes healthy."""
    container_id: str = ""
    restarts: int = 0
    """With the id: which run of its process the status speaks of."""
    depends_on: tuple[str, ...] = ()


def read(body: Mapping[str, Any]) -> Standing:
    """How the object stands."""
    metadata, spec, status = body["metadata"], _mapping(body.get("spec")), _mapping(body.get("status"))
    conditions = {str(one.get("type")): one for one in map(_mapping, _list(status.get("conditions")))}
    health = _mapping(status.get("health")).get("status")
    names = [_mapping(one).get("name") for one in _list(spec.get("dependsOn"))]
    return Standing(
        uid=metadata["uid"],
        deleting="deletionTimestamp" in metadata,
        up_to_date=status.get("observedGeneration") == metadata.get("generation", 1),
        state=str(status.get("state") or ""),
        reason=str(conditions.get("Ready", {}).get("reason") or ""),
        container_id=str(status.get("containerID") or ""),
        restarts=restarts if isinstance(restarts := status.get("restartCount"), int) else 0,
        healthy=health == "Healthy" or conditions.get("Healthy", {}).get("status") == "True",
        checked=isinstance(spec.get("healthCheck"), Mapping),
        depends_on=tuple(name for name in names if isinstance(name, str)),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


class Outcome(StrEnum):
    """How far a dependency has come."""

    SATISFIED = "satisfied"
    WAITING = "waiting"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True)
class DependencyFact:
    """One dependency of a container, and how far it has come."""

    name: str
    condition: DependencyCondition
    outcome: Outcome
    message: str = ""


@dataclass(frozen=True)
class Dependencies:
    """All that a container depends on, as found out at one moment."""

    wanted: tuple[Dependency, ...]
    """What was asked about; another question makes this meaningless."""
    facts: tuple[DependencyFact, ...]
    cycle: tuple[str, ...]
    """The way from the container over others back to itself, if there is one."""
    since: datetime
    """Since when it waits."""
    again_at: datetime
    """When this is to be found out anew."""

    @property
    def satisfied(self) -> bool:
        """Whether the container may be started."""
        return not self.cycle and all(fact.outcome is Outcome.SATISFIED for fact in self.facts)


@dataclass(frozen=True)
class Dependent:
    """A container of this node that depends on one that is being deleted, and still is there."""

    name: str
    since: datetime
    """Since when it may be waited for."""
    until: datetime
    """How long it is waited for at most."""


def judge(wanted: Dependency, found: Standing | None) -> DependencyFact:
    """How far one dependency has come."""
    outcome, message = _judged(wanted, found)
    return DependencyFact(wanted.name, wanted.condition, outcome, message)


def _judged(wanted: Dependency, found: Standing | None) -> tuple[Outcome, str]:
    name, condition = wanted.name, wanted.condition
    if found is None:
        return Outcome.MISSING, f"container {name}, which is to be {condition} first, does not exist in this namespace"
    if found.deleting:
        return Outcome.WAITING, f"waits for container {name} to be {condition}; it is being deleted"
    if _holds(condition, found):
        return Outcome.SATISFIED, ""
    how = _how(found)
    if _has_failed(found):
        return Outcome.FAILED, f"container {name}, which is to be {condition} first, has failed: {how}"
    if condition is DependencyCondition.HEALTHY and found.state and not found.checked:
        how = "it has no healthCheck"
    return Outcome.WAITING, f"waits for container {name} to be {condition}; {how}"


def _holds(condition: DependencyCondition, found: Standing) -> bool:
    match condition:
        case DependencyCondition.STARTED:
            return found.state == ContainerState.RUNNING
        case DependencyCondition.HEALTHY:
            return found.state == ContainerState.RUNNING and found.healthy
        case DependencyCondition.COMPLETED:
            ended = found.state == ContainerState.EXITED and found.reason == Reason.COMPLETED
            # NB: an end under an earlier spec says nothing about the present one.
            return ended and found.up_to_date


def _has_failed(found: Standing) -> bool:
    """Whether it has ended, not with success, and will not be started again by itself."""
    held_back = found.reason in _NO_FAILURE or found.reason.startswith("Dependency")
    return found.state == ContainerState.EXITED and found.up_to_date and not held_back


def _how(found: Standing) -> str:
    if not found.state:
        return "no node has taken it up yet"
    reason = f" ({shown(found.reason)[1:-1]})" if found.reason not in ("", found.state) else ""
    return f"its state is {shown(found.state)[1:-1]}{reason}"


def cycle(name: str, depends_on: Sequence[str], others: Mapping[str, Standing | None]) -> tuple[str, ...]:
    """The shortest way from a container over what it depends on back to itself, its name at both ends; or nothing."""
    before: dict[str, str] = {}
    pending = deque([name])
    while pending:
        current = pending.popleft()
        for following in depends_on if current == name else edges(others.get(current)):
            if following == name:
                return _way(name, current, before)
            if following not in before:
                before[following] = current
                pending.append(following)
    return ()


def edges(found: Standing | None) -> tuple[str, ...]:
    """The names of what a container depends on."""
    return found.depends_on if found is not None else ()


def _way(name: str, last: str, before: Mapping[str, str]) -> tuple[str, ...]:
    way = [name, last]
    while way[-1] != name:
        way.append(before[way[-1]])
    return tuple(reversed(way))


def in_words(way: Sequence[str]) -> str:
    """A cycle for people; the middle of a very long one is left out."""
    if len(way) > _LONGEST_CYCLE_SHOWN:
        half = _LONGEST_CYCLE_SHOWN // 2
        way = [*way[:half], "…", *way[-half:]]
    return " → ".join(way)
