"""One Secret of the manager's own: read, made, and changed only as long as it is as it was read."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.kube.client import Client
from controller.kube.errors import NotFound


@dataclass(frozen=True)
class Stored:
    """The Secret's data as it was read."""

    version: str
    data: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Stored({self.version!r})"


class Secret:
    """A Secret by its name."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    def __str__(self) -> str:
        return f"Secret {self._namespace}/{self._name}"

    async def get(self) -> Stored | None:
        """What it holds, or None when there is none."""
        try:
            body = await self._client.get(f"{self._all}/{self._name}")
        except NotFound:
            return None
        return _stored(body)

    async def create(self, data: Mapping[str, bytes]) -> Stored:
        """Make it.

        Raises:
            Conflict: it is there already.
            NotFound: the namespace is not there.
        """
        labels = {"app.kubernetes.io/part-of": "tallyman", "app.kubernetes.io/managed-by": "tallyman-manager"}
        metadata = {"name": self._name, "namespace": self._namespace, "labels": labels}
        body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": _encoded(data)}
        return _stored(await self._client.create(self._all, body))

    async def replace(self, version: str, data: Mapping[str, bytes]) -> Stored:
        """Change it, if it still is of this version.

        Raises:
            Conflict: it is not.
            NotFound: it is gone.
        """
        body = {"metadata": {"resourceVersion": version}, "data": _encoded(data)}
        return _stored(await self._client.patch(f"{self._all}/{self._name}", body))

    @property
    def _all(self) -> str:
        return f"/api/v1/namespaces/{self._namespace}/secrets"


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(value).decode() for name, value in data.items()}


def _stored(body: Mapping[str, Any]) -> Stored:
    data = {name: base64.b64decode(value) for name, value in (body.get("data") or {}).items()}
    return Stored(str(body["metadata"]["resourceVersion"]), data)
