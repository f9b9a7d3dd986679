"""containerd's event stream, kept open: subscribe, then list, then listen; when the stream breaks, all of it again.

So what happens while no stream is open is found by the list that follows, before anything else is decided.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from controller import log, metrics
from controller.agent.identity import Key
from controller.agent.observed import ObservedStore
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError
from controller.containerd.event_types import ContainerCreate, ContainerEvent, Event

FIRST_PAUSE = 0.1
LAST_PAUSE = 2.0
_log = log.get(__name__)


class Listener:
    """Keeps the observed store up to date and wakes the keys that something happened to."""

    def __init__(
        self,
        containerd: Containerd,
        observed: ObservedStore,
        wake: Callable[[Key], None],
        every_key: Callable[[], Iterable[Key]],
    ) -> None:
        self._containerd = containerd
        self._observed = observed
        self._wake = wake
        self._every_key = every_key
        self.lost_at: datetime | None = None
        """Since when there is no stream; None while there is one, and what is observed is true."""
        self.listed = asyncio.Event()
        """Set once the first list is in: before that nothing may be decided."""

    async def run(self) -> None:
        """Listen until cancelled."""
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._containerd.events.subscribe() as subscription:
                    await self._list()
                    pause = FIRST_PAUSE
                    async for event in subscription:
                        await self._hear(event)
            except ContainerdError as error:
                metrics.event_stream_broken()
                if self.lost_at is None:
                    self.lost_at = datetime.now(UTC)
                    self._wake_all()
                _log.warning("containerd's events are interrupted", error=str(error), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)

    async def _list(self) -> None:
        await self._containerd.namespaces.ensure(self._containerd.namespace)
        changed = await self._observed.list()
        again = not self.listed.is_set() or self.lost_at is not None
        self.listed.set()
        self.lost_at = None
        if again:
            self._wake_all()
        for key in changed:
            self._wake(key)

    def _wake_all(self) -> None:
        """Everything is to be looked at: containerd has gone, or is back."""
        for key in {*self._observed.keys(), *self._every_key()}:
            self._wake(key)

    async def _hear(self, event: Event) -> None:
        if not isinstance(event, ContainerEvent):
            return
        known = self._observed.get(event.container_id)
        if known is not None:
            key = self._observed.tell(event)
            if key is not None:
                self._wake(key)
        elif isinstance(event, ContainerCreate) and self._observed.is_news(event):
            await self._meet(event)

    async def _meet(self, event: ContainerCreate) -> None:
        """A container that this agent did not make."""
        seen = await self._observed.refresh(event.container_id)
        if seen is not None:
            self._wake(seen.key)
