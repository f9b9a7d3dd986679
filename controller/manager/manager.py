"""One manager, put together: every part is made here once, handed to those that need it, run, and closed in the end.

No decisions: this is wiring. What every manager does is in `_work`; what only the leader does is in `_lead`, and its requests go through a
client that asks before each write whether this process still leads.
"""

import asyncio
import uuid
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from time import time
from typing import Any

from controller import log, probes
from controller import metrics as shared_metrics
from controller.api.container import GROUP, PLURAL, VERSION
from controller.api.events import type_of
from controller.api.node import NODE_PLURAL
from controller.api.reasons import Reason
from controller.kube import versions
from controller.kube.client import Client
from controller.kube.containers import Containers
from controller.kube.election import ElectionLease
from controller.kube.errors import KubeError
from controller.kube.events import Recorder
from controller.kube.leases import Leases
from controller.kube.nodes import ContainerNodes
from controller.kube.spool import News, Regarding
from controller.kube.watch import CONTAINERS, Resource, Watch
from controller.manager import metrics
from controller.manager.admission_service import AdmissionService
from controller.manager.binder import Binder
from controller.manager.comparison import Comparison, Source
from controller.manager.keeper import Keeper
from controller.manager.leader import Leader
from controller.manager.monitor import Monitor
from controller.manager.records import ContainerRecord
from controller.manager.settings import Settings
from controller.manager.store import Store
from controller.manager.unbindable import Teller

ELECTION = "tallyman-manager"
"""The Lease by which a leader is elected."""
NODES = Resource(GROUP, VERSION, NODE_PLURAL)
KINDS_SECONDS = 2.0
RETRY_SECONDS = 1.0
IDLE_SECONDS = 0.1
"""kopf holds each object that it lists for this long: with ten thousand of them, longer would be memory."""
SOURCES = ("containers", "nodes", "leases")
ALIKE = ""
_log = log.get(__name__)


class Manager:
    """One of the managers of a cluster."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = Client(shared_metrics.api_request)
        lease = ElectionLease(self._client, settings.lease_namespace, ELECTION)
        self._leader = Leader(lease, f"{settings.name}_{uuid.uuid4().hex[:12]}", settings.election)
        self._writer = Client(shared_metrics.api_request, permit=self._leader.permit)
        self._recorder = Recorder(self._writer, settings.name)
        self._freshness = probes.Freshness(SOURCES, settings.stale_seconds)
        self._store = Store()
        leases = Leases(self._client, settings.lease_namespace)
        self._monitor = Monitor(leases.list, self._store, settings.node_list_seconds, self._listed)
        containers = Containers(self._writer)
        teller = Teller(self._store, containers, self._announce)
        self._binder = Binder(self._store, containers, teller, self._announce, settings.binds_at_once)
        self._keeper = Keeper(
            store=self._store,
            heartbeats=self._monitor.heartbeats,
            ask=self._monitor.ask,
            containers=containers,
            nodes=ContainerNodes(self._writer),
            displace=self._binder.displace,
            announce=self._announce,
            release_after=settings.lost_deletion_seconds,
        )
        self._admission = self._make_admission()
        self._comparisons = [
            Comparison(source, self._freshness.note, self._freshness.fault) for source in self._sources()
        ]

    def _make_admission(self) -> AdmissionService | None:
        settings = self._settings.admission
        return None if settings is None else AdmissionService(settings, self._writer, self._leader.leads)

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set; then another manager may lead at once.

        Raises:
            OSError: the address of the metrics or of the webhook is taken.
        """
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._client.close)
            stack.push_async_callback(self._writer.close)
            pages = probes.application(self._freshness.problems, self._unready, self._page)
            runner = await probes.serve(pages, self._settings.metrics_host, self._settings.metrics_port)
            stack.push_async_callback(runner.cleanup)
            if self._admission is not None:
                await self._admission.open()
                stack.push_async_callback(self._admission.close)
            work = asyncio.create_task(self._work(), name="work")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if work.done():
                work.result()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> None:
        """What every manager does, whether it leads or not: it sees, and contends for the lead."""
        async with asyncio.TaskGroup() as group:
            if self._admission is not None:
                group.create_task(self._admission.run(), name="admission")
            await self._kinds_served()
            for name, part in self._parts():
                group.create_task(part, name=name)
            _log.info("the manager works", name=self._settings.name)

    def _unready(self) -> list[str]:
        return [*self._freshness.unready(), *(self._admission.unready() if self._admission is not None else ())]

    def _parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        seconds = self._settings.list_seconds
        return [
            ("watch containers", Watch(CONTAINERS, self._container, idle_seconds=IDLE_SECONDS).run()),
            ("watch nodes", Watch(NODES, self._node, idle_seconds=IDLE_SECONDS).run()),
            *(("compare", comparison.run(seconds)) for comparison in self._comparisons),
            ("monitor", self._monitor.run()),
            ("contend", self._leader.run(self._lead)),
        ]

    async def _lead(self) -> None:
        """What the leader does. Nothing is decided before all is known that an earlier leader has done."""
        metrics.leads(now=True)
        try:
            await asyncio.gather(*(self._caught_up(comparison) for comparison in self._comparisons))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._recorder.run(), name="events")
                group.create_task(self._binder.run(), name="bind")
                group.create_task(self._keeper.run(), name="keep")
        finally:
            # What this one knows of nodes that are gone is out of date from here on.
            self._binder.displace({})
            metrics.leads(now=False)

    async def _caught_up(self, comparison: Comparison) -> None:
        while True:
            try:
                await comparison.catch_up()
            except KubeError as error:
                _log.warning("the API server could not be listed", error=str(error))
            else:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _kinds_served(self) -> None:
        """Wait until the API server answers and knows our kinds; says so once."""
        said = False
        while True:
            try:
                answer = await self._client.get(f"/apis/{GROUP}/{VERSION}")
                missing = {PLURAL, NODE_PLURAL} - {resource["name"] for resource in answer["resources"]}
                problem = f"the CRDs of {', '.join(sorted(missing))} are not installed"
            except KubeError as error:
                missing, problem = {PLURAL}, str(error)
            if not missing:
                return
            if not said:
                _log.warning("waiting for the API server to serve our kinds", problem=problem)
                said = True
            await asyncio.sleep(KINDS_SECONDS)

    def _sources(self) -> list[Source]:
        store, collection = self._store, f"/apis/{GROUP}/{VERSION}"
        containers, nodes = Containers(self._client), ContainerNodes(self._client)
        return [
            Source(
                name="containers",
                listed=partial(versions.listed, self._client, f"{collection}/{PLURAL}"),
                read=lambda name: containers.get(*name),
                names=store.container_names,
                known=store.container_version,
                put=store.put_container,
                drop=store.drop_container,
            ),
            Source(
                name="nodes",
                listed=partial(versions.listed, self._client, f"{collection}/{NODE_PLURAL}"),
                read=lambda name: nodes.get(name[1]),
                names=store.node_names,
                known=store.node_version,
                put=store.put_node,
                drop=lambda name, uid: store.drop_node(name[1], uid),
            ),
        ]

    def _container(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """An event of the watch: bring the store up to date, and nothing else."""
        metadata = body["metadata"]
        if kind == "DELETED":
            self._store.drop_container((metadata["namespace"], metadata["name"]), metadata["uid"])
        else:
            self._store.put_container(body)

    def _node(self, kind: str | None, body: Mapping[str, Any]) -> None:
        if kind == "DELETED":
            self._store.drop_node(body["metadata"]["name"], body["metadata"]["uid"])
        else:
            self._store.put_node(body)

    def _listed(self) -> None:
        self._freshness.note("leases")
        metrics.listed("leases", time())
        self._keeper.listed()

    def _announce(self, record: ContainerRecord, reason: Reason, message: str) -> None:
        regarding = Regarding(*record.key, record.uid, record.version)
        alike = None if reason is Reason.BOUND else ALIKE
        self._recorder.record(News(regarding, type_of(reason).value, reason, message, alike))

    async def _page(self) -> bytes:
        """The metrics, with the gauges that are read off the manager's memory brought up to date."""
        shared_metrics.events_waiting(self._recorder.waiting())
        metrics.containers(len(self._store))
        metrics.pending(self._binder.pending(), self._binder.refusals() if self._leader.leads() else 0)
        return metrics.page()
