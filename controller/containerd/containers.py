"""The Containers service: what containerd knows of a container apart from its process. Metadata only, nothing runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from controller.containerd.caller import DEFAULT_TIMEOUT, Caller, Method
from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import containers_pb2 as pb

_SERVICE = "containerd.services.containers.v1.Containers"
GET = Method(_SERVICE, "Get", pb.GetContainerRequest, pb.GetContainerResponse)
LIST = Method(_SERVICE, "List", pb.ListContainersRequest, pb.ListContainersResponse)
CREATE = Method(_SERVICE, "Create", pb.CreateContainerRequest, pb.CreateContainerResponse)
UPDATE = Method(_SERVICE, "Update", pb.UpdateContainerRequest, pb.UpdateContainerResponse)
DELETE = Method(_SERVICE, "Delete", pb.DeleteContainerRequest, Empty)

SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
"""The type URL of an OCI runtime spec; its value is JSON, not protobuf."""

RUNC = "io.containerd.runc.v2"
"""The name of the runtime that starts runc and its like through containerd's own shim."""


@dataclass(frozen=True)
class ContainerRecord:
    """A container as containerd stores it. Its process, if any, is a task (`tasks`)."""

    id: str
    labels: Mapping[str, str]
    image: str
    runtime_name: str
    snapshotter: str
    snapshot_key: str
    spec_json: bytes = field(repr=False)
    created_at: datetime | None
    updated_at: datetime | None

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The OCI runtime spec, parsed when first asked for. Not to be changed. Raises ValueError if it is not JSON."""
        parsed: dict[str, Any] = json.loads(self.spec_json)
        return parsed


class Containers:
    """The containers of one containerd namespace."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, container_id: str, timeout: float = DEFAULT_TIMEOUT) -> ContainerRecord:
        """Return one container; raises `NotFound`."""
        response = await self._caller.unary(GET, pb.GetContainerRequest(id=container_id), timeout)
        return _record(response.container)

    async def list(self, filters: Sequence[str] = ()) -> tuple[ContainerRecord, ...]:
        """Return the containers that match any of `filters` (as in `labels."a"==b`; none: all)."""
        response = await self._caller.unary(LIST, pb.ListContainersRequest(filters=filters))
        return tuple(_record(one) for one in response.containers)

    async def create(
        self,
        *,
        container_id: str,
        spec: Mapping[str, Any] | bytes,
        snapshotter: str,
        snapshot_key: str,
        image: str = "",
        labels: Mapping[str, str] | None = None,
        runtime_name: str = RUNC,
    ) -> ContainerRecord:
        """Register a container with an OCI runtime `spec` (a mapping, or JSON already); raises `AlreadyExists`."""
        encoded = spec if isinstance(spec, bytes) else json.dumps(spec, separators=(",", ":")).encode()
        container = pb.Container(
            id=container_id,
            labels=labels,
            image=image,
            runtime=pb.Container.Runtime(name=runtime_name),
            spec=AnyMessage(type_url=SPEC_TYPE, value=encoded),
            snapshotter=snapshotter,
            snapshot_key=snapshot_key,
        )
        response = await self._caller.unary(CREATE, pb.CreateContainerRequest(container=container))
        return _record(response.container)

    async def update_labels(self, container_id: str, labels: Mapping[str, str]) -> ContainerRecord:
        """Set these labels and leave all others; an empty value removes the label. Raises `NotFound`."""
        paths = [f"labels.{key}" for key in labels]
        return await self._update(pb.Container(id=container_id, labels=labels), paths)

    async def update_spec(self, container_id: str, spec: Mapping[str, Any] | bytes) -> ContainerRecord:
        """Replace the OCI runtime spec; a task that runs is not touched by it. Raises `NotFound`."""
        encoded = spec if isinstance(spec, bytes) else json.dumps(spec, separators=(",", ":")).encode()
        container = pb.Container(id=container_id, spec=AnyMessage(type_url=SPEC_TYPE, value=encoded))
        return await self._update(container, ["spec"])

    async def _update(self, container: pb.Container, paths: Sequence[str]) -> ContainerRecord:
        request = pb.UpdateContainerRequest(container=container, update_mask=FieldMask(paths=paths))
        return _record((await self._caller.unary(UPDATE, request)).container)

    async def delete(self, container_id: str) -> None:
        """Delete a container's record, not its snapshot; raises `NotFound`. Delete its task first."""
        await self._caller.unary(DELETE, pb.DeleteContainerRequest(id=container_id))


def _record(container: pb.Container) -> ContainerRecord:
    return ContainerRecord(
        id=container.id,
        labels=dict(container.labels),
        image=container.image,
        runtime_name=container.runtime.name,
        snapshotter=container.snapshotter,
        snapshot_key=container.snapshot_key,
        spec_json=container.spec.value,
        created_at=to_datetime(container.created_at),
        updated_at=to_datetime(container.updated_at),
    )
