"""The actor that tells what it does: measured in any case, told only when it was done and somebody has the object."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from controller import metrics
from controller.agent.act import Actor
from controller.agent.actions import Action, Again, RecordExit, RemoveContainer, StartContainer
from controller.agent.identity import StopCause
from controller.agent.observation import ObservedContainer
from controller.agent.observed import ObservedStore
from controller.agent.telling import TellingActor
from controller.api.reasons import Reason
from tests.unit.agent.objects import BASE, ID, container, ended, ending, mark


class Observed:
    """One container, as it is now."""

    def __init__(self, known: ObservedContainer | None) -> None:
        self.known = known

    def get(self, container_id: str) -> ObservedContainer | None:
        return self.known if container_id == ID else None


class Stage:
    """Carries an action out by changing what is observed."""

    def __init__(self, before: ObservedContainer | None, after: ObservedContainer | None) -> None:
        self.observed = Observed(before)
        self.after = after
        self.error: Exception | None = None
        self.told: list[Reason] = []
        self.actor = TellingActor(
            cast(Actor, self),
            cast(ObservedStore, self.observed),
            lambda _declared, announcement: self.told.append(announcement.reason),
        )

    async def perform(self, _action: Action, _declared: object) -> None:
        if self.error is not None:
            raise self.error
        self.observed.known = self.after


def counts(name: str, **labels: str) -> Callable[[], float]:
    def read() -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    before = read()
    return lambda: read() - before


FAILED = container(task=ended(3), exit=ending(3, Reason.ERROR))


@pytest.mark.feature("L19")
async def test_what_was_done_is_measured_counted_and_told() -> None:
    measured = counts("tallyman_action_duration_seconds_count", action="RecordExit", result="success")
    exits = counts("tallyman_container_exits_total", reason="Error")
    stage = Stage(replace(FAILED, exit=None), FAILED)

    await stage.actor.perform(RecordExit(ID), BASE)

    assert (stage.told, measured(), exits()) == ([Reason.ERROR], 1, 1)


@pytest.mark.feature("L19")
async def test_an_end_that_only_the_removal_saw_is_counted_too() -> None:
    exits = counts("tallyman_container_exits_total", reason="Stopped")
    stage = Stage(container(task=ended(143), stop=mark(StopCause.REMOVE)), None)

    await stage.actor.perform(RemoveContainer(ID), BASE)

    assert (stage.told, exits()) == ([Reason.STOPPED, Reason.REMOVED], 1)


@pytest.mark.feature("L19")
async def test_what_failed_is_measured_and_not_told() -> None:
    measured = counts("tallyman_action_duration_seconds_count", action="StartContainer", result="error")
    restarts = counts("tallyman_container_restarts_total", cause="policy")
    stage = Stage(container(), container())
    stage.error = RuntimeError("no")

    with pytest.raises(RuntimeError):
        await stage.actor.perform(StartContainer(ID, Again(1)), BASE)

    assert (stage.told, measured(), restarts()) == ([], 1, 0)


@pytest.mark.feature("L19")
async def test_what_is_done_to_an_orphan_is_nobodys_news() -> None:
    stage = Stage(FAILED, None)
    await stage.actor.perform(RemoveContainer(ID), None)
    assert stage.told == []


@pytest.mark.feature("L19")
@pytest.mark.parametrize(
    ("again", "by_policy", "by_request"), [(Again(2), 1, 0), (Again(restarted_at="now"), 0, 1), (None, 0, 0)]
)
async def test_restarts_are_counted_by_who_wanted_them(again: Any, by_policy: int, by_request: int) -> None:
    policy = counts("tallyman_container_restarts_total", cause="policy")
    request = counts("tallyman_container_restarts_total", cause="request")
    stage = Stage(container(), container())
    await stage.actor.perform(StartContainer(ID, again), BASE)
    assert (policy(), request()) == (by_policy, by_request)
