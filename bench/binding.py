"""How fast the manager binds: what it takes until a watch shows a Container as bound, beside patches that the bench itself sends."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from aiohttp import ClientResponseError, ClientTimeout

from bench import crowd, measure
from bench.crowd import Api, Kind
from bench.manager_process import ManagerProcess
from bench.watching import Body, follow
from controller.api.container import NODE_LABEL
from controller.manager.settings import Settings

AT_ONCE = Settings.binds_at_once
ELECTION = "tallyman-manager"
ANOTHER = "another-manager"


class Bound:
    """When a watch has shown the containers of a namespace with a node's label, by perf_counter: the moment at which an agent is told."""

    def __init__(self) -> None:
        self._seen: dict[str, asyncio.Future[float]] = {}

    async def of(self, names: Iterable[str]) -> list[float]:
        """Wait for all of these."""
        seen = asyncio.gather(*(self._of(name) for name in names))
        return await asyncio.wait_for(seen, measure.TIMEOUT)

    def note(self, name: str) -> None:
        """It is bound now."""
        if not self._of(name).done():
            self._of(name).set_result(perf_counter())

    def _of(self, name: str) -> asyncio.Future[float]:
        if name not in self._seen:
            self._seen[name] = asyncio.get_running_loop().create_future()
        return self._seen[name]


@asynccontextmanager
async def watched(api: Api, namespace: str) -> AsyncIterator[Bound]:
    """Watch a namespace."""
    bound, begun = Bound(), asyncio.Event()

    def listed(items: Sequence[Body]) -> None:
        for item in items:
            bound.note(item["metadata"]["name"])

    def changed(kind: str, body: Body) -> None:
        if kind in ("ADDED", "MODIFIED"):
            bound.note(body["metadata"]["name"])

    url = api.server + crowd.collection(namespace)
    watch = follow(api.session, url, listed, changed, begun, selector=NODE_LABEL, metadata_only=True)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(watch)
        await begun.wait()
        yield bound
        watching.cancel()


async def raw(api: Api, namespace: str, names: list[str], homes: list[str], kind: Kind) -> list[float]:
    """Seconds from the first of so many patches, sent as the manager sends them, until each container was seen bound."""
    made = await crowd.make_pending(api, namespace, names, kind)
    async with watched(api, namespace) as bound:
        since = perf_counter()
        await crowd.at_once(AT_ONCE, range(len(names)), lambda n: _bind(api, made[names[n]], homes[n % len(homes)]))
        return [when - since for when in await bound.of(names)]


async def by_manager(api: Api, manager: ManagerProcess, namespace: str, names: list[str], kind: Kind) -> list[float]:
    """The same for a manager that has stood by, and knows all of them, from the moment at which it is elected."""
    await _give_lead(api, ANOTHER)
    manager.spawn()
    await crowd.make_pending(api, namespace, names, kind)
    await asyncio.wait_for(manager.knows(len(names), leads=False), measure.TIMEOUT)
    async with watched(api, namespace) as bound:
        elected = asyncio.create_task(_elected(api))
        await _give_lead(api, None)
        since = await asyncio.wait_for(elected, measure.TIMEOUT)
        return [when - since for when in await bound.of(names)]


async def raw_singly(api: Api, namespace: str, names: list[str], home: str) -> list[float]:
    """Seconds from apply until a watch shows the container bound: it is made and patched, one at a time."""
    seconds = []
    async with watched(api, namespace) as bound:
        for name in names:
            since = perf_counter()
            await _bind(api, (await crowd.make_pending(api, namespace, [name], crowd.pending))[name], home)
            seconds += [when - since for when in await bound.of([name])]
    return seconds


async def singly(api: Api, namespace: str, names: list[str]) -> list[float]:
    """Seconds from apply until a watch shows the container bound by a manager that has nothing else to do, one at a time."""
    seconds = []
    async with watched(api, namespace) as bound:
        for name in names:
            since = perf_counter()
            await crowd.make_pending(api, namespace, [name], crowd.pending)
            seconds += [when - since for when in await bound.of([name])]
    return seconds


async def _bind(api: Api, made: Body, home: str) -> None:
    metadata = made["metadata"]
    condition = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    body = {"metadata": {**condition, "labels": {NODE_LABEL: home}}, "spec": {"nodeName": home}}
    # NB: under a name of its own, as the manager writes: who owns which field costs the server something too.
    path = f"{crowd.collection(metadata['namespace'])}/{metadata['name']}?fieldManager=binder"
    await api.call("PATCH", path, body)


async def _give_lead(api: Api, holder: str | None) -> None:
    """Make somebody the leader for an hour; or nobody, so that whoever stands by is elected."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 3600}
    try:
        await api.call("PATCH", f"{crowd.LEASES}/{ELECTION}", {"spec": spec})
    except ClientResponseError as error:
        if error.status != 404:
            raise
        await api.call("POST", crowd.LEASES, {"metadata": {"name": ELECTION}, "spec": spec})


async def _elected(api: Api) -> float:
    """When the manager's Lease had a holder, by perf_counter: before the manager itself knows that it leads."""
    query = {"watch": "true", "fieldSelector": f"metadata.name={ELECTION}"}
    async with api.session.get(api.server + crowd.LEASES, params=query, timeout=ClientTimeout()) as stream:
        async for line in stream.content:
            event = json.loads(line)
            if event["type"] != "DELETED" and event["object"]["spec"].get("holderIdentity") not in (None, "", ANOTHER):
                return perf_counter()
    raise ConnectionError("the watch of the manager's Lease has ended")
