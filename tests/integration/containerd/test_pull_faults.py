"""Pulls from a registry that cuts, lies, refuses and comes back: what is resumed, what is retried, what is told."""

import asyncio
import hashlib
from typing import Any

import pytest

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.image_errors import (
    BlobNotFound,
    DigestMismatch,
    ImageError,
    InvalidManifest,
    RegistryRefused,
    RegistryUnavailable,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)
from controller.containerd.pull import ingest, lease
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.platforms import this_platform
from controller.containerd.pull.progress import Progress
from controller.containerd.pull.puller import Puller
from controller.containerd.registry.client import Registry
from hack.lab import image as lab_image
from hack.lab import registry_daemon
from hack.lab.image_push import push
from tests.integration.conftest import collect_garbage
from tests.integration.containerd.faulty_registry import FaultyRegistry
from tests.integration.containerd.pulling import SNAPSHOTTER, leftovers, random_image, reference_to

pytestmark = pytest.mark.feature("I1")
HERE = this_platform()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the waiting."""
    monkeypatch.setattr(ingest, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(ingest, "LONGEST_DELAY", 0.05)


@pytest.fixture
def image(registry: registry_daemon.Registry) -> lab_image.Image:
    """An image with a layer of some megabytes and a small one, in the registry as `victim:1`."""
    made = random_image(5000, 20)
    push(registry.address, "victim:1", made)
    return made


async def test_a_cut_layer_is_resumed_where_it_ended(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    digest = image.layers[0].digest
    faulty.cut(f"GET .*{digest}", after=2_500_000)
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert pulled.digest == image.manifest.digest
    assert faulty.asked(f"GET .*{digest}$") == 1
    resumed = [line for line in faulty.requests if f"{digest} bytes=" in line]
    assert len(resumed) == 1
    assert int(resumed[0].rpartition("=")[2].rstrip("-")) >= 1_000_000


async def test_a_small_layer_cut_in_its_first_chunk_is_resumed_too(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    digest = image.layers[1].digest
    faulty.cut(f"GET .*{digest}", after=10_000)
    await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert faulty.asked(f"GET .*{digest} bytes=10000-") == 1


async def test_a_server_that_ignores_ranges_starts_over(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    digest = image.layers[0].digest
    faulty.ignores_range = True
    faulty.cut(f"GET .*{digest}", after=2_500_000)
    seen: list[Progress] = []
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER, seen.append)
    assert pulled.digest == image.manifest.digest
    assert faulty.asked(f"GET .*{digest}") == 2
    assert seen[-1].bytes_done == seen[-1].bytes_total


async def test_corrupt_bytes_are_never_stored(
    client: Containerd, puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    digest = image.layers[0].digest
    faulty.corrupt(f"GET .*{digest}", times=-1)
    with pytest.raises(DigestMismatch, match=f"{faulty.address}/victim sent something else than {digest}"):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert digest not in {blob.digest for blob in await client.content.list()}
    assert await client.images.list() == ()
    assert [one for one in await leftovers(client) if "ingest layer-" + digest in one] == []
    faulty.faults.clear()
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert pulled.digest == image.manifest.digest


async def test_a_corrupt_beginning_is_thrown_away_when_the_rest_does_not_fit(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    digest, blob = image.layers[0].digest, image.layers[0].blob
    faulty.cut(f"GET .*{digest}$", after=2_100_000, body=bytes(2_000_000) + blob[2_000_000:])
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert pulled.digest == image.manifest.digest
    assert faulty.asked(f"GET .*{digest} bytes=") == 1
    assert faulty.asked(f"GET .*{digest}$") == 2


async def test_layers_of_a_registry_that_is_busy_for_a_while(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    layer = image.layers[0].digest
    faulty.answer(f"GET .*{layer}", 503)
    faulty.answer(f"GET .*{layer}", 429, Retry_After="1")
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert pulled.digest == image.manifest.digest


async def test_a_registry_that_asks_for_patience(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    body = '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\ndown"}]}'
    faulty.answer("manifests", 429, body, -1, Retry_After="7")
    with pytest.raises(RegistryUnavailable, match="status 429") as caught:
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert caught.value.retry_after == 7


async def test_a_registry_that_stays_down_while_layers_are_fetched(
    client: Containerd, puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    faulty.answer(f"GET .*{image.layers[0].digest}", 503, times=-1)
    with pytest.raises(RegistryUnavailable, match=f"{faulty.address}/victim: blob .*: status 503"):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert faulty.asked(f"GET .*{image.layers[0].digest}") == ingest.RETRIES + 1
    assert await client.leases.list() == ()


_MANIFEST = "GET .*/manifests/"
_ANY_MANIFEST = "/manifests/"


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (("answer", _ANY_MANIFEST, 401), Unauthorized, "not allowed without other credentials"),
        (("answer", _ANY_MANIFEST, 403), Unauthorized, "not allowed without other credentials"),
        (("answer", _ANY_MANIFEST, 418), RegistryRefused, "status 418"),
        (("answer", _ANY_MANIFEST, 500), RegistryUnavailable, "status 500"),
        (("replace", _MANIFEST, b"{" + b" " * (5 << 20) + b"}"), TooLarge, "has more than 4194304 bytes"),
        (("replace", _MANIFEST, b"not json"), DigestMismatch, "sent something else than manifest"),
        (("corrupt", _MANIFEST), DigestMismatch, "sent something else than manifest"),
    ],
    ids=["401", "403", "418", "500", "too-large", "not-json", "corrupt"],
)
async def test_what_a_bad_answer_for_the_manifest_becomes(
    puller: Puller,
    faulty: FaultyRegistry,
    image: lab_image.Image,
    fault: tuple[Any, ...],
    error: type[ImageError],
    message: str,
) -> None:
    how, *arguments = fault
    getattr(faulty, how)(*arguments, times=-1)
    with pytest.raises(error, match=message):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)


@pytest.mark.parametrize(
    ("body", "media_type", "error", "message"),
    [
        (b"not json", lab_image.OCI["manifest"], InvalidManifest, "is not JSON"),
        (b"[" * 100_000, lab_image.OCI["manifest"], InvalidManifest, "is not JSON"),
        (b'{"schemaVersion":1}', "application/json", UnsupportedMediaType, "schema 1"),
        (b"<html>", "text/html", InvalidManifest, "is not JSON"),
    ],
    ids=["not-json", "deep", "schema-1", "a-login-page"],
)
async def test_a_registry_without_digest_headers_that_sends_nonsense(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image, body: bytes, media_type: str,
    error: type[ImageError], message: str,
) -> None:  # fmt: skip
    faulty.answer("HEAD .*manifests", 405, times=-1)
    faulty.replace(_MANIFEST, body, times=-1, Content_Type=media_type)
    with pytest.raises(error, match=message):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)


async def test_a_registry_without_digest_headers(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    faulty.answer("HEAD .*manifests", 405, times=-1)
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert pulled.digest == image.manifest.digest


async def test_a_layer_that_the_registry_lost(puller: Puller, faulty: FaultyRegistry, image: lab_image.Image) -> None:
    digest = image.layers[1].digest
    faulty.answer(f"GET .*{digest}", 404, times=-1)
    with pytest.raises(BlobNotFound, match=f"{faulty.address}/victim: no blob {digest}"):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)


async def test_more_bytes_than_the_manifest_says(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    layer = image.layers[1]
    faulty.replace(f"GET .*{layer.digest}", layer.blob + bytes(3 << 20), times=-1)
    with pytest.raises(DigestMismatch, match="sent more than"):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://x/y", "", "http://[", "//"])
async def test_a_redirection_to_something_else(
    puller: Puller, faulty: FaultyRegistry, image: lab_image.Image, location: str
) -> None:
    faulty.answer(_ANY_MANIFEST, 307, times=-1, Location=location)
    with pytest.raises((RegistryRefused, RegistryUnavailable)):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)


async def test_blobs_may_be_elsewhere(
    puller: Puller, faulty: FaultyRegistry, registry: registry_daemon.Registry, image: lab_image.Image
) -> None:
    layer = image.layers[0].digest
    faulty.answer(f"GET .*{layer}", 307, times=-1, Location=f"{registry.url}/v2/victim/blobs/{layer}")
    pulled = await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)
    assert pulled.digest == image.manifest.digest


async def test_a_redirection_without_end(puller: Puller, faulty: FaultyRegistry, image: lab_image.Image) -> None:
    faulty.answer(_ANY_MANIFEST, 307, times=-1, Location=f"http://{faulty.address}/v2/victim/manifests/1")
    with pytest.raises(RegistryRefused, match="more than 5 redirections"):
        await puller.pull(reference_to(faulty.address, "victim:1"), HERE, SNAPSHOTTER)


async def test_a_layer_that_does_not_unpack_to_what_the_config_says(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    honest = random_image(10)
    lie = f"sha256:{hashlib.sha256(b'lie').hexdigest()}"
    data = honest.config.data.replace(honest.layers[0].diff_id.encode(), lie.encode())
    config = lab_image.Blob(data, honest.config.media_type)
    liar = random_image(10)
    object.__setattr__(liar, "layers", honest.layers)
    liar.__dict__["config"] = config
    push(registry.address, "liar:1", liar)
    with pytest.raises(DigestMismatch, match=f"unpacks to {honest.layers[0].diff_id} where its image says {lie}"):
        await puller.pull(reference_to(registry.address, "liar:1"), HERE, SNAPSHOTTER)
    assert await client.snapshots.list(SNAPSHOTTER) == ()
    assert await leftovers(client) == []


async def test_a_cancelled_pull_leaves_nothing_and_is_resumed(
    client: Containerd, puller: Puller, faulty: FaultyRegistry, image: lab_image.Image
) -> None:
    """Cancelled in the middle of a layer; what is there of it survives even a garbage collection."""
    digest = image.layers[0].digest
    enough = asyncio.Event()
    reference = reference_to(faulty.address, "victim:1")

    def watch(progress: Progress) -> None:
        if progress.bytes_done > 2_500_000:
            enough.set()

    faulty.stall(f"GET .*{digest}", after=3_200_000)
    pull = asyncio.create_task(puller.pull(reference, HERE, SNAPSHOTTER, watch))
    await asyncio.wait_for(enough.wait(), 20)
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pull
    assert [one for one in await leftovers(client) if not one.startswith("ingest")] == []
    await collect_garbage(client)
    assert (await client.content.status(f"layer-{digest}")).offset >= 2 << 20

    await puller.pull(reference, HERE, SNAPSHOTTER)
    assert faulty.asked(f"GET .*{digest} bytes=") == 1
    assert await leftovers(client) == []


async def test_a_pull_whose_process_died_is_resumed_by_the_next_process(
    client: Containerd, faulty: FaultyRegistry, image: lab_image.Image, registry_client: Registry
) -> None:
    """A connection that goes away in the middle is what containerd sees of a SIGKILL."""
    digest = image.layers[0].digest
    reference = reference_to(faulty.address, "victim:1")
    faulty.stall(f"GET .*{digest}", after=3_200_000)
    enough = asyncio.Event()

    def watch(progress: Progress) -> None:
        if progress.bytes_done > 2_500_000:
            enough.set()

    dying = Containerd(client.address, client.namespace)
    pull = asyncio.create_task(
        Puller(dying, registry_client, LocalImages(dying)).pull(reference, HERE, SNAPSHOTTER, watch)
    )
    await asyncio.wait_for(enough.wait(), 20)
    await dying.close()
    pull.cancel()
    # Whether it hears first that its connection is gone, or that it is given up, is up to the event loop.
    with pytest.raises((asyncio.CancelledError, errors.Unavailable)):
        await pull
    assert len(await client.leases.list()) == 1

    assert await lease.sweep(client) == (reference.name,)
    async with Registry() as fresh:
        await Puller(client, fresh, LocalImages(client)).pull(reference, HERE, SNAPSHOTTER)
    assert faulty.asked(f"GET .*{digest} bytes=") == 1
    await collect_garbage(client)
    assert await leftovers(client) == []
