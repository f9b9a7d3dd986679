"""The Snapshots service: filesystems of containers and of images, layer upon layer.

A snapshot must hang on an image, a container or a lease, or garbage collection takes it, between two calls if it likes;
that is the caller's care. For a container's own snapshot the cheapest way is to register the container first: its
`snapshot_key` keeps the snapshot from the moment that it is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from google.protobuf.empty_pb2 import Empty

from controller.containerd import mounts
from controller.containerd.caller import Caller, Method
from controller.containerd.mounts import Mount
from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import snapshots_pb2 as pb

_SERVICE = "containerd.services.snapshots.v1.Snapshots"
PREPARE = Method(_SERVICE, "Prepare", pb.PrepareSnapshotRequest, pb.PrepareSnapshotResponse)
VIEW = Method(_SERVICE, "View", pb.ViewSnapshotRequest, pb.ViewSnapshotResponse)
MOUNTS = Method(_SERVICE, "Mounts", pb.MountsRequest, pb.MountsResponse)
COMMIT = Method(_SERVICE, "Commit", pb.CommitSnapshotRequest, Empty)
REMOVE = Method(_SERVICE, "Remove", pb.RemoveSnapshotRequest, Empty)
STAT = Method(_SERVICE, "Stat", pb.StatSnapshotRequest, pb.StatSnapshotResponse)
LIST = Method(_SERVICE, "List", pb.ListSnapshotsRequest, pb.ListSnapshotsResponse)

REMOVE_TIMEOUT = 60.0
"""Seconds for removal, which deletes files."""


class SnapshotKind(Enum):
    """ACTIVE can be written to, VIEW only read, COMMITTED is a parent for others."""

    UNKNOWN = "Unknown"
    VIEW = "View"
    ACTIVE = "Active"
    COMMITTED = "Committed"


_KIND = {pb.Kind.Value(kind.name): kind for kind in SnapshotKind}


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A snapshot; `name` is its key while it is active."""

    name: str
    parent: str
    kind: SnapshotKind
    labels: Mapping[str, str]
    created_at: datetime | None


class Snapshots:
    """The snapshots of one containerd namespace, by snapshotter and key."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def prepare(
        self, snapshotter: str, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Make a writable snapshot on `parent` (none: empty) and return how to mount it; raises `AlreadyExists`."""
        request = pb.PrepareSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent, labels=labels)
        return mounts.from_wire((await self._caller.unary(PREPARE, request)).mounts)

    async def view(
        self, snapshotter: str, key: str, parent: str, labels: Mapping[str, str] | None = None
    ) -> tuple[Mount, ...]:
        """Make a read-only snapshot of `parent` and return how to mount it; raises `AlreadyExists`."""
        request = pb.ViewSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent, labels=labels)
        return mounts.from_wire((await self._caller.unary(VIEW, request)).mounts)

    async def mounts(self, snapshotter: str, key: str) -> tuple[Mount, ...]:
        """Return how to mount an active snapshot; raises `NotFound`."""
        request = pb.MountsRequest(snapshotter=snapshotter, key=key)
        return mounts.from_wire((await self._caller.unary(MOUNTS, request)).mounts)

    async def commit(self, snapshotter: str, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Turn the active snapshot `key` into the committed `name`; raises `AlreadyExists` and leaves `key` then."""
        request = pb.CommitSnapshotRequest(snapshotter=snapshotter, name=name, key=key, labels=labels)
        await self._caller.unary(COMMIT, request, REMOVE_TIMEOUT)

    async def stat(self, snapshotter: str, key: str) -> SnapshotRecord:
        """Return one snapshot; raises `NotFound`."""
        request = pb.StatSnapshotRequest(snapshotter=snapshotter, key=key)
        return _record((await self._caller.unary(STAT, request)).info)

    async def remove(self, snapshotter: str, key: str) -> None:
        """Remove a snapshot; raises `FailedPrecondition` while others hang on it, `NotFound` if there is none."""
        request = pb.RemoveSnapshotRequest(snapshotter=snapshotter, key=key)
        await self._caller.unary(REMOVE, request, REMOVE_TIMEOUT)

    async def list(self, snapshotter: str, filters: Sequence[str] = ()) -> tuple[SnapshotRecord, ...]:
        """Return the snapshots that match any of `filters` (none: all)."""
        request = pb.ListSnapshotsRequest(snapshotter=snapshotter, filters=filters)
        return tuple([_record(one) async for response in self._caller.stream(LIST, request) for one in response.info])


def _record(info: pb.Info) -> SnapshotRecord:
    kind = _KIND.get(info.kind, SnapshotKind.UNKNOWN)
    return SnapshotRecord(info.name, info.parent, kind, dict(info.labels), to_datetime(info.created_at))
