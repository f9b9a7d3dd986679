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
from controller.agent.publish import SPACING, UNHEARD_SECONDS, Publisher
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
        self.versions: list[str | None] = []
        self.error: Exception | None = None

    async def patch_status(
        self, namespace: str, name: str, uid: str, status: Mapping[str, Any], version: str | None
    ) -> Mapping[str, Any]:
        assert (namespace, name, uid) == (*KEY, UID)
        self.versions.append(version)
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


class Hearing:
    """Whether the cluster hears of this node."""

    now = True

    def __call__(self) -> bool:
        return self.now


@pytest.fixture
def heard() -> Hearing:
    return Hearing()


@pytest.fixture
def publisher(api: FakeAPI, store: DeclaredStore, told: list[Announcement], heard: Hearing) -> Publisher:
    return Publisher(cast(Containers, api), store, NODE, lambda _declared, news: told.append(news), heard)


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


LOST = {
    "state": "Unknown",
    "nodeName": NODE,
    "containerID": ID,
    "conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeLost"}],
}


def _written_by_somebody(api: FakeAPI, store: DeclaredStore, status: Mapping[str, Any], version: str) -> None:
    metadata = {**api.object["metadata"], "resourceVersion": version}
    api.object = {**api.object, "metadata": metadata, "status": {**api.object["status"], **status}}
    store.put(api.object)


@pytest.mark.feature("K2")
async def test_what_the_manager_wrote_of_a_lost_node_is_set_right(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore
) -> None:
    await publisher.publish(known(store), RUNS)
    before = api.object["status"]
    _written_by_somebody(api, store, LOST, "300")

    assert await publisher.publish(known(store), RUNS) is None

    assert api.object["status"]["state"] == "Running"
    assert [(one["type"], one["status"]) for one in api.object["status"]["conditions"]] == [
        (one["type"], one["status"]) for one in before["conditions"]
    ]


@pytest.mark.feature("K2")
async def test_while_the_cluster_does_not_hear_of_the_node_the_two_do_not_contradict_each_other(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore, heard: Hearing
) -> None:
    _written_by_somebody(api, store, LOST, "300")
    heard.now = False

    assert await publisher.publish(known(store), RUNS) == UNHEARD_SECONDS
    assert api.writes == []

    heard.now = True
    assert await publisher.publish(known(store), RUNS) is None
    assert len(api.writes) == 1


@pytest.mark.feature("K2", "L5")
async def test_an_id_is_taken_out_of_the_status_of_a_lost_node_too(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore, heard: Hearing
) -> None:
    _written_by_somebody(api, store, LOST, "300")
    heard.now = False

    await publisher.publish(known(store), replace(RUNS, state=ContainerState.REMOVING, container=None))

    assert api.writes[0]["containerID"] is None


@pytest.mark.feature("K2")
async def test_the_first_status_of_a_node_is_for_the_object_as_it_was_read(
    publisher: Publisher, api: FakeAPI, store: DeclaredStore
) -> None:
    """It may have been bound to another node meanwhile, which must not find this node's words in it."""
    await publisher.publish(known(store), RUNS)
    await publisher.publish(known(store), replace(RUNS, ready=False))
    _written_by_somebody(api, store, {"nodeName": None}, "300")
    await publisher.publish(known(store), RUNS)

    assert api.versions == ["100", None, "300"]
