"""What this node's containers depend on: found out when one is about to be started, and watched for as long as it waits.

Containers of this node are known from the watch, and a change of one wakes at once whoever waits for it; what their statuses say
counts only while containerd agrees, for a status may be older than the last boot. Others, and those that may not exist, are asked
for at the API server, each again after a pause that grows while nothing changes. Decides nothing.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from controller.agent import standing
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.identity import Key
from controller.agent.observation import ObservedContainer
from controller.agent.observed import ObservedStore
from controller.agent.standing import Dependencies, Dependent, Standing
from controller.api.container import ContainerState
from controller.kube.containers import Containers
from controller.kube.errors import NotFound

FIRST_PAUSE = timedelta(seconds=2)
LAST_PAUSE = timedelta(seconds=15)
GROWTH = 1.5
MOST_VISITED = 256
"""So many containers are looked at for one, in search of a cycle; what is behind them is not."""
REMEMBERED = timedelta(minutes=1)
DEPENDENTS_MARGIN = timedelta(seconds=30)
"""How much longer than its grace period a dependent that is being deleted is waited for."""
DEPENDENTS_SECONDS = timedelta(seconds=2)
"""How long one is waited for that is not being deleted: its deletion may be the next request."""
DEFAULT_GRACE = 10


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class _Asked:
    """What the API server said about a container that is not this node's."""

    standing: Standing | None
    at: datetime
    pause: timedelta

    @property
    def until(self) -> datetime:
        return self.at + self.pause


class DependencyKeeper:
    """What containers depend on, by their keys."""

    def __init__(
        self,
        api: Containers,
        declared: DeclaredStore,
        observed: ObservedStore,
        wake: Callable[[Key], None],
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._api = api
        self._declared = declared
        self._observed = observed
        self._wake = wake
        self._clock = clock
        self._known: dict[Key, Dependencies] = {}
        self._visited: dict[Key, frozenset[Key]] = {}
        self._waiting: dict[Key, set[Key]] = {}
        """Whom a change of a container concerns."""
        self._dependents: dict[Key, set[Key]] = {}
        self._deleting: dict[Key, datetime] = {}
        """Since when an object is known to be deleted, by this node's clock: the API server's may be another."""
        self._asked: dict[Key, _Asked] = {}
        declared.subscribe(self.changed)

    def of(self, key: Key) -> Dependencies | None:
        """What was found out last, if the container is still about to be started."""
        return self._known.get(key)

    def forget(self, key: Key) -> None:
        """The container was started, or is gone."""
        self._known.pop(key, None)
        for other in self._visited.pop(key, ()):
            waiting = self._waiting.get(other, set())
            waiting.discard(key)
            if not waiting:
                self._waiting.pop(other, None)

    async def look(self, declared: Declared) -> None:
        """Find out how far everything has come that a container depends on.

        Raises:
            KubeError: the API server can't be asked about a container of another node.
        """
        begun = self._clock()
        self._prune(begun)
        while True:
            found, unknown = self._walk(declared, begun)
            if not unknown:
                break
            for key in unknown:
                await self._ask(key)
        # NB: no change can be missed from here on, for nothing is waited for.
        self._note(declared, found, self._clock())

    def _walk(self, declared: Declared, begun: datetime) -> tuple[dict[str, Standing | None], list[Key]]:
        """What is known of all that a container depends on, directly or not; and what must be asked for first."""
        namespace, name = declared.key
        found: dict[str, Standing | None] = {}
        unknown: list[Key] = []
        pending = deque(_names(declared))
        while pending and len(found) + len(unknown) < MOST_VISITED:
            other = pending.popleft()
            key = (namespace, other)
            if other == name or other in found or key in unknown:
                continue
            if not self._is_known(key, begun):
                unknown.append(key)
                continue
            found[other] = self._standing(key)
            pending.extend(standing.edges(found[other]))
        return found, unknown

    def _is_known(self, key: Key, begun: datetime) -> bool:
        if self._declared.get(key) is not None:
            return True
        asked = self._asked.get(key)
        return asked is not None and (asked.at >= begun or asked.until > begun)

    def _standing(self, key: Key) -> Standing | None:
        ours = self._declared.get(key)
        if ours is None:
            return self._asked[key].standing
        agreed = _agrees(ours.standing, self._observed.of(key))
        return ours.standing if agreed else replace(ours.standing, state=ContainerState.UNKNOWN.value, reason="")

    async def _ask(self, key: Key) -> None:
        try:
            found: Standing | None = standing.read(await self._api.get(*key))
        except NotFound:
            found = None
        before = self._asked.get(key)
        same = before is not None and before.standing == found
        pause = min(before.pause * GROWTH, LAST_PAUSE) if before is not None and same else FIRST_PAUSE
        self._asked[key] = _Asked(found, self._clock(), pause)

    def _note(self, declared: Declared, found: dict[str, Standing | None], now: datetime) -> None:
        key, wanted = declared.key, declared.depends_on
        before = self._known.get(key)
        self.forget(key)
        known = Dependencies(
            wanted=wanted,
            facts=tuple(standing.judge(one, found.get(one.name)) for one in wanted),
            cycle=standing.cycle(key[1], _names(declared), found),
            since=before.since if before is not None and not before.satisfied else now,
            again_at=self._again_at(key[0], found, now),
        )
        self._known[key] = known
        self._visited[key] = frozenset((key[0], name) for name in found)
        for other in self._visited[key]:
            self._waiting.setdefault(other, set()).add(key)

    def _again_at(self, namespace: str, found: dict[str, Standing | None], now: datetime) -> datetime:
        keys = ((namespace, name) for name in found)
        asked = [self._asked[key].until for key in keys if self._declared.get(key) is None]
        return max(min(asked, default=now + LAST_PAUSE), now + FIRST_PAUSE / 2)

    def _prune(self, now: datetime) -> None:
        for key in [key for key, asked in self._asked.items() if asked.until + REMEMBERED < now]:
            del self._asked[key]

    def changed(self, before: Declared | None, after: Declared | None) -> None:
        """An object of this node came, changed or went: wake whom that concerns."""
        one = after or before
        if one is None or (before is not None and after is not None and before.standing == after.standing):
            return
        self._index(before, after)
        self._note_deletion(one.key, after)
        if after is None:
            self.forget(one.key)
        self._asked.pop(one.key, None)
        for key in tuple(self._waiting.get(one.key, ())):
            self._known[key] = replace(self._known[key], again_at=self._clock())
            self._wake(key)
        if before is not None and (after is None or after.uid != before.uid):
            for key in _keys(before):
                self._wake_deleted(key)

    def _note_deletion(self, key: Key, after: Declared | None) -> None:
        if after is not None and after.deleting:
            self._deleting.setdefault(key, self._clock())
        else:
            self._deleting.pop(key, None)

    def _wake_deleted(self, key: Key) -> None:
        """One that waits with its own end until its dependents are gone."""
        declared = self._declared.get(key)
        if declared is not None and declared.deleting:
            self._wake(key)

    def _index(self, before: Declared | None, after: Declared | None) -> None:
        """Keep who depends on whom."""
        if before is not None:
            for key in _keys(before):
                self._dependents[key].discard(before.key)
                if not self._dependents[key]:
                    del self._dependents[key]
        if after is not None:
            for key in _keys(after):
                self._dependents.setdefault(key, set()).add(after.key)

    def dependents(self, declared: Declared) -> tuple[Dependent, ...]:
        """Whose end comes before that of a container that is being deleted."""
        if not declared.deleting:
            return ()
        return tuple(self._dependents_of(declared))

    def _dependents_of(self, declared: Declared) -> Iterator[Dependent]:
        for key in sorted(self._dependents.get(declared.key, ())):
            other = self._declared.get(key)
            if other is None or not self._observed.of(key) or self._depends(declared.key, key):
                continue
            begun = self._deleting[declared.key]
            if not other.deleting:
                if any(container.live for container in self._observed.of(key)):
                    yield Dependent(key[1], begun, begun + DEPENDENTS_SECONDS)
                continue
            grace = other.spec.termination_grace_period_seconds if other.spec is not None else DEFAULT_GRACE
            begun = max(begun, self._deleting[key])
            yield Dependent(key[1], begun, begun + timedelta(seconds=grace) + DEPENDENTS_MARGIN)

    def _depends(self, one: Key, other: Key) -> bool:
        """Whether the first depends on the second, directly or not, as far as this node knows: then neither waits."""
        visited, pending = {one}, [one]
        while pending and len(visited) < MOST_VISITED:
            for key in _keys(self._declared.get(pending.pop())):
                if key == other:
                    return True
                if key not in visited:
                    visited.add(key)
                    pending.append(key)
        return False


def _agrees(said: Standing, seen: Sequence[ObservedContainer]) -> bool:
    """Whether a status speaks of the run that containerd knows, as far as dependents go by it."""
    own = [one for one in seen if one.uid == said.uid]
    if said.state == ContainerState.RUNNING:
        return any((one.id, one.restarts, one.running) == (said.container_id, said.restarts, True) for one in own)
    return said.state != ContainerState.EXITED or not any(one.live for one in own)


def _names(declared: Declared) -> Sequence[str]:
    return [dependency.name for dependency in declared.depends_on]


def _keys(declared: Declared | None) -> set[Key]:
    """What a container says that it depends on, also one whose spec breaks a rule."""
    return set() if declared is None else {(declared.key[0], name) for name in declared.standing.depends_on}
