"""Stand-alone mode: what is not bound to a node is bound to this one, in one write, as the cluster's manager would.

Only the node's name, its label and our finalizer are written, and only on objects that name no node or this one.
"""

from collections.abc import Callable, Mapping
from typing import Any

from controller import log
from controller.agent.identity import Key
from controller.api.container import FINALIZER, NODE_LABEL
from controller.kube import errors
from controller.kube.containers import Containers

UNBOUND = f"!{NODE_LABEL}"
"""The label selector of objects that nobody has bound."""
_log = log.get(__name__)


class Binder:
    """Binds objects to one node."""

    def __init__(self, api: Containers, node: str, bound: Callable[[Mapping[str, Any]], None]) -> None:
        self._api = api
        self._node = node
        self._bound = bound
        self._unbound: dict[Key, Mapping[str, Any]] = {}

    def offer(self, kind: str | None, body: Mapping[str, Any]) -> Key | None:
        """Take in an object from the watch of unbound ones; returns its key when it is to be bound."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        node = (body.get("spec") or {}).get("nodeName")
        if kind == "DELETED" or "deletionTimestamp" in metadata or node not in (None, self._node):
            self._unbound.pop(key, None)
            return None
        self._unbound[key] = body
        return key

    async def bind(self, key: Key) -> None:
        """Bind the object, if it still is unbound and as it was seen; if not, the watch will tell.

        Raises:
            Unavailable: the API server does not answer.
        """
        body = self._unbound.get(key)
        if body is None:
            return
        metadata = body["metadata"]
        finalizers = list(metadata.get("finalizers") or [])
        patch = {
            "metadata": {
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
                "labels": {NODE_LABEL: self._node},
                "finalizers": finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER],
            },
            "spec": {"nodeName": self._node},
        }
        try:
            bound = await self._api.patch(*key, patch)
        except (errors.Conflict, errors.NotFound) as error:
            _log.debug("not bound: the object has changed", namespace=key[0], name=key[1], error=str(error))
        else:
            self._bound(bound)
        # NB: not after any other error: then it is tried again with what is known.
        if self._unbound.get(key) is body:
            del self._unbound[key]
