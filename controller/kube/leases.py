"""The requests about Leases (coordination.k8s.io/v1) of one namespace: list them, renew one, make one.

A Lease says by its `renewTime` that its holder lives. Who is waited for, and for how long, is up to the callers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from controller.kube.client import Client

Body = Mapping[str, Any]
"""A Lease as the API server sends it."""

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True)
class Owner:
    """The object that a Lease goes with."""

    api_version: str
    kind: str
    name: str
    uid: str

    def reference(self) -> dict[str, str]:
        """As it stands in `metadata.ownerReferences`."""
        return {"apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid}


@dataclass(frozen=True)
class Claim:
    """What a holder says of its Lease."""

    name: str
    holder: str
    duration_seconds: int
    owner: Owner


class Leases:
    """The Leases of one namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    async def list(self, name: str = "") -> list[Body]:
        """All Leases of the namespace, as they are now; with a name, that one alone, if there is one."""
        query = {"fieldSelector": f"metadata.name={name}"} if name else None
        answer = await self._client.get(self._collection, query=query)
        return list(answer["items"] or [])

    async def renew(self, claim: Claim) -> Body:
        """Renew a Lease now, in one request.

        Raises:
            NotFound: there is none.
        """
        body = {"metadata": {"ownerReferences": [claim.owner.reference()]}, "spec": _spec(claim, _now())}
        answer: Body = await self._client.patch(f"{self._collection}/{claim.name}", body)
        return answer

    async def make(self, claim: Claim) -> Body:
        """Make a Lease, renewed now.

        Raises:
            Conflict: there is one of this name.
            NotFound: there is no such namespace.
        """
        now = _now()
        body = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": claim.name,
                "namespace": self.namespace,
                "ownerReferences": [claim.owner.reference()],
            },
            "spec": {**_spec(claim, now), "acquireTime": now},
        }
        answer: Body = await self._client.create(self._collection, body)
        return answer


def _spec(claim: Claim, now: str) -> dict[str, Any]:
    return {
        "holderIdentity": claim.holder,
        "leaseDurationSeconds": claim.duration_seconds,
        "renewTime": now,
    }


def _now() -> str:
    """The present time as Kubernetes' MicroTime."""
    return f"{datetime.now(UTC):{_TIME}}"
