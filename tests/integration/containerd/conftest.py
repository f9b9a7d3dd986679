"""What the tests of the containerd room share: images in the registry, pullers, and a registry with faults."""

from collections.abc import AsyncIterator

import pytest

from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.platforms import this_platform
from controller.containerd.pull.puller import Puller
from controller.containerd.registry.client import Registry
from hack.lab import registry_daemon
from hack.lab.example_images import busybox as busybox_image
from hack.lab.image_push import push
from tests.integration.containerd.faulty_registry import FaultyRegistry
from tests.integration.containerd.pulling import SNAPSHOTTER, reference_to


@pytest.fixture
async def registry_client() -> AsyncIterator[Registry]:
    async with Registry() as made:
        yield made


@pytest.fixture
def local(client: Containerd) -> LocalImages:
    return LocalImages(client)


@pytest.fixture
def puller(client: Containerd, registry_client: Registry, local: LocalImages) -> Puller:
    return Puller(client, registry_client, local)


@pytest.fixture
async def faulty(registry: registry_daemon.Registry) -> AsyncIterator[FaultyRegistry]:
    """A proxy before the registry which does as the test says."""
    async with FaultyRegistry(registry.url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def busybox_in_registry(registry: registry_daemon.Registry) -> str:
    """The registry, with `busybox:1` in it."""
    push(registry.address, "busybox:1", busybox_image())
    return registry.address


@pytest.fixture
async def busybox(puller: Puller, busybox_in_registry: str) -> Image:
    """A busybox image, pulled."""
    return await puller.pull(reference_to(busybox_in_registry, "busybox:1"), this_platform(), SNAPSHOTTER)
