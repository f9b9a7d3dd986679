"""The requests about Container objects: read one, list their versions, patch spec, metadata and status.

Every patch carries the uid that it is meant for, so that an object deleted and made again under its name never gets another's.
"""

from collections.abc import Mapping
from typing import Any

from controller.api.container import GROUP, NODE_LABEL, PLURAL, VERSION
from controller.kube import versions
from controller.kube.client import Client
from controller.kube.versions import Name, Version

Body = Mapping[str, Any]
"""A Container as the API server sends it."""


def _path(namespace: str, name: str, subresource: str = "") -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}{subresource}"


class Containers:
    """Container objects in the API server."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, namespace: str, name: str) -> Body:
        """The object as it is now.

        Raises:
            NotFound: there is none.
        """
        body: Body = await self._client.get(_path(namespace, name))
        return body

    async def list(self, namespace: str | None = None) -> list[Body]:
        """All objects of a namespace, or of all namespaces."""
        where = f"namespaces/{namespace}/" if namespace else ""
        answer = await self._client.get(f"/apis/{GROUP}/{VERSION}/{where}{PLURAL}")
        return list(answer["items"] or [])

    async def versions(self, node: str) -> dict[Name, Version]:
        """(uid, resourceVersion) of each object bound to `node`, by (namespace, name); served from the server's cache."""
        collection = f"/apis/{GROUP}/{VERSION}/{PLURAL}"
        return await versions.listed(self._client, collection, cached=True, selector=f"{NODE_LABEL}={node}")

    async def served(self) -> bool:
        """Whether the API server knows the kind: its CRD is installed and established."""
        answer = await self._client.get(f"/apis/{GROUP}/{VERSION}")
        return any(resource["name"] == PLURAL for resource in answer["resources"])

    async def patch(self, namespace: str, name: str, body: Mapping[str, Any]) -> Body:
        """Merge-patch metadata and spec. `body` holds the preconditions."""
        answer: Body = await self._client.patch(_path(namespace, name), body)
        return answer

    async def delete(self, namespace: str, name: str, uid: str) -> Body:
        """Delete the object with this uid, and return it as it is then: with finalizers, it goes once they are off.

        Raises:
            Conflict: the name belongs to another object now.
            NotFound: it is gone.
        """
        await self._client.delete(_path(namespace, name), uid)
        return await self.get(namespace, name)

    async def patch_status(
        self, namespace: str, name: str, uid: str, status: Mapping[str, Any], version: str | None = None
    ) -> Body:
        """Merge-patch the status of the object with this uid; with a `version`, only if nothing has changed since.

        Raises:
            Conflict: the name belongs to another object now, or the version is another.
        """
        metadata = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": version}
        answer: Body = await self._client.patch(
            _path(namespace, name, "/status"), {"metadata": metadata, "status": status}
        )
        return answer
