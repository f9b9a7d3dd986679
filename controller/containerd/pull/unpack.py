"""Layers from the content store to a chain of snapshots, each layer once.

Everything is made under a lease; what keeps the chain after that is not decided here. A layer that is there already is
neither read nor unpacked, but is taken under the lease: containerd does that for a Prepare that names the snapshot it is
meant to become (`containerd.io/snapshot.ref`), even as it answers AlreadyExists.
"""

from dataclasses import dataclass
from uuid import uuid4

from controller.containerd import digests, errors
from controller.containerd.client import Services
from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import DigestMismatch
from controller.containerd.mounts import Mount
from controller.containerd.pull.locks import KeyedLocks

SNAPSHOT_REF_LABEL = "containerd.io/snapshot.ref"
UNCOMPRESSED_LABEL = "containerd.io/uncompressed"
_ATTEMPTS = 3


class Unpacker:
    """Unpacks layers; one a process and namespace, so that a layer shared by two images is unpacked once."""

    def __init__(self) -> None:
        self._locks = KeyedLocks()

    async def layer(self, leased: Services, snapshotter: str, layer: Descriptor, diff_ids: tuple[str, ...]) -> None:
        """Have the snapshot of `layer`, the last of `diff_ids`; those below it must be there.

        Raises `DigestMismatch` when the layer unpacked is not what the config says, and `ContainerdError`.
        """
        chain = digests.chain_ids(diff_ids)
        step = _Step(snapshotter, layer, diff_ids[-1], chain[-1], parent=chain[-2] if len(chain) > 1 else "")
        async with self._locks.hold((snapshotter, step.name)):
            for _ in range(_ATTEMPTS):
                if await _unpack(leased, step):
                    return
        raise errors.Unavailable("Snapshots.Prepare", f"{step.name} comes and goes")


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer, what it must unpack to, the snapshot to make of it and the one to put it upon."""

    snapshotter: str
    layer: Descriptor
    diff_id: str
    name: str
    parent: str


async def _unpack(leased: Services, step: _Step) -> bool:
    """Return whether the snapshot is there, made or found; False when it was found and then went."""
    key = f"extract-{uuid4().hex} {step.name}"
    labels = {SNAPSHOT_REF_LABEL: step.name}
    try:
        mounts = await leased.snapshots.prepare(step.snapshotter, key, step.parent, labels)
    except errors.AlreadyExists:
        return await _exists(leased, step)
    try:
        await _apply(leased, step, mounts)
        await leased.snapshots.commit(step.snapshotter, step.name, key, labels)
    except errors.AlreadyExists:
        # Another client of this containerd was faster.
        await _discard(leased, step.snapshotter, key)
        return await _exists(leased, step)
    except BaseException:
        await _discard(leased, step.snapshotter, key)
        raise
    return True


async def _apply(leased: Services, step: _Step, mounts: tuple[Mount, ...]) -> None:
    applied = await leased.diff.apply(step.layer, mounts)
    if applied.digest != step.diff_id:
        raise DigestMismatch(
            f"layer {step.layer.digest} unpacks to {applied.digest} where its image says {step.diff_id}"
        )
    await leased.content.update_labels(step.layer.digest, {UNCOMPRESSED_LABEL: step.diff_id})


async def _exists(leased: Services, step: _Step) -> bool:
    try:
        await leased.snapshots.stat(step.snapshotter, step.name)
    except errors.NotFound:
        return False
    return True


async def _discard(leased: Services, snapshotter: str, key: str) -> None:
    """Remove a half-made snapshot. When that fails too, it goes with the lease."""
    try:
        await leased.snapshots.remove(snapshotter, key)
    except errors.ContainerdError:
        return
