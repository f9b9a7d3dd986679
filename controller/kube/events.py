"""Kubernetes Events about Containers: posted once per change, aggregated when they repeat, and never in the way.

A failed post is logged and dropped: an Event is news, not state.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from controller import log
from controller.api.container import GROUP, KIND, VERSION
from controller.kube.client import Client
from controller.kube.errors import KubeError, NotFound

COMPONENT = "tallyman"
REMEMBERED = 2048
QUEUE_LENGTH = 256
SPACING_SECONDS = 0.2
_log = log.get(__name__)


@dataclass(frozen=True)
class Regarding:
    """The object that an event is about."""

    namespace: str
    name: str
    uid: str
    resource_version: str


@dataclass(frozen=True)
class News:
    """One thing worth telling the user."""

    regarding: Regarding
    type: Literal["Normal", "Warning"]
    reason: str
    message: str

    @property
    def name(self) -> str:
        """The same news about the same object has the same name, so that repeats are counted, not stored."""
        digest = hashlib.sha256(f"{self.regarding.uid}/{self.type}/{self.reason}/{self.message}".encode()).hexdigest()
        return f"{self.regarding.name[:200]}.{digest[:16]}"


class Recorder:
    """Posts news in order, one at a time, at a bounded rate."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._queue: asyncio.Queue[News] = asyncio.Queue(QUEUE_LENGTH)
        self._posted: OrderedDict[str, int] = OrderedDict()

    def record(self, news: News) -> None:
        """Queue the news; when the queue is full it is dropped, and that is logged."""
        try:
            self._queue.put_nowait(news)
        except asyncio.QueueFull:
            _log.warning("an event was dropped: too many at once", reason=news.reason, name=news.regarding.name)

    async def run(self) -> None:
        """Post what is queued until cancelled."""
        while True:
            news = await self._queue.get()
            try:
                await self._post(news)
            except KubeError as error:
                _log.warning("an event could not be posted", reason=news.reason, error=str(error))
            await asyncio.sleep(SPACING_SECONDS)

    async def _post(self, news: News) -> None:
        count = self._posted.pop(news.name, 0) + 1
        collection = f"/api/v1/namespaces/{news.regarding.namespace}/events"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if count > 1:
            try:
                await self._client.patch(f"{collection}/{news.name}", {"count": count, "lastTimestamp": now})
            except NotFound:
                count = 1
        if count == 1:
            await self._client.create(collection, self._body(news, now))
        self._posted[news.name] = count
        while len(self._posted) > REMEMBERED:
            self._posted.popitem(last=False)

    def _body(self, news: News, now: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": news.name, "namespace": news.regarding.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": news.regarding.namespace,
                "name": news.regarding.name,
                "uid": news.regarding.uid,
                "resourceVersion": news.regarding.resource_version,
            },
            "type": news.type,
            "reason": news.reason,
            "message": news.message[:1024],
            "source": {"component": COMPONENT, "host": self._node},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
