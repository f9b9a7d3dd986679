"""The one writer of statuses: what is new is sent once, what may pass waits, and what went wrong is repeated."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from controller.agent.actions import Announcement
from controller.agent.allowance import BURST, REFILL_SECONDS
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.facts import Facts, Verdict
from controller.agent.publish import SPACING, Publisher
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from controller.kube import errors
from controller.kube.containers import Containers
from tests.unit.agent.objects import ID, KEY, NODE, UID, body, container
from tests.unit.agent.world import merge_patch

RUNS = Facts(ContainerState.RUNNING, Verdict(Reason.RUNNING), ready=True, container=container())


class FakeAPI:
    """The API server, which merges patches into one object."""

    def __init__(self) -> None:
        self.object: dict[str, Any] = body()
        self.writes: list[Mapping[str, Any]] = []
        self.error: Exception | None = None

    async def patch_status(self, namespace: str, name: str, uid: str, status: Mapping[str, Any]) -> Mapping[str, Any]:
        assert (namespace, name, uid) == (*KEY, UID)
        if self.error is not None:
            raise self.error
        self.writes.append(status)
        metadata = {**self.object["metadata"], "resourceVersion": str(200 + len(self.writes))}
        self.object = {**self.object, "metadata": metadata, "status": merge_patch(self.object["status"], status)}
        return self.object


@pytest.fixture
def api() -> FakeAPI:
    return FakeAPI()


@pytest.fixture
def store() -> DeclaredStore:
    made = DeclaredStore(NODE)
    made.put(body())
    return made


@pytest.fixture
def told() -> list[Announcement]:
    return []


@pytest.fixture
def publisher(api: FakeAPI, store: DeclaredStore, told: list[Announcement]) -> Publisher:
    return Publisher(cast(Containers, api), store, NODE, lambda _declared, news: told.append(news))


def known(store: DeclaredStore) -> Declared:
    found = store.get(KEY)
    assert found is not None
    return found


@pytest.mark.feature("L19")
async def test_what_a_status_tells_is_news_once_it_is_written(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore, told: list[Announcement]
) -> None:
    refused = replace(RUNS, ready=False, why=Verdict(Reason.PAUSE_REFUSED, "there is no process to pause"))
    api.error = errors.Unavailable("no answer")
    with pytest.raises(errors.Unavailable):
        await publisher.publish(known(store), refused)
    assert told == []

    api.error = None
    for _ in range(2):
        await publisher.publish(known(store), refused)
    assert [(one.reason, one.message) for one in told] == [(Reason.PAUSE_REFUSED, "there is no process to pause")]


@pytest.mark.feature("D4", "L5")
async def test_what_is_new_is_sent_once(publisher: Publisher, api: FakeAPI, store: DeclaredStore) -> None:
    for _ in range(3):
        assert await publisher.publish(known(store), RUNS) is None
    assert len(api.writes) == 1
    assert known(store).status.container_id == ID, "the answer is known before the watch brings it"


async def test_what_may_pass_waits(publisher: Publisher, api: FakeAPI, store: DeclaredStore) -> None:
    later = replace(RUNS, publish_after=datetime.now(UTC) + timedelta(seconds=9))
    wait = await publisher.publish(known(store), later)
    assert wait == pytest.approx(9, abs=5)
    assert api.writes == []
    assert await publisher.publish(known(store), replace(later, publish_after=datetime.now(UTC))) is None
    assert len(api.writes) == 1


async def test_what_waits_since_the_clock_was_set_back_waits_no_longer(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore
) -> None:
    later = replace(RUNS, publish_after=datetime.now(UTC) + timedelta(hours=1))
    assert await publisher.publish(known(store), later) is None
    assert len(api.writes) == 1


async def test_what_changes_without_pause_is_written_rarely(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore
) -> None:
    waits = []
    for number in range(BURST + 10):
        facts = replace(RUNS, why=Verdict(Reason.RUNNING, str(number)))
        waits.append(await publisher.publish(known(store), facts))
    assert len(api.writes) == BURST
    assert waits[:BURST] == [None] * BURST
    assert all(wait is not None and 0 < wait <= REFILL_SECONDS for wait in waits[BURST:])


async def test_an_id_is_taken_out_of_the_status_however_often_that_was_written(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore
) -> None:
    for number in range(BURST):
        await publisher.publish(known(store), replace(RUNS, why=Verdict(Reason.RUNNING, str(number))))
    gone = Facts(ContainerState.PENDING, Verdict(Reason.RECREATING))
    assert await publisher.publish(known(store), gone) is None
    assert known(store).status.container_id is None


async def test_the_steps_of_something_long_are_spaced(publisher: Publisher, api: FakeAPI, store: DeclaredStore) -> None:
    step = replace(RUNS, transient=True)
    assert await publisher.publish(known(store), step) is None
    wait = await publisher.publish(known(store), replace(step, why=Verdict(Reason.PULLING, "more")))
    assert wait is not None
    assert 0 < wait <= SPACING.total_seconds()
    assert len(api.writes) == 1
    assert await publisher.publish(known(store), replace(RUNS, why=Verdict(Reason.PULLING, "done"))) is None
    assert len(api.writes) == 2, "what is no step is not held up"


async def test_a_lost_write_is_repeated(publisher: Publisher, api: FakeAPI, store: DeclaredStore) -> None:
    api.error = errors.Unavailable("no answer")
    with pytest.raises(errors.Unavailable):
        await publisher.publish(known(store), RUNS)
    api.error = None
    await publisher.publish(known(store), RUNS)
    assert len(api.writes) == 1


async def test_a_replaced_object_is_told_of(publisher: Publisher, api: FakeAPI, store: DeclaredStore) -> None:
    api.error = errors.Conflict("another uid")
    with pytest.raises(errors.Conflict):
        await publisher.publish(known(store), RUNS)


async def test_an_object_that_is_gone_is_forgotten(publisher: Publisher, api: FakeAPI, store: DeclaredStore) -> None:
    api.error = errors.NotFound("gone")
    assert await publisher.publish(known(store), RUNS) is None
    assert store.get(KEY) is None


async def test_nothing_is_remembered_of_what_is_settled(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore
) -> None:
    await publisher.publish(known(store), replace(RUNS, transient=True))
    assert publisher._written
    await publisher.publish(known(store), replace(RUNS, ready=False))
    assert not publisher._written
    publisher.forget(KEY)
