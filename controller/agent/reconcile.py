"""The loop around the decision: observe, plan, act, until there is nothing left to do; then say what is.

Runs in the single flight of one key. Errors are given to `failures`, which knows what follows from them, or to the queue.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from controller import log, metrics
from controller.agent import elsewhere
from controller.agent.actions import (
    Action,
    Announcement,
    CheckSuccessor,
    CreateContainer,
    RemoveContainer,
    StartContainer,
)
from controller.agent.checks.monitor import HealthMonitor
from controller.agent.declared import Declared, DeclaredStore, belongs
from controller.agent.dependencies import DependencyKeeper
from controller.agent.failures import FailureBook
from controller.agent.identity import Key
from controller.agent.images import ImageKeeper
from controller.agent.observation import Elsewhere, Observation
from controller.agent.observed import ObservedStore
from controller.agent.plan import Plan, plan
from controller.agent.policy import PolicyKeeper
from controller.agent.publish import Publisher
from controller.agent.remains import Remains
from controller.agent.runtimes import Runtimes
from controller.agent.telling import Announce, TellingActor
from controller.agent.troubles import TroubleBook
from controller.api.reasons import Reason
from controller.containerd.errors import ContainerdError
from controller.kube import errors as kube_errors
from controller.kube.containers import Containers

MAX_STEPS = 16
"""More plans than any path to a settled object needs; beyond it something does not converge, and the queue backs off."""
_log = log.get(__name__)


class NotConverging(Exception):
    """Plan after plan found something to do. A defect: the last actions are in the text."""


class Reconciler:
    """Reconciles one key at a time."""

    def __init__(
        self,
        *,
        api: Containers,
        declared: DeclaredStore,
        observed: ObservedStore,
        images: ImageKeeper,
        health: HealthMonitor,
        failures: FailureBook,
        policy: PolicyKeeper,
        dependencies: DependencyKeeper,
        actor: TellingActor,
        publisher: Publisher,
        announce: Announce,
        node: str,
        containerd_lost_at: Callable[[], datetime | None],
        boot_id: str,
        runtimes: Runtimes,
        look_for_runtimes: Callable[[], Awaitable[bool]],
        remains: Remains,
        has_freezer: bool,
    ) -> None:
        self._api = api
        self._declared = declared
        self._observed = observed
        self._images = images
        self._health = health
        self._failures = failures
        self._policy = policy
        self._dependencies = dependencies
        self._actor = actor
        self._publisher = publisher
        self._announce = announce
        self._node = node
        self._containerd_lost_at = containerd_lost_at
        self._boot_id = boot_id
        self._runtimes = runtimes
        self._look_for_runtimes = look_for_runtimes
        self._remains = remains
        self._has_freezer = has_freezer
        self._troubles = TroubleBook()

    async def reconcile(self, key: Key) -> float | None:
        """Look at one object until it is settled or has to wait; returns the seconds until the next look, if any.

        Raises:
            Exception: anything that is worth another try with back-off.
        """
        with metrics.reconcile():
            return await self._until_settled(key)

    async def _until_settled(self, key: Key) -> float | None:
        for _ in range(MAX_STEPS):
            decided, declared = await self._step(key)
            if not decided.actions:
                return await self._conclude(decided, declared)
        raise NotConverging(f"{key[0]}/{key[1]}: still to do: {decided.actions}")

    async def _step(self, key: Key) -> tuple[Plan, Declared | None]:
        """One round: observe, plan, act."""
        lost_at = self._containerd_lost_at()
        if lost_at is None:
            await self._observed.settle(key)
        found = await self._object(key)
        declared = found if isinstance(found, Declared) else None
        foreign = found if isinstance(found, Elsewhere) else None
        if declared is None:
            self._troubles.forget(key)
        decided = plan(declared, self._observe(key, declared, foreign, lost_at), datetime.now(UTC))
        if decided.forget_failure:
            self._failures.forget(key)
        if decided.say_first and declared is not None and not await self._said(declared, decided):
            return decided, declared
        for action in decided.actions:
            if not await self._done(key, action, declared):
                break
        else:
            if foreign is not None:
                self._tell_of(foreign, decided)
        return decided, declared

    async def _done(self, key: Key, action: Action, declared: Declared | None) -> bool:
        """Carry out one action; False when it was not, and what is left of its plan is of no worth."""
        latest = self._declared.get(key) if declared is not None else None
        if declared is not None and not _same_wish(declared, latest):
            # It was edited or deleted since it was planned for.
            return False
        try:
            await self._actor.perform(action, latest)
        except kube_errors.Conflict:
            await self._read_again(key)
            return False
        except Exception as error:
            if not await self._accounted_for(declared, action, error):
                raise
            return False
        self._troubles.succeeded(key, action)
        self._log_action(key, action)
        return True

    async def _said(self, declared: Declared, decided: Plan) -> bool:
        """Say what is true already; False when the object turns out to be another than was planned for."""
        try:
            if decided.facts is not None:
                await self._publisher.publish(declared, decided.facts)
        except kube_errors.Conflict:
            await self._read_again(declared.key)
            return False
        return True

    def _tell_of(self, foreign: Elsewhere, decided: Plan) -> None:
        """Say what has become of containers whose object is another node's."""
        if any(isinstance(action, RemoveContainer) for action in decided.actions):
            told = f"it was bound to {foreign.node_name or 'no node'} while {self._node} was away, which removes its own copy"
            self._announce(foreign, Announcement(Reason.MOVED, told))

    def _observe(
        self, key: Key, declared: Declared | None, foreign: Elsewhere | None, lost_at: datetime | None
    ) -> Observation:
        containers = self._observed.of(key)
        unseen = (one.id for one in containers if one.task is None and one.exit is None)
        return Observation(
            containers=containers,
            elsewhere=foreign,
            image=self._images.of(key),
            failure=self._failures.of(key),
            unavailable_since=lost_at,
            boot_id=self._boot_id,
            violations=self._policy.violations(declared) if declared is not None else (),
            dependencies=self._dependencies.of(key),
            dependents=self._dependencies.dependents(declared) if declared is not None else (),
            health=self._health.follow(key, declared, containers),
            missing_runtimes=self._runtimes.missing,
            lost=frozenset(one for one in unseen if self._remains.live(one)),
            checked=self._failures.checked(key),
            has_freezer=self._has_freezer,
            troubles=self._troubles.of(key),
        )

    async def _conclude(self, decided: Plan, declared: Declared | None) -> float | None:
        """Say what is, and work out when to look again."""
        waits = []
        if decided.look_again is not None:
            waits.append(max((decided.look_again - datetime.now(UTC)).total_seconds(), 0.0))
        if decided.facts is not None and declared is not None:
            later = await self._publish(declared, decided)
            if later is not None:
                waits.append(later)
        return min(waits, default=None)

    async def _publish(self, declared: Declared, decided: Plan) -> float | None:
        assert decided.facts is not None  # noqa: S101 - for the type checker; the caller has looked
        try:
            later = await self._publisher.publish(declared, decided.facts)
        except kube_errors.Conflict:
            await self._read_again(declared.key)
            return 0.0
        # The answer to a write may be the first to tell of an edit or a deletion; the watch then has nothing new to tell.
        return later if _same_wish(declared, self._declared.get(declared.key)) else 0.0

    async def _object(self, key: Key) -> Declared | Elsewhere | None:
        """The object as the watch brought it. One that the watch does not know, and that has containers, is asked for.

        None only if the API server says that the object which the containers belong to is gone.
        """
        known = self._declared.get(key)
        if known is not None or not self._observed.of(key):
            return known
        return await self._read_again(key)

    async def _read_again(self, key: Key) -> Declared | Elsewhere | None:
        try:
            body = await self._api.get(*key)
        except kube_errors.NotFound:
            self._forget(key)
            return None
        if not belongs(body, self._node):
            self._forget(key)
            return elsewhere.read(body)
        self._declared.put(body)
        return self._declared.get(key)

    def _forget(self, key: Key) -> None:
        self._declared.drop(key)
        self._images.forget(key)
        self._health.forget(key)
        self._failures.forget(key)
        self._dependencies.forget(key)
        self._troubles.forget(key)
        self._publisher.forget(key)

    async def _accounted_for(self, declared: Declared | None, action: Action, error: Exception) -> bool:
        """Whether the next plan takes care of an error: it is remembered, or the node was found to have changed."""
        if declared is not None and isinstance(action, CheckSuccessor | CreateContainer | StartContainer):
            self._note_failure(declared, error)
            return True
        if isinstance(error, ContainerdError) and not error.transient and await self._look_for_runtimes():
            return True
        return self._note_trouble(declared, action, error)

    def _note_trouble(self, declared: Declared | None, action: Action, error: Exception) -> bool:
        """Take down what could not be done to a container; says whether the status will tell of it."""
        if declared is None:
            return False
        trouble = self._troubles.note(declared, action, error, datetime.now(UTC))
        if trouble is None:
            return False
        _log.warning(
            "something could not be done to a container",
            action=type(action).__name__,
            namespace=declared.key[0],
            name=declared.key[1],
            reason=trouble.reason.value,
            error=str(error),
        )
        self._announce(declared, Announcement(trouble.reason, trouble.message))
        return True

    def _note_failure(self, declared: Declared, error: Exception) -> None:
        failure = self._failures.note(declared, error, datetime.now(UTC))
        if isinstance(error, ContainerdError):
            # What was taken for present may not be: look for the image again before the next try.
            self._images.forget(declared.key)
        metrics.container_start_failed(failure.reason)
        _log.warning(
            "a container could not be made or started",
            namespace=declared.key[0],
            name=declared.key[1],
            reason=failure.reason.value,
            error=failure.message,
        )
        self._announce(declared, Announcement(failure.reason, failure.message))

    def _log_action(self, key: Key, action: object) -> None:
        # What matters of it to the user is logged as news.
        _log.debug(
            "done",
            action=type(action).__name__,
            namespace=key[0],
            name=key[1],
            container=getattr(action, "id", "")[:12],
        )


def _same_wish(planned: Declared, latest: Declared | None) -> bool:
    """Whether the object still asks for what was planned; its version may be another."""
    if latest is None:
        return False
    return (planned.uid, planned.generation, planned.deleting) == (latest.uid, latest.generation, latest.deleting)
