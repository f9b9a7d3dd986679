"""Content descriptors (OCI image specification, descriptor.md): what a blob is, its digest and its size."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.containerd.wire import types_pb2


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob; `digest` is `algorithm:hex`, `size` is in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


def from_wire(descriptor: types_pb2.Descriptor) -> Descriptor:
    """Return the descriptor of a response."""
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, dict(descriptor.annotations))


def to_wire(descriptor: Descriptor) -> types_pb2.Descriptor:
    """Return the descriptor for a request."""
    return types_pb2.Descriptor(
        media_type=descriptor.media_type,
        digest=descriptor.digest,
        size=descriptor.size,
        annotations=descriptor.annotations,
    )
