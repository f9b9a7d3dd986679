"""The loop around the plan: what the answer to its own write tells it must not get lost."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent.actions import Announcement
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.dependencies import DependencyKeeper
from controller.agent.facts import Facts
from controller.agent.failures import FailureBook
from controller.agent.observation import ObservedContainer
from controller.agent.policy import PolicyKeeper
from controller.agent.reconcile import Reconciler
from controller.api.reasons import Reason
from tests.unit.agent.objects import KEY, NODE, body

STOPPED = {"desiredState": "Stopped"}
PRIVILEGED = {"securityContext": {"privileged": True}}


class Observed:
    """A node without containers."""

    async def settle(self, _key: object) -> None:
        """Nothing was told."""

    def of(self, _key: object) -> tuple[ObservedContainer, ...]:
        return ()


class Answering:
    """Takes a status; the API server's answer shows what has become of the object meanwhile."""

    def __init__(self, store: DeclaredStore, answer: dict[str, Any], later: float | None = None) -> None:
        self.store, self.answer, self.later = store, answer, later

    async def publish(self, _declared: Declared, _facts: Facts) -> float | None:
        if self.later is None:
            self.store.put(self.answer)
        return self.later


def _object(version: str, spec: Mapping[str, Any] = STOPPED, **metadata: Any) -> dict[str, Any]:
    whole = dict(body(**spec))
    whole["metadata"] = {**whole["metadata"], "resourceVersion": version, **metadata}
    return whole


def _reconciler(
    answer: dict[str, Any],
    told: list[Announcement] | None = None,
    later: float | None = None,
    spec: Mapping[str, Any] = STOPPED,
    lost_at: datetime | None = None,
) -> Reconciler:
    store = DeclaredStore(NODE)
    store.put(_object("1", spec))
    return Reconciler(
        api=cast(Any, None),
        declared=store,
        observed=cast(Any, Observed()),
        images=cast(Any, SimpleNamespace(of=lambda _key: None)),
        failures=FailureBook(),
        dependencies=DependencyKeeper(cast(Any, None), store, cast(Any, Observed()), lambda _key: None),
        policy=PolicyKeeper(None, lambda: None),
        actor=cast(Any, None),
        publisher=cast(Any, Answering(store, answer, later)),
        announce=lambda _declared, news: (told if told is not None else []).append(news),
        node=NODE,
        containerd_lost_at=lambda: lost_at,
        boot_id="boot",
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


@pytest.mark.feature("P6")
@pytest.mark.parametrize(("later", "times"), [(None, 1), (3.0, 0)], ids=["written", "not written yet"])
async def test_what_holds_a_container_back_is_told_once_the_status_says_it(later: float | None, times: int) -> None:
    told: list[Announcement] = []
    reconciler = _reconciler(_object("2", PRIVILEGED), told, later, PRIVILEGED)

    assert await reconciler.reconcile(KEY) == later

    assert [news.reason for news in told] == [Reason.POLICY_FORBIDDEN] * times
