"""Mounts as containerd's snapshotters hand them out and its shims and differs take them.

They are passed on as they are and never mounted here: since 2.2 a snapshotter may answer with kinds that only containerd's
own mount manager understands.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from controller.containerd.wire import types_pb2


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a rootfs; `options` as mount(8) takes them."""

    type: str
    source: str
    target: str = ""
    options: tuple[str, ...] = ()


def from_wire(mounts: Iterable[types_pb2.Mount]) -> tuple[Mount, ...]:
    """Return the mounts of a response."""
    return tuple(Mount(one.type, one.source, one.target, tuple(one.options)) for one in mounts)


def to_wire(mounts: Iterable[Mount]) -> list[types_pb2.Mount]:
    """Return the mounts for a request."""
    return [types_pb2.Mount(type=one.type, source=one.source, target=one.target, options=one.options) for one in mounts]
