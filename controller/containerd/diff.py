"""The Diff service: layers unpacked onto snapshots, by containerd itself."""

from collections.abc import Iterable

from controller.containerd import descriptors, mounts
from controller.containerd.caller import Caller, Method
from controller.containerd.descriptors import Descriptor
from controller.containerd.mounts import Mount
from controller.containerd.wire import diff_pb2 as pb

APPLY = Method("containerd.services.diff.v1.Diff", "Apply", pb.ApplyRequest, pb.ApplyResponse)

APPLY_TIMEOUT = 1800.0
"""Seconds for one layer, of gigabytes perhaps, on a slow disk."""


class Diff:
    """Differences between filesystems."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def apply(self, layer: Descriptor, onto: Iterable[Mount], timeout: float = APPLY_TIMEOUT) -> Descriptor:
        """Unpack a layer that is in the content store onto a mounted snapshot.

        Returns the descriptor of the layer unpacked: its digest is the diff id. Raises `Unimplemented` for a media type that
        this containerd cannot unpack.
        """
        request = pb.ApplyRequest(diff=descriptors.to_wire(layer), mounts=mounts.to_wire(onto))
        return descriptors.from_wire((await self._caller.unary(APPLY, request, timeout)).applied)
