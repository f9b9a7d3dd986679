"""The loop around the plan: what the answer to its own write tells it must not get lost."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent.declared import Declared, DeclaredStore
from controller.agent.dependencies import DependencyKeeper
from controller.agent.facts import Facts
from controller.agent.failures import FailureBook
from controller.agent.observation import ObservedContainer
from controller.agent.policy import PolicyKeeper
from controller.agent.reconcile import Reconciler
from tests.unit.agent.objects import KEY, NODE, body


class Observed:
    """A node without containers."""

    async def settle(self, _key: object) -> None:
        """Nothing was told."""

    def of(self, _key: object) -> tuple[ObservedContainer, ...]:
        return ()


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
