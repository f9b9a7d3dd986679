"""The lease of a pull: what keeps everything that it makes from garbage collection until the image's name does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

from controller.containerd import errors
from controller.containerd.client import Services

EXPIRES_IN = timedelta(hours=24)
"""After a crash containerd itself drops the lease, a day later as with containerd's own client."""

IMAGE_LABEL = "pull.image"
"""The image that a lease is for; also what tells our leases from those of others."""


@asynccontextmanager
async def held(client: Services, image: str) -> AsyncIterator[Services]:
    """Give services under a lease for a pull of `image`, and end the lease in every case."""
    lease_id = f"pull-{uuid4().hex}"
    await client.leases.create(lease_id, expires_in=EXPIRES_IN, labels={IMAGE_LABEL: image})
    try:
        yield client.leased(lease_id)
    finally:
        await _end(client, lease_id)


async def sweep(client: Services) -> tuple[str, ...]:
    """End the leases that an earlier process left when it died in a pull; return the images that they were for.

    To be called before the first pull, by the one process that pulls into this containerd namespace: it would end those of
    another. What the leases kept, finished blobs and half-made snapshots, is collected some time later; a pull of the same
    image that begins soon will still find most of it.
    """
    left = [lease for lease in await client.leases.list() if IMAGE_LABEL in lease.labels]
    for lease in left:
        await _end(client, lease.id)
    return tuple(lease.labels[IMAGE_LABEL] for lease in left)


async def _end(client: Services, lease_id: str) -> None:
    """End a lease. One that cannot be ended now expires by itself, and must not hide how the pull went."""
    try:
        await client.leases.delete(lease_id)
    except errors.ContainerdError:
        return
