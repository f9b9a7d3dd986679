"""Listens to the nodes' heartbeats: lists their Leases every few seconds, in every manager, whether it leads or not.

A list and not a watch: that nothing changed means something only if one has surely looked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import monotonic
from typing import Any, Final

from controller import log
from controller.api.node import LEASE_DURATION_SECONDS, lease_name
from controller.kube.errors import KubeError
from controller.manager.nodelife import Beat, Heartbeats
from controller.manager.store import Store

_PREFIX: Final = lease_name("")
_log = log.get(__name__)
ListLeases = Callable[[str], Awaitable[Iterable[Mapping[str, Any]]]]
"""Lists the Lease of this name, or all of them when it is empty."""


class Monitor:
    """Keeps `heartbeats` up to date, and tells the store which nodes are silent."""

    def __init__(
        self,
        leases: ListLeases,
        store: Store,
        seconds: float,
        listed: Callable[[], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.heartbeats = Heartbeats(seconds)
        self._leases = leases
        self._store = store
        self._seconds = seconds
        self._listed = listed
        self._clock = clock
        self._trouble = ""

    async def run(self) -> None:
        """List until cancelled. A list that fails is logged; its age tells the probes."""
        while True:
            try:
                await self._look()
            except KubeError as error:
                if str(error) != self._trouble:
                    _log.warning("the nodes' Leases could not be listed", error=str(error))
                self._trouble = str(error)
            await asyncio.sleep(self._seconds)

    async def ask(self, name: str) -> None:
        """Read one node's Lease now: a node is not taken for silent because the last list is some seconds old.

        Raises:
            KubeError: that could not be done.
        """
        beats = dict(_beats(await self._leases(lease_name(name))))
        self.heartbeats.heard(name, beats.get(name), self._clock())

    async def _look(self) -> None:
        beats = dict(_beats(await self._leases("")))
        names = {*self._store.homes(), *(node.name for node in self._store.nodes())}
        self.heartbeats.listed(beats, names, self._clock())
        self._store.set_lost(self.heartbeats.silent())
        self._trouble = ""
        self._listed()


def _beats(leases: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Beat]]:
    """The Lease of each node. Those of others, such as our own election's, are left out."""
    for lease in leases:
        metadata, spec = lease["metadata"], lease.get("spec") or {}
        if metadata["name"].startswith(_PREFIX):
            duration = float(spec.get("leaseDurationSeconds") or LEASE_DURATION_SECONDS)
            version = f"{metadata['uid']} {spec.get('holderIdentity')} {spec.get('renewTime')}"
            yield metadata["name"].removeprefix(_PREFIX), Beat(version, duration)
