"""The event stream: in place when it says so, typed, filtered, and an error when it breaks."""

import asyncio

import pytest

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.event_types import (
    ContainerCreate,
    ContainerDelete,
    ContainerUpdate,
    Event,
    OtherEvent,
    TaskCreate,
    TaskDelete,
    TaskExit,
    TaskPaused,
    TaskResumed,
    TaskStart,
)
from controller.containerd.events import Subscription
from controller.containerd.pull.image import Image
from hack.lab import containerd_daemon
from tests.integration.containerd.running import eventually, make_box

pytestmark = pytest.mark.feature("L16")


async def collect(events: Subscription, *awaited: type[Event]) -> list[Event]:
    """Return the events until there is one of each type awaited."""
    found: list[Event] = []
    async with asyncio.timeout(20):
        async for event in events:
            found.append(event)
            if {type(one) for one in found} >= set(awaited):
                break
    return found


async def register(client: Containerd, name: str) -> None:
    await client.containers.create(container_id=name, spec={}, snapshotter="overlayfs", snapshot_key=name)


async def test_a_whole_life_in_order(client: Containerd, busybox: Image) -> None:
    async with client.events.subscribe() as events:
        box = await make_box(client, busybox, "sleep", "60")
        await client.containers.update_labels(box.id, {"a": "b"})
        pid = await box.start()
        await client.tasks.pause(box.id)
        await client.tasks.resume(box.id)
        await client.tasks.kill(box.id, 9)
        await client.tasks.wait(box.id, timeout=10)
        await box.remove()
        found = await collect(events, ContainerDelete, TaskExit)
    containers = [type(event) for event in found if event.topic.startswith("/containers/")]
    tasks = [type(event) for event in found if event.topic.startswith("/tasks/")]
    assert containers == [ContainerCreate, ContainerUpdate, ContainerDelete]
    # The shim's last event may come later, or not at all on 2.x.
    assert [kind for kind in tasks if kind is not TaskDelete] == [
        TaskCreate,
        TaskStart,
        TaskPaused,
        TaskResumed,
        TaskExit,
    ]
    assert {getattr(event, "container_id", None) for event in found} == {box.id}
    assert {event.namespace for event in found} == {client.namespace}
    (update,) = [event for event in found if isinstance(event, ContainerUpdate)]
    assert update.labels == {"a": "b"}
    (exited,) = [event for event in found if isinstance(event, TaskExit)]
    assert (exited.is_task, exited.pid, exited.exit_status) == (True, pid, 137)
    assert exited.exited_at is not None


async def test_nothing_is_missed_after_the_subscription_is_open(client: Containerd) -> None:
    """Fifty times: the first thing done in the block is seen."""
    for number in range(50):
        async with client.events.subscribe() as events:
            await register(client, f"c{number}")
            (event,) = await collect(events, ContainerCreate)
            assert isinstance(event, ContainerCreate)
            assert event.container_id == f"c{number}"


async def test_many_subscriptions_opened_at_once(client: Containerd) -> None:
    async def one() -> list[Event]:
        async with client.events.subscribe() as events:
            opened.release()
            return await collect(events, ContainerCreate)

    opened = asyncio.Semaphore(0)
    subscribers = [asyncio.create_task(one()) for _ in range(10)]
    for _ in subscribers:
        await opened.acquire()
    await register(client, "seen-by-all")
    assert {len(found) for found in await asyncio.gather(*subscribers)} == {1}


async def test_another_namespace_is_not_heard(client: Containerd, containerd: containerd_daemon.Containerd) -> None:
    async with Containerd(containerd.address, f"{client.namespace}-other") as other:
        await other.namespaces.ensure(other.namespace)
        async with client.events.subscribe() as events:
            await register(other, "theirs")
            await register(client, "ours")
            found = await collect(events, ContainerCreate)
        await other.containers.delete("theirs")
        await other.namespaces.delete(other.namespace)
    assert [event.namespace for event in found] == [client.namespace]


async def test_other_topics_come_as_other_events(client: Containerd, busybox: Image) -> None:
    async with client.events.subscribe(["/images/"]) as events:
        await client.images.delete(busybox.name)
        (event,) = await collect(events, OtherEvent)
    assert isinstance(event, OtherEvent)
    assert event.topic == "/images/delete"
    assert event.type_url.endswith(".ImageDelete"), "its package depends on the version"


async def test_a_containerd_that_dies_ends_the_stream_with_an_error(
    client: Containerd, containerd: containerd_daemon.Containerd
) -> None:
    async with client.events.subscribe() as events:
        listening = asyncio.create_task(collect(events, ContainerDelete))
        containerd.kill()
        with pytest.raises(errors.Unavailable):
            await listening
    with pytest.raises(errors.Unavailable):
        async with client.events.subscribe():
            pass
    await asyncio.to_thread(containerd.start)
    subscription = await eventually(lambda: client.events.subscribe().__aenter__(), within=2)
    await register(client, "after")
    assert [type(event) for event in await collect(subscription, ContainerCreate)] == [ContainerCreate]
    await subscription.__aexit__(None, None, None)
