"""The API server as a user of it sees it: objects are applied, and a watch tells when their status says so."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

from aiohttp import ClientSession, TCPConnector

from bench.watching import Body, follow
from controller.api.container import GROUP, PLURAL, VERSION
from controller.kube.client import login, tls

NAMESPACE = "default"
PATH = f"/apis/{GROUP}/{VERSION}/namespaces/{NAMESPACE}/{PLURAL}"
Status = Mapping[str, Any]


class Cluster:
    """A client with a watch that is always on."""

    def __init__(self, session: ClientSession, server: str) -> None:
        self._session = session
        self._server = server
        self._waiting: dict[str, tuple[Callable[[Status | None], bool], asyncio.Future[float]]] = {}
        self.statuses: dict[str, Status] = {}
        self.sent = 0

    async def apply(self, name: str, spec: Mapping[str, Any]) -> None:
        """Create an object."""
        body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Container", "metadata": {"name": name}, "spec": spec}
        self.sent += 1
        async with self._session.post(self._server + PATH, json=body) as answer:
            answer.raise_for_status()

    async def delete(self, name: str) -> None:
        """Delete an object; it goes when the agent lets it."""
        self.sent += 1
        async with self._session.delete(f"{self._server}{PATH}/{name}") as answer:
            answer.raise_for_status()

    async def text(self, path: str) -> str:
        """Read a page of the API server."""
        async with self._session.get(self._server + path) as answer:
            answer.raise_for_status()
            return await answer.text()

    def expect(self, name: str, holds: Callable[[Status | None], bool]) -> asyncio.Future[float]:
        """The moment (of perf_counter) at which the watch shows a status for which `holds`; None stands for gone."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[name] = (holds, future)
        return future

    async def watch(self, begun: asyncio.Event) -> None:
        """Watch until cancelled."""
        await follow(self._session, self._server + PATH, self._listed, self._changed, begun)

    def _listed(self, items: Sequence[Body]) -> None:
        """Take note of all that is there, and of what is not."""
        present = {item["metadata"]["name"]: item.get("status") or {} for item in items}
        for name in self._waiting.keys() | present.keys():
            self._note(name, present.get(name))

    def _changed(self, kind: str, body: Body) -> None:
        self._note(body["metadata"]["name"], None if kind == "DELETED" else body.get("status") or {})

    def _note(self, name: str, status: Status | None) -> None:
        self.statuses[name] = status or {}
        holds, future = self._waiting.get(name, (lambda _: False, None))
        if future is not None and not future.done() and holds(status):
            future.set_result(perf_counter())


def is_ready(status: Status | None) -> bool:
    """Whether the Ready condition is True."""
    conditions = (status or {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def has_exited(status: Status | None) -> bool:
    """Whether the status tells of an end."""
    return (status or {}).get("state") == "Exited"


def is_gone(status: Status | None) -> bool:
    """Whether the object is gone."""
    return status is None


@asynccontextmanager
async def open_session() -> AsyncIterator[tuple[ClientSession, str]]:
    """An HTTP session by the kubeconfig, and the address of the API server."""
    info = login()
    connector = TCPConnector(ssl=tls(info), limit=200)
    async with ClientSession(connector=connector, headers=info.as_http_headers(), read_bufsize=2**20) as session:
        yield session, info.server


@asynccontextmanager
async def connected() -> AsyncIterator[Cluster]:
    """A cluster by the kubeconfig, with its watch begun."""
    async with open_session() as (session, server):
        cluster, begun = Cluster(session, server), asyncio.Event()
        watching = asyncio.create_task(cluster.watch(begun))
        await begun.wait()
        try:
            yield cluster
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
