"""The loop around the plan: what the answer to its own write tells it must not get lost."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent.actions import Action, Announcement, RemoveContainer
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.dependencies import DependencyKeeper
from controller.agent.facts import Facts
from controller.agent.failures import FailureBook
from controller.agent.observation import ObservedContainer
from controller.agent.policy import PolicyKeeper
from controller.agent.reconcile import Reconciler
from controller.api.reasons import Reason
from tests.unit.agent.objects import ID, KEY, NODE, UID, body, container, ended


class Observed:
    """A node with at most one container."""

    def __init__(self, *containers: ObservedContainer) -> None:
        self.containers = containers

    async def settle(self, _key: object) -> None:
        """Nothing was told."""

    def of(self, _key: object) -> tuple[ObservedContainer, ...]:
        return self.containers


class Answering:
    """Takes a status; the API server's answer shows what has become of the object meanwhile."""

    def __init__(self, store: DeclaredStore, answer: dict[str, Any]) -> None:
        self.store, self.answer = store, answer

    async def publish(self, _declared: Declared, _facts: Facts) -> None:
        self.store.put(self.answer)


def _object(version: str, **metadata: Any) -> dict[str, Any]:
    whole = dict(body(desiredState="Stopped"))
    whole["metadata"] = {**whole["metadata"], "resourceVersion": version, **metadata}
    return whole


async def _no_change() -> bool:
    return False


def _reconciler(
    answer: dict[str, Any],
    lost_at: datetime | None = None,
) -> Reconciler:
    store = DeclaredStore(NODE)
    store.put(_object("1"))
    return Reconciler(
        api=cast(Any, None),
        declared=store,
        observed=cast(Any, Observed()),
        images=cast(Any, SimpleNamespace(of=lambda _key: None)),
        health=cast(Any, SimpleNamespace(follow=lambda *_: None)),
        failures=FailureBook(),
        dependencies=DependencyKeeper(cast(Any, None), store, cast(Any, Observed()), lambda _key: None),
        policy=PolicyKeeper(None, lambda: None),
        actor=cast(Any, None),
        publisher=cast(Any, Answering(store, answer)),
        announce=lambda _declared, _news: None,
        node=NODE,
        containerd_lost_at=lambda: lost_at,
        boot_id="boot",
        runtimes=cast(Any, SimpleNamespace(missing={})),
        look_for_runtimes=_no_change,
        remains=cast(Any, SimpleNamespace(live=lambda _id: False)),
        has_freezer=True,
    )


@pytest.mark.feature("D6")
async def test_a_deletion_that_the_answer_to_a_write_tells_of_is_looked_at() -> None:
    deleted = _object("2", generation=2, deletionTimestamp="2026-01-01T00:00:00Z")

    assert await _reconciler(deleted).reconcile(KEY) == 0


async def test_an_answer_that_tells_nothing_new_settles_the_matter() -> None:
    assert await _reconciler(_object("2")).reconcile(KEY) is None


@pytest.mark.feature("L15")
async def test_while_containerd_is_away_nothing_is_decided() -> None:
    """Its wait shows in the time of the next look: in plain sight of containerd this object would be settled."""
    assert await _reconciler(_object("2"), lost_at=datetime.now(UTC)).reconcile(KEY) is not None


class Bound:
    """The API server, which has the object bound to another node."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.body = {**body(nodeName="node-b", status=status)}
        self.body["metadata"] = {**self.body["metadata"], "labels": {}}

    async def get(self, _namespace: str, _name: str) -> dict[str, Any]:
        return self.body


class Removing:
    """Does what removes the only container."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.done: list[Action] = []

    async def perform(self, action: Action, declared: Declared | None) -> None:
        assert declared is None
        self.done.append(action)
        self.observed.containers = ()


def _of_another_node(status: dict[str, Any]) -> tuple[Reconciler, Removing, list[tuple[Any, Announcement]]]:
    observed = Observed(container(task=ended()))
    acting, told = Removing(observed), list[tuple[Any, Announcement]]()
    reconciler = _reconciler({})
    reconciler._declared.drop(KEY)
    reconciler._api = cast(Any, Bound(status))
    reconciler._observed = cast(Any, observed)
    reconciler._actor = cast(Any, acting)
    reconciler._announce = lambda subject, news: told.append((subject, news))
    forgetful = SimpleNamespace(of=lambda _key: None, follow=lambda *_: None, forget=lambda _key: None)
    reconciler._images = reconciler._health = reconciler._publisher = cast(Any, forgetful)
    return reconciler, acting, told


@pytest.mark.feature("K2")
async def test_what_was_moved_is_removed_and_told_to_its_object() -> None:
    reconciler, acting, told = _of_another_node({"nodeName": "node-b"})

    assert await reconciler.reconcile(KEY) is None

    assert acting.done == [RemoveContainer(ID)]
    ((subject, news),) = told
    assert (subject.key, subject.uid, news.reason) == (KEY, UID, Reason.MOVED)
    assert "bound to node-b while node-a was away" in news.message
