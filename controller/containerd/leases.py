"""The Leases service: what is made under a lease is kept from garbage collection while the lease lives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.empty_pb2 import Empty

from controller.containerd.caller import Caller, Method
from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import leases_pb2 as pb

_SERVICE = "containerd.services.leases.v1.Leases"
CREATE = Method(_SERVICE, "Create", pb.CreateRequest, pb.CreateResponse)
DELETE = Method(_SERVICE, "Delete", pb.DeleteRequest, Empty)
LIST = Method(_SERVICE, "List", pb.ListRequest, pb.ListResponse)

EXPIRE_LABEL = "containerd.io/gc.expire"
"""After this moment (RFC 3339) garbage collection removes the lease, so that a crash leaves none behind for ever."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """A lease."""

    id: str
    labels: Mapping[str, str]
    created_at: datetime | None


class Leases:
    """The leases of one containerd namespace."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self, lease_id: str, *, expires_in: timedelta | None = None, labels: Mapping[str, str] | None = None
    ) -> LeaseRecord:
        """Make a lease, which containerd drops after `expires_in` by itself; raises `AlreadyExists`."""
        all_labels = dict(labels or {})
        if expires_in is not None:
            all_labels[EXPIRE_LABEL] = (datetime.now(UTC) + expires_in).strftime("%Y-%m-%dT%H:%M:%SZ")
        response = await self._caller.unary(CREATE, pb.CreateRequest(id=lease_id, labels=all_labels))
        return _record(response.lease)

    async def delete(self, lease_id: str, *, wait_for_collection: bool = False) -> None:
        """End a lease; with `wait_for_collection` return once garbage has been collected. Raises `NotFound`."""
        timeout = 120.0 if wait_for_collection else 10.0
        await self._caller.unary(DELETE, pb.DeleteRequest(id=lease_id, sync=wait_for_collection), timeout)

    async def list(self, filters: Sequence[str] = ()) -> tuple[LeaseRecord, ...]:
        """Return the leases that match any of `filters` (none: all)."""
        response = await self._caller.unary(LIST, pb.ListRequest(filters=filters))
        return tuple(_record(one) for one in response.leases)


def _record(lease: pb.Lease) -> LeaseRecord:
    return LeaseRecord(lease.id, dict(lease.labels), to_datetime(lease.created_at))
