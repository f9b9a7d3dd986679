"""The Images service: names of images and what they point at. The content itself is in the content store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from controller.containerd import descriptors
from controller.containerd.caller import Caller, Method
from controller.containerd.descriptors import Descriptor
from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import images_pb2 as pb

_SERVICE = "containerd.services.images.v1.Images"
GET = Method(_SERVICE, "Get", pb.GetImageRequest, pb.GetImageResponse)
LIST = Method(_SERVICE, "List", pb.ListImagesRequest, pb.ListImagesResponse)
CREATE = Method(_SERVICE, "Create", pb.CreateImageRequest, pb.CreateImageResponse)
UPDATE = Method(_SERVICE, "Update", pb.UpdateImageRequest, pb.UpdateImageResponse)
DELETE = Method(_SERVICE, "Delete", pb.DeleteImageRequest, Empty)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A name and the index or manifest that it points at."""

    name: str
    target: Descriptor
    labels: Mapping[str, str]
    created_at: datetime | None
    updated_at: datetime | None


class Images:
    """The images of one containerd namespace, by name."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, name: str) -> ImageRecord:
        """Return one image; raises `NotFound`."""
        return _record((await self._caller.unary(GET, pb.GetImageRequest(name=name))).image)

    async def list(self, filters: Sequence[str] = ()) -> tuple[ImageRecord, ...]:
        """Return the images that match any of `filters` (none: all)."""
        response = await self._caller.unary(LIST, pb.ListImagesRequest(filters=filters))
        return tuple(_record(one) for one in response.images)

    async def create(self, name: str, target: Descriptor, labels: Mapping[str, str] | None = None) -> ImageRecord:
        """Name a target; raises `AlreadyExists`. From now on the target is kept from garbage collection."""
        image = pb.Image(name=name, target=descriptors.to_wire(target), labels=labels)
        return _record((await self._caller.unary(CREATE, pb.CreateImageRequest(image=image))).image)

    async def update(self, name: str, target: Descriptor, labels: Mapping[str, str] | None = None) -> ImageRecord:
        """Point an image elsewhere and set `labels`, leaving other labels; raises `NotFound`."""
        image = pb.Image(name=name, target=descriptors.to_wire(target), labels=labels)
        paths = ["target", *(f"labels.{key}" for key in labels or {})]
        request = pb.UpdateImageRequest(image=image, update_mask=FieldMask(paths=paths))
        return _record((await self._caller.unary(UPDATE, request)).image)

    async def delete(self, name: str, *, wait_for_collection: bool = False) -> None:
        """Forget a name; with `wait_for_collection` return once garbage has been collected. Raises `NotFound`."""
        timeout = 120.0 if wait_for_collection else 10.0
        await self._caller.unary(DELETE, pb.DeleteImageRequest(name=name, sync=wait_for_collection), timeout)


def _record(image: pb.Image) -> ImageRecord:
    return ImageRecord(
        name=image.name,
        target=descriptors.from_wire(image.target),
        labels=dict(image.labels),
        created_at=to_datetime(image.created_at),
        updated_at=to_datetime(image.updated_at),
    )
