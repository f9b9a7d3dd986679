"""A pull from a real registry into a real containerd: every form of image, unpacked and run."""

import asyncio
import time

import pytest

from controller.containerd.client import Containerd
from controller.containerd.image_errors import (
    InvalidManifest,
    ManifestNotFound,
    NoMatchingPlatform,
    RegistryUnavailable,
    UnsupportedMediaType,
)
from controller.containerd.pull.image import Image
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.platforms import Platform, this_platform
from controller.containerd.pull.progress import Progress
from controller.containerd.pull.puller import Puller
from controller.containerd.registry.client import Registry
from hack.lab import image as lab_image
from hack.lab import registry_daemon
from hack.lab.example_images import busybox as busybox_image
from hack.lab.image_layer import Compression, File, layer
from hack.lab.image_push import push, put_blob, put_manifest
from hack.lab.ports import free_port
from tests.integration.containerd.pulling import SNAPSHOTTER, leftovers, random_image, random_layer, reference_to
from tests.integration.containerd.running import make_box

pytestmark = pytest.mark.feature("I1")
HERE = this_platform()


async def runs(client: Containerd, image: Image, *args: str) -> int:
    """Run a container of an image to its end and return its exit code."""
    box = await make_box(client, image, *args)
    await box.start()
    ended = await client.tasks.wait(box.id, timeout=30)
    await box.remove()
    return ended.status


async def test_an_image_pulled_by_tag_runs(client: Containerd, busybox: Image, busybox_in_registry: str) -> None:
    assert busybox.digest == busybox.manifest_digest == busybox_image().manifest.digest
    assert busybox.config["config"]["Cmd"] == ["sh"]
    assert await runs(client, busybox, "test", "-x", "/bin/busybox") == 0
    assert await leftovers(client) == []


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])
async def test_every_compression_in_both_forms(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry, compression: Compression, docker: bool
) -> None:
    if docker and compression == "zstd":
        pytest.skip("docker's own form has no zstd that all three versions unpack")
    upper = layer({"mark": File(b"here")}, compression=compression)
    image = lab_image.Image([*busybox_image().layers, upper], docker=docker)
    push(registry.address, f"form-{compression}-{docker}".lower() + ":1", image)
    reference = reference_to(registry.address, f"form-{compression}-{docker}".lower() + ":1")
    pulled = await puller.pull(reference, HERE, SNAPSHOTTER)
    assert await runs(client, pulled, "grep", "-q", "here", "/mark") == 0


async def test_an_index_gives_the_manifest_for_this_platform(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    own = lab_image.Image([*busybox_image().layers])
    other = lab_image.Image([random_layer(4)], architecture="s390x")
    third = lab_image.Image([random_layer(4)], architecture="riscv64")
    push(registry.address, "multi:1", lab_image.Index([other, own, third]))
    pulled = await puller.pull(reference_to(registry.address, "multi:1"), HERE, SNAPSHOTTER)
    assert pulled.manifest_digest == own.manifest.digest
    assert pulled.digest != pulled.manifest_digest
    labels = (await client.content.info(pulled.digest)).labels
    assert labels["containerd.io/gc.ref.content.m.1"] == own.manifest.digest
    assert await runs(client, pulled, "true") == 0


async def test_no_matching_platform_says_which_there_are(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    images = [lab_image.Image([random_layer(1)], architecture=name) for name in ("s390x", "riscv64")]
    push(registry.address, "foreign:1", lab_image.Index(images))
    push(registry.address, "foreign:single", images[0])
    with pytest.raises(NoMatchingPlatform, match=f"nothing for {HERE}.* linux/riscv64, linux/s390x"):
        await puller.pull(reference_to(registry.address, "foreign:1"), HERE, SNAPSHOTTER)
    with pytest.raises(NoMatchingPlatform, match="there is: linux/s390x"):
        await puller.pull(reference_to(registry.address, "foreign:single"), HERE, SNAPSHOTTER)
    assert await leftovers(client) == []
    assert await client.images.list() == ()


async def test_pull_by_digest(puller: Puller, registry: registry_daemon.Registry) -> None:
    digest = push(registry.address, "digest:1", random_image(8))
    reference = reference_to(registry.address, "digest", digest)
    assert (await puller.pull(reference, HERE, SNAPSHOTTER)).name == f"{registry.address}/digest@{digest}"


async def test_a_moved_tag_brings_the_new_image_and_only_what_changed(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    reference = reference_to(registry.address, "moved:1")
    shared = random_layer(64)
    push(registry.address, "moved:1", lab_image.Image([shared]))
    first = await puller.pull(reference, HERE, SNAPSHOTTER)
    push(registry.address, "moved:1", lab_image.Image([shared, random_layer(64)]))
    second = await puller.pull(reference, HERE, SNAPSHOTTER)
    assert first.digest != second.digest
    assert (await client.images.get(reference.name)).target.digest == second.digest


async def test_progress_goes_from_nothing_to_all(puller: Puller, registry: registry_daemon.Registry) -> None:
    push(registry.address, "progress:1", random_image(3000, 200))
    seen: list[Progress] = []
    image = await puller.pull(reference_to(registry.address, "progress:1"), HERE, SNAPSHOTTER, seen.append)
    assert (seen[0].bytes_done, seen[0].layers_done, seen[0].layers_total) == (0, 0, 2)
    assert (seen[-1].bytes_done, seen[-1].layers_done) == (seen[-1].bytes_total, 2)
    assert [one.bytes_done for one in seen] == sorted(one.bytes_done for one in seen)
    assert sum(layer.size for layer in image.layers) < seen[-1].bytes_total < image.size
    assert len({one.bytes_done for one in seen}) >= 5


async def test_pulls_at_the_same_time_share_layers(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    shared = [*busybox_image().layers, random_layer(2000), random_layer(500)]
    names = [f"shared{number}:1" for number in range(6)]
    for name in names:
        push(registry.address, name, lab_image.Image([*shared, random_layer(50)]))
    references = [reference_to(registry.address, name) for name in names] * 2
    images = await asyncio.gather(*(puller.pull(one, HERE, SNAPSHOTTER) for one in references))
    assert len({image.chain_id for image in images}) == len(names)
    codes = await asyncio.gather(*(runs(client, image, "true") for image in images))
    assert set(codes) == {0}
    assert len(await client.snapshots.list(SNAPSHOTTER)) == len(shared) + len(names)
    assert await leftovers(client) == []


async def test_two_processes_pull_the_same_image(
    client: Containerd, puller: Puller, registry: registry_daemon.Registry
) -> None:
    """Two pullers that know nothing of each other, as another client of this containerd would."""
    push(registry.address, "twice:1", random_image(4000, 2000, 500))
    reference = reference_to(registry.address, "twice:1")
    async with Registry() as other_registry, Containerd(client.address, client.namespace) as other_client:
        other = Puller(other_client, other_registry, LocalImages(other_client))
        one, two = await asyncio.gather(
            puller.pull(reference, HERE, SNAPSHOTTER), other.pull(reference, HERE, SNAPSHOTTER)
        )
    assert one == two
    assert await leftovers(client) == []


async def test_a_missing_image_names_what_is_missing(puller: Puller, busybox_in_registry: str) -> None:
    with pytest.raises(ManifestNotFound, match=f"{busybox_in_registry}/busybox: no manifest 2"):
        await puller.pull(reference_to(busybox_in_registry, "busybox:2"), HERE, SNAPSHOTTER)
    with pytest.raises(ManifestNotFound, match=f"{busybox_in_registry}/nothing: no manifest 1"):
        await puller.pull(reference_to(busybox_in_registry, "nothing:1"), HERE, SNAPSHOTTER)


async def test_a_refused_connection_is_told_at_once(puller: Puller) -> None:
    address = f"127.0.0.1:{free_port()}"
    started = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=f"{address}: connection refused") as caught:
        await puller.pull(reference_to(address, "busybox:1"), HERE, SNAPSHOTTER)
    assert caught.value.transient
    assert time.monotonic() - started < 2


async def test_a_host_without_an_address(puller: Puller) -> None:
    with pytest.raises(RegistryUnavailable, match="no such host"):
        await puller.pull(reference_to("registry.invalid", "busybox:1"), HERE, SNAPSHOTTER)


async def test_an_artifact_is_no_image(puller: Puller, registry: registry_daemon.Registry) -> None:
    config = put_blob(registry.address, "chart", b"{}")
    manifest = lab_image.Blob(
        b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[],"config":'
        b'{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"%b","size":2}}' % config.encode(),
        lab_image.OCI["manifest"],
    )
    put_manifest(registry.address, "chart", "1", manifest)
    with pytest.raises(UnsupportedMediaType, match=r"not a container image: its config is 'application/vnd.cncf.helm"):
        await puller.pull(reference_to(registry.address, "chart:1"), HERE, SNAPSHOTTER)


async def test_a_config_that_does_not_fit_its_layers(puller: Puller, registry: registry_daemon.Registry) -> None:
    one = lab_image.Image([random_layer(1), random_layer(1)])
    broken = lab_image.Image([random_layer(1)])
    for blob in one.blobs:
        put_blob(registry.address, "unfit", blob)
    for blob in broken.blobs:
        put_blob(registry.address, "unfit", blob)
    data = broken.manifest.data.replace(broken.config.digest.encode(), one.config.digest.encode())
    data = data.replace(b'"size":%d' % len(broken.config.data), b'"size":%d' % len(one.config.data), 1)
    put_manifest(registry.address, "unfit", "1", lab_image.Blob(data, broken.manifest.media_type))
    with pytest.raises(InvalidManifest, match="1 layers in its manifest and 2 in its config"):
        await puller.pull(reference_to(registry.address, "unfit:1"), HERE, SNAPSHOTTER)


async def test_an_image_without_layers(puller: Puller, registry: registry_daemon.Registry) -> None:
    push(registry.address, "scratch:1", lab_image.Image([], cmd=["/nothing"]))
    image = await puller.pull(reference_to(registry.address, "scratch:1"), HERE, SNAPSHOTTER)
    assert image.chain_id == ""


async def test_the_platform_of_an_old_arm_image_does_not_run_here(
    puller: Puller, registry: registry_daemon.Registry
) -> None:
    push(registry.address, "arm:1", lab_image.Image([random_layer(1)], architecture="arm", variant="v6"))
    reference = reference_to(registry.address, "arm:1")
    with pytest.raises(NoMatchingPlatform):
        await puller.pull(reference, Platform("amd64"), SNAPSHOTTER)
    assert (await puller.pull(reference, Platform("arm64"), SNAPSHOTTER)).chain_id
