"""The Content service: blobs by digest, and blobs in the making by ref.

One ref is written by one stream at a time, across all clients; a second writer gets `Unavailable`. What was written stays
under its ref until committed or aborted, also over a crash of either side.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from controller.containerd.caller import Caller, Duplex, Method
from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import content_pb2 as pb

_SERVICE = "containerd.services.content.v1.Content"
INFO = Method(_SERVICE, "Info", pb.InfoRequest, pb.InfoResponse)
UPDATE = Method(_SERVICE, "Update", pb.UpdateRequest, pb.UpdateResponse)
LIST = Method(_SERVICE, "List", pb.ListContentRequest, pb.ListContentResponse)
DELETE = Method(_SERVICE, "Delete", pb.DeleteContentRequest, Empty)
READ = Method(_SERVICE, "Read", pb.ReadContentRequest, pb.ReadContentResponse)
STATUS = Method(_SERVICE, "Status", pb.StatusRequest, pb.StatusResponse)
LIST_STATUSES = Method(_SERVICE, "ListStatuses", pb.ListStatusesRequest, pb.ListStatusesResponse)
WRITE = Method(_SERVICE, "Write", pb.WriteContentRequest, pb.WriteContentResponse)
ABORT = Method(_SERVICE, "Abort", pb.AbortRequest, Empty)

WRITE_TIMEOUT = 60.0
"""Seconds for one chunk to reach the disk."""

COMMIT_TIMEOUT = 600.0
"""Seconds for a commit, which syncs the blob to disk."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """A blob in the store; `size` in bytes."""

    digest: str
    size: int
    labels: Mapping[str, str]
    created_at: datetime | None


@dataclass(frozen=True, slots=True)
class IngestStatus:
    """A blob in the making: `offset` bytes are there, of `total` if known (0: not), meant to become `expected` if said."""

    ref: str
    offset: int
    total: int
    expected: str


class ContentTooLarge(ValueError):
    """A blob has more bytes than its reader allows."""


class Writer:
    """The one writer of a ref; made by `Content.writer`. `offset` is where the next chunk goes."""

    def __init__(self, ref: str, duplex: "Duplex[pb.WriteContentRequest, pb.WriteContentResponse]") -> None:
        self._ref = ref
        self._duplex = duplex
        self.offset = 0

    async def open(self, total: int, expected: str) -> None:
        """Take the ref and learn how far it is; raises `Unavailable` while another has it, `AlreadyExists` for the blob."""
        request = pb.WriteContentRequest(action=pb.STAT, ref=self._ref, total=total, expected=expected)
        self.offset = (await self._duplex.exchange(request)).offset

    async def write(self, data: bytes) -> None:
        """Append a chunk of at most 8 MiB."""
        request = pb.WriteContentRequest(action=pb.WRITE, ref=self._ref, offset=self.offset, data=data)
        self.offset = (await self._duplex.exchange(request, WRITE_TIMEOUT)).offset

    def restart(self) -> None:
        """Throw away what was written so far."""
        # containerd truncates when a chunk comes for offset 0, so the next one does it.
        self.offset = 0

    async def commit(self, total: int, expected: str, labels: Mapping[str, str]) -> None:
        """Make it a blob. Raises `AlreadyExists` for one that is there, `FailedPrecondition` for a wrong size or digest."""
        request = pb.WriteContentRequest(
            action=pb.COMMIT, ref=self._ref, total=total, expected=expected, offset=self.offset, labels=labels
        )
        await self._duplex.exchange(request, COMMIT_TIMEOUT)


class Content:
    """The content store, as one containerd namespace sees it."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def info(self, digest: str) -> BlobInfo:
        """Return what is known of a blob; raises `NotFound`."""
        return _info((await self._caller.unary(INFO, pb.InfoRequest(digest=digest))).info)

    async def list(self, filters: Sequence[str] = ()) -> tuple[BlobInfo, ...]:
        """Return the blobs that match any of `filters` (none: all)."""
        stream = self._caller.stream(LIST, pb.ListContentRequest(filters=filters))
        return tuple([_info(one) async for response in stream for one in response.info])

    async def read(self, digest: str, max_bytes: int) -> bytes:
        """Return a whole blob; raises `NotFound`, and `ContentTooLarge` when it has more than `max_bytes`."""
        data = bytearray()
        async for response in self._caller.stream(READ, pb.ReadContentRequest(digest=digest)):
            data += response.data
            if len(data) > max_bytes:
                raise ContentTooLarge(f"{digest} has more than {max_bytes} bytes")
        return bytes(data)

    @asynccontextmanager
    async def writer(self, ref: str, *, total: int = 0, expected: str = "") -> AsyncIterator[Writer]:
        """Write the blob in the making `ref`, from where it was left.

        Raises `AlreadyExists` when a blob `expected` is in the store, `Unavailable` while another writes to this ref.
        """
        async with self._caller.duplex(WRITE) as duplex:
            writer = Writer(ref, duplex)
            await writer.open(total, expected)
            yield writer

    async def status(self, ref: str) -> IngestStatus:
        """Return how far a blob in the making is; raises `NotFound`."""
        return _status((await self._caller.unary(STATUS, pb.StatusRequest(ref=ref))).status)

    async def statuses(self, filters: Sequence[str] = ()) -> tuple[IngestStatus, ...]:
        """Return the blobs in the making that match any of `filters` (as in `ref~=^x`; none: all)."""
        response = await self._caller.unary(LIST_STATUSES, pb.ListStatusesRequest(filters=filters))
        return tuple(_status(one) for one in response.statuses)

    async def abort(self, ref: str) -> None:
        """Throw away a blob in the making; raises `NotFound`."""
        await self._caller.unary(ABORT, pb.AbortRequest(ref=ref))

    async def update_labels(self, digest: str, labels: Mapping[str, str]) -> BlobInfo:
        """Set these labels and leave all others; an empty value removes the label. Raises `NotFound`."""
        request = pb.UpdateRequest(
            info=pb.Info(digest=digest, labels=labels),
            update_mask=FieldMask(paths=[f"labels.{key}" for key in labels]),
        )
        return _info((await self._caller.unary(UPDATE, request)).info)

    async def delete(self, digest: str) -> None:
        """Delete a blob, whoever may still point at it; raises `NotFound`."""
        await self._caller.unary(DELETE, pb.DeleteContentRequest(digest=digest))


def _info(info: pb.Info) -> BlobInfo:
    return BlobInfo(info.digest, info.size, dict(info.labels), to_datetime(info.created_at))


def _status(status: pb.Status) -> IngestStatus:
    return IngestStatus(status.ref, status.offset, status.total, status.expected)
