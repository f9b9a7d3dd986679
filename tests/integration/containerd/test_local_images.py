"""Images that are there: found cheaply, unpacked when only that is missing, and kept from garbage collection."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.platforms import this_platform
from controller.containerd.pull.puller import Puller
from hack.lab import image as lab_image
from hack.lab import registry_daemon
from hack.lab.example_images import busybox as busybox_image
from hack.lab.image_push import push
from tests.integration.conftest import collect_garbage
from tests.integration.containerd.pulling import SNAPSHOTTER, leftovers, random_layer, reference_to
from tests.integration.containerd.running import make_box

pytestmark = pytest.mark.feature("I1")
HERE = this_platform()


@pytest.fixture
async def counted(client: Containerd) -> AsyncIterator[tuple[Containerd, Counter[str]]]:
    """Another client of the same namespace which counts its calls."""
    calls: Counter[str] = Counter()
    async with Containerd(client.address, client.namespace, lambda operation, *_: calls.update([operation])) as made:
        yield made, calls


async def test_a_warm_look_up_is_two_calls(busybox: Image, counted: tuple[Containerd, Counter[str]]) -> None:
    client, calls = counted
    local = LocalImages(client)
    assert await local.load(busybox.name, HERE, SNAPSHOTTER) == busybox
    calls.clear()
    assert await local.load(busybox.name, HERE, SNAPSHOTTER) == busybox
    assert calls == {"Images.Get": 1, "Snapshots.Stat": 1}


async def test_an_image_that_is_not_there(local: LocalImages) -> None:
    assert await local.load("nowhere/nothing:1", HERE, SNAPSHOTTER) is None


async def test_missing_snapshots_are_made_from_content(client: Containerd, busybox: Image) -> None:
    assert await LocalImages(client).load(busybox.name, HERE, "native") == busybox
    assert (await client.snapshots.stat("native", busybox.chain_id)).name == busybox.chain_id
    await collect_garbage(client)
    assert (await client.snapshots.stat("native", busybox.chain_id)).name == busybox.chain_id
    assert (await client.snapshots.stat(SNAPSHOTTER, busybox.chain_id)).name == busybox.chain_id
    assert await leftovers(client) == []


async def test_missing_content_is_no_image(client: Containerd, busybox: Image) -> None:
    fresh = LocalImages(client)
    await client.content.delete(busybox.layers[0].digest)
    assert await fresh.load(busybox.name, HERE, SNAPSHOTTER) == busybox, "its snapshots are there"
    assert await fresh.load(busybox.name, HERE, "native") is None
    await client.content.delete(busybox.config_digest)
    assert await LocalImages(client).load(busybox.name, HERE, SNAPSHOTTER) is None


async def test_missing_content_is_pulled_again(
    client: Containerd, puller: Puller, busybox: Image, busybox_in_registry: str
) -> None:
    await client.content.delete(busybox.config_digest)
    puller = Puller(client, puller._registry, LocalImages(client))
    again = await puller.pull(reference_to(busybox_in_registry, "busybox:1"), HERE, SNAPSHOTTER)
    assert again == busybox
    assert await LocalImages(client).load(busybox.name, HERE, SNAPSHOTTER) == busybox


async def test_collection_takes_only_what_nobody_needs(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    """Two images that share a layer; one goes, with a collection, and the other still runs. Then that goes too."""
    shared = busybox_image().layers
    for name in ("stays:1", "goes:1"):
        push(registry.address, name, lab_image.Image([*shared, random_layer(20)]))
    stays, goes = [
        await puller.pull(reference_to(registry.address, name), HERE, SNAPSHOTTER) for name in ("stays:1", "goes:1")
    ]
    await client.images.delete(goes.name, wait_for_collection=True)
    blobs = {blob.digest for blob in await client.content.list()}
    assert goes.layers[-1].digest not in blobs
    assert {stays.digest, stays.config_digest, *(layer.digest for layer in stays.layers)} <= blobs
    assert len(await client.snapshots.list(SNAPSHOTTER)) == len(stays.layers)

    box = await make_box(client, stays, "true")
    await client.images.delete(stays.name, wait_for_collection=True)
    await box.start()
    assert (await client.tasks.wait(box.id, timeout=20)).status == 0, "a container keeps its own filesystem"
    await box.remove()
    await collect_garbage(client)
    assert await client.content.list() == ()
    assert await client.snapshots.list(SNAPSHOTTER) == ()


async def test_a_pull_is_safe_from_collections_all_the_while(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    push(registry.address, "hunted:1", lab_image.Image([*busybox_image().layers, random_layer(3000), random_layer(9)]))
    pull = asyncio.create_task(puller.pull(reference_to(registry.address, "hunted:1"), HERE, SNAPSHOTTER))
    collections = 0
    while not pull.done():
        await collect_garbage(client)
        collections += 1
    image = await pull
    assert collections > 1
    await collect_garbage(client)
    box = await make_box(client, image, "true")
    await box.start()
    assert (await client.tasks.wait(box.id, timeout=20)).status == 0
