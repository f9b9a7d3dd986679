"""Kubernetes Events about Containers: posted once per change, counted when they repeat, and never in the way.

What waits, and in which order it goes, is decided in `spool`. An Event is news, not state: what the server refuses is logged and
dropped; what it can't take now is posted later, as far as there is room. Another agent's counts begin anew.
"""

import asyncio
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from controller import log, metrics
from controller.api.container import GROUP, KIND, VERSION
from controller.kube.client import Client
from controller.kube.errors import Conflict, KubeError, NotFound, Unavailable
from controller.kube.spool import News, Post, Spool

COMPONENT = "tallyman"
FIRST_PAUSE = 1.0
LAST_PAUSE = 30.0
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_log = log.get(__name__)


class Recorder:
    """Takes news in at any time, and posts it one at a time."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._spool = Spool(metrics.events_dropped)
        self._awake = asyncio.Event()
        self._until = 0.0
        self._pause = 0.0
        self._trouble: type[KubeError] | None = None

    def record(self, news: News) -> None:
        """Take news in, to be posted soon. What is the same as something told just now is counted, and logged for those who want it all."""
        soon = self._spool.add(news, datetime.now(UTC), monotonic())
        level = _log.info if soon else _log.debug
        level(
            "news",
            reason=news.reason,
            namespace=news.regarding.namespace,
            name=news.regarding.name,
            message=news.message,
        )
        if self._spool.next_at() < self._until:
            self._awake.set()

    def waiting(self) -> int:
        """How many kinds of news are still to be told."""
        return len(self._spool)

    async def run(self) -> None:
        """Post what is due until cancelled."""
        while True:
            post = self._spool.take(monotonic())
            if post is None:
                await self._sleep()
                continue
            try:
                await self._post(post)
            except Unavailable as error:
                self._spool.give_back(post, monotonic())
                await self._wait_for_server(error)
            except KubeError as error:
                metrics.events_dropped(post.news.type, post.more)
                self._tell_trouble(error, reason=post.news.reason)
            else:
                self._pause, self._trouble = 0.0, None
                metrics.event_posted(post.news.type)

    async def _sleep(self) -> None:
        """Until the next post is due, or news comes that is due earlier."""
        self._until = self._spool.next_at()
        timeout = None if self._until == float("inf") else max(self._until - monotonic(), 0.0)
        try:
            async with asyncio.timeout(timeout):
                await self._awake.wait()
        except TimeoutError:
            pass
        self._until = 0.0
        self._awake.clear()

    async def _wait_for_server(self, error: KubeError) -> None:
        self._pause = min(max(2 * self._pause, FIRST_PAUSE), LAST_PAUSE)
        self._tell_trouble(error, seconds=self._pause)
        await asyncio.sleep(self._pause)

    def _tell_trouble(self, error: KubeError, **facts: object) -> None:
        """Once as long as it is of one kind: a server that refuses one Event is likely to refuse them all."""
        level = _log.debug if self._trouble is type(error) else _log.warning
        self._trouble = type(error)
        level("an event could not be posted", error=str(error), **facts)

    async def _post(self, post: Post) -> None:
        """Make the Event, or bring its count up to date; one that has expired is made again."""
        regarding = post.news.regarding
        collection = f"/api/v1/namespaces/{regarding.namespace}/events"
        if not post.fresh:
            told = {"count": post.count, "lastTimestamp": f"{post.last_at:{_TIME}}", "message": post.news.message}
            try:
                await self._client.patch(f"{collection}/{post.kind.name}", told)
            except NotFound:
                pass
            else:
                return
        try:
            await self._client.create(collection, self._body(post))
        except Conflict:
            # NB: it is there already: the answer to an earlier attempt was lost.
            pass

    def _body(self, post: Post) -> dict[str, Any]:
        news, regarding = post.news, post.news.regarding
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": post.kind.name, "namespace": regarding.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "namespace": regarding.namespace,
                "name": regarding.name,
                "uid": regarding.uid,
                "resourceVersion": regarding.resource_version,
            },
            "type": news.type,
            "reason": news.reason,
            "message": news.message,
            "source": {"component": COMPONENT, "host": self._node},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._node,
            "firstTimestamp": f"{post.first_at:{_TIME}}",
            "lastTimestamp": f"{post.last_at:{_TIME}}",
            "count": post.count,
        }
