"""A real containerd of each supported version and a real registry, shared by a test session; a namespace of its own for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.platforms import this_platform
from controller.containerd.pull.puller import Puller
from controller.containerd.registry.client import Registry
from hack.lab import containerd_daemon, containerd_release, leftovers, registry_daemon
from hack.lab.example_images import busybox as busybox_image
from hack.lab.image_push import push
from tests.integration.containerd.pulling import SNAPSHOTTER, reference_to


@pytest.fixture(scope="session", params=containerd_release.VERSIONS, ids=lambda version: f"containerd-{version}")
def containerd(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[containerd_daemon.Containerd]:
    """A private containerd that runs; each test that asks for it runs once for every version."""
    directory = tmp_path_factory.mktemp(f"containerd-{request.param}")
    with containerd_daemon.Containerd(directory, version=request.param) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[registry_daemon.Registry]:
    """A private registry that runs, on 127.0.0.1 over plain HTTP."""
    with registry_daemon.Registry(tmp_path_factory.mktemp("registry")) as daemon:
        yield daemon


@pytest.fixture
async def client(containerd: containerd_daemon.Containerd) -> AsyncIterator[Containerd]:
    """A client in a containerd namespace that exists for this test only and is empty at first."""
    namespace = f"test-{uuid4().hex[:12]}"
    async with Containerd(containerd.address, namespace) as made:
        await made.namespaces.ensure(namespace)
        yield made
        await empty(made)
        await made.namespaces.delete(namespace)
    leftovers.remove_cgroups([f"/tallyman/{namespace}"])
    with suppress(FileNotFoundError):  # only a test that ran something has one
        (leftovers.RUNC_ROOT / namespace).rmdir()


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


@pytest.fixture(scope="session")
def busybox_in_registry(registry: registry_daemon.Registry) -> str:
    """The registry, with `busybox:1` in it."""
    push(registry.address, "busybox:1", busybox_image())
    return registry.address


@pytest.fixture
async def busybox(puller: Puller, busybox_in_registry: str) -> Image:
    """A busybox image, pulled."""
    return await puller.pull(reference_to(busybox_in_registry, "busybox:1"), this_platform(), SNAPSHOTTER)


@pytest.fixture
def node_directory(tmp_path: Path) -> Path:
    """A directory for what a node has besides containerd: FIFOs, logs, registry configuration."""
    return tmp_path


async def empty(client: Containerd) -> None:
    """Remove everything from the client's namespace."""
    for task in await client.tasks.list():
        await _end(client, task.id)
    for container in await client.containers.list():
        await client.containers.delete(container.id)
    for image in await client.images.list():
        await client.images.delete(image.name)
    for lease in await client.leases.list():
        await client.leases.delete(lease.id)
    for ingest in await client.content.statuses():
        with suppress(errors.NotFound):
            await client.content.abort(ingest.ref)
    await collect_garbage(client)


async def collect_garbage(client: Containerd) -> None:
    """Have containerd collect garbage now, and return when it has."""
    lease = await client.leases.create(f"garbage-{uuid4().hex}")
    await client.leases.delete(lease.id, wait_for_collection=True)


async def _end(client: Containerd, task_id: str) -> None:
    waiting = asyncio.create_task(client.tasks.wait(task_id, timeout=20))
    with suppress(errors.ContainerdError):  # most are not paused
        await client.tasks.resume(task_id)
    try:
        await client.tasks.kill(task_id, 9, all_processes=True)
        await waiting
    except (errors.NotFound, errors.FailedPrecondition):
        waiting.cancel()  # it has exited, or never started
    await client.tasks.delete(task_id)
