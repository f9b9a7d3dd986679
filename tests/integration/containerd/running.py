"""Containers for tests, made by nothing but the client: a small OCI spec, and the calls in the order that is right."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from controller.containerd.tasks import Exit

SNAPSHOTTER = "overlayfs"
_NAMESPACES = ("pid", "ipc", "uts", "mount", "network")


def spec_for(args: list[str], cgroup: str, linux: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the smallest OCI runtime spec that runs `args` of a busybox image."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
            "cwd": "/",
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"cgroupsPath": cgroup, "namespaces": [{"type": kind} for kind in _NAMESPACES], **(linux or {})},
    }


@dataclass
class Box:
    """A container with its task, not yet started."""

    client: Containerd
    id: str

    async def start(self) -> int:
        return await self.client.tasks.start(self.id)

    async def remove(self) -> Exit:
        """Delete task, container and snapshot of a box that has exited."""
        ended = await self.client.tasks.delete(self.id)
        await self.client.containers.delete(self.id)
        with suppress(errors.NotFound):  # without its container, garbage collection may be faster
            await self.client.snapshots.remove(SNAPSHOTTER, self.id)
        return ended


async def make_box(
    client: Containerd, image: Image, *args: str, stdout: str = "", linux: Mapping[str, Any] | None = None
) -> Box:
    """Prepare, create and create the task of a container that runs `args`."""
    box = Box(client, f"box-{uuid4().hex[:12]}")
    # The container before its snapshot: a snapshot that nothing refers to yet may be collected at any moment.
    await client.containers.create(
        container_id=box.id,
        spec=spec_for(list(args), f"/tallyman/{client.namespace}/{box.id}", linux),
        snapshotter=SNAPSHOTTER,
        snapshot_key=box.id,
        image=image.name,
    )
    mounts = await client.snapshots.prepare(SNAPSHOTTER, box.id, image.chain_id)
    await client.tasks.create(box.id, mounts, stdout=stdout)
    return box
