"""kopf's wiring: a watch over the objects of one kind, filtered by the server, whose every event is handed on and nothing else.

Handlers are `on.event` only: kopf then stores no annotations, no finalizers and no progress on our objects.
"""

import asyncio
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import kopf

from controller import log
from controller.api.container import GROUP, PLURAL, VERSION
from controller.kube import cached, client

RESTART_SECONDS = 5.0
IDENTITY: Any = "tallyman"
"""What kopf is to call itself. Nobody is told; left alone, it asks for the user's name, and a Pod's user has none. (Its type is not public.)"""
Deliver = Callable[[str | None, Mapping[str, Any]], None]
"""Called with the type of the event (None while listing, ADDED, MODIFIED, DELETED) and the object."""

_log = log.get(__name__)


class Resource(NamedTuple):
    """A kind, by the names that are in its URLs."""

    group: str
    version: str
    plural: str


CONTAINERS = Resource(GROUP, VERSION, PLURAL)


class _EndlessBackoffs:
    """Pauses in seconds between attempts of kopf's own requests; growing, jittered, without an end."""

    def __iter__(self) -> Iterator[float]:
        seconds = 0.25
        while True:
            yield seconds * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not secrecy
            seconds = min(seconds * 2, 5.0)


class _NoDifferences(kopf.DiffBaseStorage):
    """Keeps kopf from working out what has changed: it would copy each object twice, for handlers that we don't have."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:  # noqa: ARG002 - kopf passes by name
        """What kopf would compare: nothing."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002 - kopf passes by name
        """What kopf has stored of it: nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep the process's own signal handlers: kopf puts in its own, which would end the watch and not the process."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, handler)


@dataclass(frozen=True)
class Watch:
    """A watch over the objects of a kind, given over to `deliver` as they come."""

    resource: Resource
    deliver: Deliver
    selector: str = ""
    """The label selector that they match; empty: all of them, in all namespaces."""
    cached: bool = False
    """Whether lists come from the API server's cache: at once, but they may be a moment old. Without pages, so for few objects."""
    idle_seconds: float = 5.0
    """How long kopf keeps an object in memory after its last event. Less for those who watch very many."""

    async def run(self) -> None:
        """Watch until cancelled. A watch that fails is logged and begun again."""
        while True:
            try:
                await self._run_once()
            except Exception as error:  # noqa: BLE001 - kopf ends with whatever its tasks raised; the watch must go on
                _log.error(
                    "the watch failed and is begun again",
                    kind=self.resource.plural,
                    selector=self.selector,
                    error=repr(error),
                )
            await asyncio.sleep(RESTART_SECONDS)

    async def _run_once(self) -> None:
        with _signals_kept():
            tasks = await kopf.spawn_tasks(
                registry=self._registry(),
                settings=self._settings(),
                identity=IDENTITY,
                clusterwide=True,
                standalone=True,
            )
        try:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def _login(**_: object) -> kopf.ConnectionInfo | kopf.AiohttpSession:
            return cached.session(client.login()) if self.cached else client.login()

        @kopf.on.event(*self.resource, registry=registry)
        async def _event(event: Mapping[str, Any], **_: object) -> None:
            self.deliver(event["type"], event["object"])

        return registry

    def _settings(self) -> kopf.OperatorSettings:
        settings = kopf.OperatorSettings()
        settings.persistence.diffbase_storage = _NoDifferences()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.networking.error_backoffs = _EndlessBackoffs()
        settings.networking.request_timeout = 60.0
        settings.networking.connect_timeout = 10.0
        settings.watching.reconnect_backoff = 0.5
        settings.watching.server_timeout = 600
        settings.watching.client_timeout = 660.0
        settings.watching.connect_timeout = 10.0
        settings.watching.chunk_size = 500
        # NB: the key is (group, version, plural); other forms are taken for something else and never match.
        if self.selector:
            settings.watching.label_selectors[self.resource] = self.selector
        settings.queueing.idle_timeout = self.idle_seconds
        return settings
