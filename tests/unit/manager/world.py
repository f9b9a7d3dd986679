"""A manager's parts over a server in memory: the store fed by its watch, the binder and the keeper. In virtual time."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from controller.api.reasons import Reason
from controller.kube.client import Client
from controller.kube.containers import Containers
from controller.kube.nodes import ContainerNodes
from controller.manager.binder import Binder
from controller.manager.keeper import Keeper
from controller.manager.nodelife import Beat, Heartbeats
from controller.manager.records import ContainerRecord
from controller.manager.store import Store
from controller.manager.unbindable import Teller
from tests.unit.agent.virtual_time import now
from tests.unit.manager.api_server import FakeClient, Server

LEASE_SECONDS = 40
LIST_SECONDS = 5.0
RELEASE_AFTER = 300.0


class Manager:
    """One leader."""

    def __init__(self, server: Server, *, at_once: int = 4, watches: bool = True) -> None:
        self.server = server
        self.client = FakeClient(server)
        self.store = Store()
        self.heartbeats = Heartbeats(LIST_SECONDS)
        self.told: list[tuple[str, str, str]] = []
        self.leases: dict[str, Beat] = {}
        """The nodes' Leases, as they are now."""
        client = cast("Client", self.client)
        containers = Containers(client)
        teller = Teller(self.store, containers, self._announce)
        self.binder = Binder(self.store, containers, teller, self._announce, at_once)
        self.keeper = Keeper(
            store=self.store,
            heartbeats=self.heartbeats,
            ask=self._ask,
            containers=containers,
            nodes=ContainerNodes(client),
            displace=self.binder.displace,
            announce=self._announce,
            release_after=RELEASE_AFTER,
        )
        self._tasks: list[asyncio.Task[None]] = []
        if watches:
            self.watch()

    def watch(self) -> None:
        """Take in all that there is, and what comes."""
        for body in list(self.server.objects.values()):
            self._deliver("MODIFIED", body)
        self.server.watchers.append(self._deliver)

    def _deliver(self, kind: str, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        if "namespace" in metadata and kind == "DELETED":
            self.store.drop_container((metadata["namespace"], metadata["name"]), metadata["uid"])
        elif "namespace" in metadata:
            self.store.put_container(body)
        elif kind == "DELETED":
            self.store.drop_node(metadata["name"], metadata["uid"])
        else:
            self.store.put_node(body)

    def _announce(self, record: ContainerRecord, reason: Reason, message: str) -> None:
        self.told.append((record.key[1], reason, message))

    async def _ask(self, name: str) -> None:
        self.heartbeats.heard(name, self.leases.get(name), now())

    def renew(self, *names: str) -> None:
        """These nodes renew their Leases."""
        self.leases.update({name: Beat(str(now()), LEASE_SECONDS) for name in names})

    def hear(self, *alive: str) -> None:
        """A list of Leases, before which those of these nodes have been renewed."""
        self.renew(*alive)
        names = {*self.store.homes(), *(node.name for node in self.store.nodes())}
        self.heartbeats.listed(self.leases, names, now())
        self.store.set_lost(self.heartbeats.silent())
        self.keeper.listed()

    async def hear_for(self, seconds: float, *alive: str) -> None:
        """Lists of Leases for a while."""
        until = now() + seconds
        while now() < until:
            self.hear(*alive)
            await asyncio.sleep(min(LIST_SECONDS, until - now()))
        self.hear(*alive)

    def start(self) -> None:
        """Lead."""
        self._tasks = [asyncio.create_task(self.binder.run()), asyncio.create_task(self.keeper.run())]

    async def stop(self) -> None:
        """Lead no more, wherever it is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._deliver in self.server.watchers:
            self.server.watchers.remove(self._deliver)

    def reasons(self, name: str) -> list[str]:
        """What was told of a Container."""
        return [reason for about, reason, _ in self.told if about == name]


async def settle(seconds: float = 1.0) -> None:
    """Let everything happen that is to happen within this time."""
    await asyncio.sleep(seconds)
