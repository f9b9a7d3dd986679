"""References and images for the tests of pulls."""

import os
from uuid import uuid4

from controller.containerd.client import Containerd
from controller.containerd.registry.reference import ImageReference
from hack.lab.image import Image
from hack.lab.image_layer import Compression, Layer, layer

SNAPSHOTTER = "overlayfs"


def reference_to(host: str, name: str, digest: str | None = None) -> ImageReference:
    """Return the reference of `repository:tag` (or of a digest) on a registry."""
    repository, _, tag = name.partition(":")
    full = f"{host}/{repository}@{digest}" if digest else f"{host}/{repository}:{tag}"
    return ImageReference(full, host, repository, tag or None, digest)


def random_layer(kilobytes: int, compression: Compression = "gzip") -> Layer:
    """Return a layer that nobody else has, of about that size whatever the compression."""
    return layer({f"data/{uuid4().hex}": os.urandom(kilobytes << 10)}, compression=compression)


def random_image(*kilobytes: int, compression: Compression = "gzip") -> Image:
    return Image([random_layer(size, compression) for size in kilobytes], cmd=["/bin/true"])


async def leftovers(client: Containerd) -> list[str]:
    """Return what a pull must not leave behind: its lease, half-made snapshots, unfinished blobs."""
    leases = [f"lease {lease.id}" for lease in await client.leases.list()]
    snapshots = [f"snapshot {one.name}" for one in await client.snapshots.list(SNAPSHOTTER) if " " in one.name]
    ingests = [f"ingest {one.ref}" for one in await client.content.statuses()]
    return leases + snapshots + ingests
