"""The requests about ContainerNode objects: read one, create one, patch its metadata and its status.

Every patch carries the uid that it is meant for, so that an object deleted and made again under its name never gets another's.
"""

from collections.abc import Mapping
from typing import Any

from controller.api.container import GROUP, VERSION
from controller.api.node import NODE_PLURAL
from controller.kube.client import Client

Body = Mapping[str, Any]
"""A ContainerNode as the API server sends it."""

_COLLECTION = f"/apis/{GROUP}/{VERSION}/{NODE_PLURAL}"


class ContainerNodes:
    """ContainerNode objects in the API server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, name: str) -> Body:
        """The object as it is now.

        Raises:
            NotFound: there is none, or the API server does not know the kind.
        """
        body: Body = await self._client.get(f"{_COLLECTION}/{name}")
        return body

    async def served(self) -> bool:
        """Whether the API server knows the kind: its CRD is installed and established."""
        answer = await self._client.get(f"/apis/{GROUP}/{VERSION}")
        return any(resource["name"] == NODE_PLURAL for resource in answer["resources"])

    async def create(self, body: Mapping[str, Any]) -> Body:
        """Create the object; the API server keeps no status that is sent along.

        Raises:
            Conflict: there is one of this name.
        """
        answer: Body = await self._client.create(_COLLECTION, body)
        return answer

    async def patch(self, name: str, uid: str, metadata: Mapping[str, Any]) -> Body:
        """Merge-patch the metadata of the object with this uid.

        Raises:
            Conflict: the name belongs to another object now.
        """
        answer: Body = await self._client.patch(f"{_COLLECTION}/{name}", {"metadata": {"uid": uid, **metadata}})
        return answer

    async def patch_status(self, name: str, uid: str, status: Mapping[str, Any], *, version: str | None = None) -> Body:
        """Merge-patch the status of the object with this uid; with a version, only if it still is of that resourceVersion.

        Raises:
            Conflict: the name belongs to another object now, or the object has changed.
        """
        metadata = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": version}
        body = {"metadata": metadata, "status": status}
        answer: Body = await self._client.patch(f"{_COLLECTION}/{name}/status", body)
        return answer
