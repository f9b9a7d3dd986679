"""What a list from the API server's cache says is hearsay: an object of it that is news is read before it counts.

Such a list may be a moment old. An agent that took its word could run what was bound to another node, or start what was stopped, just
before. Events of the watch are no hearsay: each is what has happened, in its order. Decides nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from controller import log
from controller.agent.identity import Key
from controller.kube.errors import KubeError
from controller.kube.versions import Version
from controller.kube.watch import Deliver

READERS = 8
RETRY_SECONDS = 1.0
_log = log.get(__name__)


class Hearsay:
    """Stands between a watch and the one that it delivers to."""

    def __init__(
        self,
        deliver: Deliver,
        has: Callable[[Key, Version], bool],
        asks: Callable[[Key], bool],
        read: Callable[[Key], Awaitable[object]],
    ) -> None:
        self._deliver = deliver
        self._has = has
        self._asks = asks
        self._read = read
        self._news: asyncio.Queue[tuple[Key, Version]] = asyncio.Queue()

    def deliver(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Hand an event on; of a list, keep in mind what is news."""
        if kind is not None:
            self._deliver(kind, body)
            return
        metadata = body["metadata"]
        self._hear((metadata["namespace"], metadata["name"]), (metadata["uid"], metadata["resourceVersion"]))

    def _hear(self, key: Key, version: Version) -> None:
        # NB: whoever looks at a container whose object is unknown asks for it; an agent that starts would ask twice for each.
        if not self._has(key, version) and not self._asks(key):
            self._news.put_nowait((key, version))

    async def run(self) -> None:
        """Read what was heard of until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(READERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key, version = await self._news.get()
            if self._has(key, version):
                continue
            try:
                await self._read(key)
            except KubeError as error:
                _log.warning("an object could not be read", namespace=key[0], name=key[1], error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
                self._hear(key, version)
