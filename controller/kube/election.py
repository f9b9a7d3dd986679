"""The requests about the one Lease by which processes elect a leader. Who leads is decided by the caller."""

from collections.abc import Mapping
from typing import Any

from controller.kube.client import Client


class ElectionLease:
    """A Lease of a fixed name."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._name = name
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def get(self) -> dict[str, Any]:
        """Read it.

        Raises:
            NotFound: there is none.
        """
        answer: dict[str, Any] = await self._client.get(f"{self._collection}/{self._name}")
        return answer

    async def create(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Make it.

        Raises:
            Conflict: there is one.
            NotFound: there is no such namespace.
        """
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": dict(spec),
        }
        answer: dict[str, Any] = await self._client.create(self._collection, body)
        return answer

    async def patch(self, version: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch its spec, if it still is of this resourceVersion.

        Raises:
            Conflict: it has changed.
            NotFound: it is gone.
        """
        body = {"metadata": {"resourceVersion": version}, "spec": dict(spec)}
        answer: dict[str, Any] = await self._client.patch(f"{self._collection}/{self._name}", body)
        return answer
