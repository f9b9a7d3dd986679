"""The safety net: what the watches have brought is compared with lists, at the beginning of each term and every so often.

kopf does not tell when a watch last said anything, so whether a watch works is shown by its result. What it does not bring in time is
read here; the watch is not trusted then, and the manager not ready, until a comparison finds nothing of the kind.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from time import time
from typing import Any, Final

from controller import log
from controller.kube.errors import KubeError, NotFound
from controller.kube.versions import Name, Version, later
from controller.manager import metrics

FIRST_SECONDS: Final = 60.0
"""So long a watch has to bring all that there is."""
LATER_SECONDS: Final = 20.0
"""So long it may be behind later on. An API server that has just been started may ask it to come back in ten seconds."""
LOOK_SECONDS: Final = 0.1
_log = log.get(__name__)


@dataclass(frozen=True)
class Source:
    """One kind: how it is listed and read, and what the store has of it."""

    name: str
    listed: Callable[[bool], Awaitable[Mapping[Name, Version]]]
    """Called with whether it may come from the API server's cache, and so be a moment old."""
    read: Callable[[Name], Awaitable[Mapping[str, Any]]]
    names: Callable[[], Iterable[Name]]
    known: Callable[[Name], Version | None]
    put: Callable[[Mapping[str, Any]], object]
    drop: Callable[[Name, str], None]


class Comparison:
    """Compares one kind."""

    def __init__(self, source: Source, in_step: Callable[[str], None], fault: Callable[[str, str], None]) -> None:
        self._source = source
        self._in_step = in_step
        self._fault = fault
        self._patience = FIRST_SECONDS

    async def run(self, seconds: float) -> None:
        """Compare every `seconds` until cancelled. A list that fails is logged; its age tells the probes."""
        while True:
            try:
                await self.catch_up(cached=True)
            except KubeError as error:
                _log.warning("the API server could not be listed", kind=self._source.name, error=str(error))
            await asyncio.sleep(seconds)

    async def catch_up(self, *, cached: bool = False) -> None:
        """Return when the store has all that is there now, or was a moment ago. What the watch does not bring in time is read.

        Raises:
            KubeError: that could not be found out.
        """
        before = {name: self._source.known(name) for name in self._source.names()}
        listed = await self._source.listed(cached)
        # NB: what was known before and is not listed has gone; what is known since may have come after the list.
        expected: dict[Name, Version | None] = {**{name: None for name in before if name not in listed}, **listed}
        late = await self._wait(expected, before)
        missed = [name for name in late if await self._read(name)]
        if missed:
            metrics.watch_missed(self._source.name, len(missed))
            self._fault(self._source.name, f"the watch has missed changes ({len(missed)} of them at the last look)")
            _log.error(
                "the watch has missed changes; they were read instead", kind=self._source.name, count=len(missed)
            )
            return
        self._patience = LATER_SECONDS
        self._in_step(self._source.name)
        metrics.listed(self._source.name, time())

    async def _wait(self, expected: Mapping[Name, Version | None], before: Mapping[Name, Version | None]) -> list[Name]:
        """What the watch has not brought in time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        late = list(expected)
        while late:
            if not self._lacks(late[-1], expected[late[-1]], before.get(late[-1])):
                late.pop()
            elif loop.time() < deadline:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return [name for name in late if self._lacks(name, expected[name], before.get(name))]
        return []

    def _lacks(self, name: Name, listed: Version | None, before: Version | None) -> bool:
        known = self._source.known(name)
        if listed is None:
            return known is not None and before is not None and known[0] == before[0]
        if known is None:
            return True
        return known != listed and not later(known[1], listed[1])

    async def _read(self, name: Name) -> bool:
        """Read one object; says whether the store did not have it so."""
        known = self._source.known(name)
        try:
            return self._source.put(await self._source.read(name)) is not None
        except NotFound:
            if known is not None:
                self._source.drop(name, known[0])
            return known is not None
