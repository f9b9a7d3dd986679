"""Containers for tests, made by nothing but the client: a small OCI spec, and the calls in the order that is right."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from controller.containerd.tasks import Exit, RuncOptions

SNAPSHOTTER = "overlayfs"
_DEVICES = (
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]},
)
_NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


T = TypeVar("T")


def spec_for(args: list[str], cgroup: str, *, terminal: bool = False) -> dict[str, Any]:
    """Return the smallest OCI runtime spec that runs `args` of a busybox image."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal,
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}, *(_DEVICES if terminal else ())],
        "linux": {"cgroupsPath": cgroup, "namespaces": [{"type": kind} for kind in _NAMESPACES]},
    }


@dataclass
class Box:
    """A container with its task, not yet started."""

    client: Containerd
    id: str

    async def start(self) -> int:
        return await self.client.tasks.start(self.id)

    async def create_and_start(self) -> None:
        """Create the task of a box that has none, and start it."""
        await self.client.tasks.create(self.id, await self.client.snapshots.mounts(SNAPSHOTTER, self.id))
        await self.start()

    async def remove(self) -> Exit:
        """Delete task, container and snapshot of a box that has exited."""
        ended = await self.client.tasks.delete(self.id)
        await self.client.containers.delete(self.id)
        with suppress(errors.NotFound):  # without its container, garbage collection may be faster
            await self.client.snapshots.remove(SNAPSHOTTER, self.id)
        return ended


async def make_box(
    client: Containerd,
    image: Image,
    *args: str,
    stdout: str = "",
    stderr: str = "",
    options: RuncOptions | None = None,
    create: bool = True,
    terminal: bool = False,
) -> Box:
    """Register a container that runs `args`, prepare its filesystem and, unless told not to, create its task."""
    box = Box(client, f"box-{uuid4().hex[:12]}")
    # The container before its snapshot: a snapshot that nothing refers to yet may be collected at any moment.
    await client.containers.create(
        container_id=box.id,
        spec=spec_for(list(args), f"/tallyman/{client.namespace}/{box.id}", terminal=terminal),
        snapshotter=SNAPSHOTTER,
        snapshot_key=box.id,
        image=image.name,
    )
    mounts = await client.snapshots.prepare(SNAPSHOTTER, box.id, image.chain_id)
    if create:
        await client.tasks.create(box.id, mounts, stdout=stdout, stderr=stderr, options=options)
    return box


async def eventually(call: Callable[[], Awaitable[T]], within: float) -> T:
    """Return what `call` returns as soon as containerd is there again, which must be `within` so many seconds."""
    async with asyncio.timeout(within):
        while True:
            try:
                return await call()
            except errors.Unavailable:
                await asyncio.sleep(0.02)
