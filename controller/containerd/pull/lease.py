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
"""The image that a lease is for, so that the next pull of it can end what a crash has left."""


@asynccontextmanager
async def held(client: Services, image: str) -> AsyncIterator[Services]:
    """Give services under a lease for a pull of `image`, one at a time each, and end the lease in every case.

    Leases left by pulls of this image that a crash ended go at the same time: until then they kept what is reused now.
    """
    lease_id = f"pull-{uuid4().hex}"
    stale = [lease.id for lease in await client.leases.list() if lease.labels.get(IMAGE_LABEL) == image]
    await client.leases.create(lease_id, expires_in=EXPIRES_IN, labels={IMAGE_LABEL: image})
    try:
        yield client.leased(lease_id)
    finally:
        for one in (lease_id, *stale):
            await _end(client, one)


async def _end(client: Services, lease_id: str) -> None:
    """End a lease. One that cannot be ended now expires by itself, and must not hide how the pull went."""
    try:
        await client.leases.delete(lease_id)
    except errors.ContainerdError:
        return
