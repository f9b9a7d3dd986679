"""One agent, put together: every part is made here once, handed to those that need it, run, and closed in the end.

No decisions: this is wiring. Start order matters and is written down in `run`.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import lru_cache, partial
from typing import Any

from controller import log, metrics, probes
from controller.agent import machine, node, shims
from controller.agent.act import Actor
from controller.agent.actions import Announcement
from controller.agent.bind import UNBOUND, Binder
from controller.agent.census import Census
from controller.agent.checks.monitor import HealthMonitor
from controller.agent.checks.prober import Prober
from controller.agent.compare import SOURCES, Comparison
from controller.agent.container_metrics import ContainerMetrics
from controller.agent.creation import Creator
from controller.agent.declared import DeclaredStore
from controller.agent.dependencies import DependencyKeeper
from controller.agent.exposition import Exposition
from controller.agent.failures import FailureBook
from controller.agent.hearsay import Hearsay
from controller.agent.heartbeat import Heartbeat
from controller.agent.identity import Key
from controller.agent.images import ImageKeeper, ImageSource
from controller.agent.listen import Listener
from controller.agent.news import ANY
from controller.agent.nodestatus import labels
from controller.agent.observed import ObservedStore
from controller.agent.policy import PolicyKeeper
from controller.agent.processes import Processes
from controller.agent.publish import Publisher
from controller.agent.queue import WorkQueue
from controller.agent.reconcile import Reconciler
from controller.agent.registration import Registration
from controller.agent.remains import Remains
from controller.agent.removal import Remover
from controller.agent.reporting import NodeReporter
from controller.agent.rootfs import RootfsReader
from controller.agent.runtimes import Runtimes
from controller.agent.settings import Settings
from controller.agent.starter import Starter
from controller.agent.streams.capture import Limits
from controller.agent.streams.hub import Streams
from controller.agent.telling import Subject, TellingActor
from controller.agent.users import Users
from controller.api import quantity
from controller.api.container import NODE_LABEL, Quantity
from controller.api.events import type_of
from controller.api.reasons import Reason
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError
from controller.containerd.pull import lease
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.puller import Puller
from controller.containerd.registry.client import Registry
from controller.kube.client import Client
from controller.kube.containers import Containers
from controller.kube.errors import KubeError
from controller.kube.events import Recorder
from controller.kube.leases import Leases
from controller.kube.nodes import ContainerNodes
from controller.kube.spool import News, Regarding
from controller.kube.watch import CONTAINERS, Watch

CRD_SECONDS = 2.0
_log = log.get(__name__)


class Agent:
    """The agent of one node."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue = WorkQueue()
        self._bindings = WorkQueue()
        self._freshness = probes.Freshness(SOURCES, settings.stale_seconds)
        self._containerd = Containerd(
            settings.containerd_address, settings.containerd_namespace, metrics.runtime_operation
        )
        self._registry = Registry(settings.registry_config_dir)
        self._client = Client(metrics.api_request)
        self._api = Containers(self._client)
        self._declared = DeclaredStore(settings.node_name)
        self._observed = ObservedStore(self._containerd)
        self._recorder = Recorder(self._client, settings.node_name)
        local = LocalImages(self._containerd)
        source = ImageSource(Puller(self._containerd, self._registry, local), local, settings.snapshotter)
        self._images = ImageKeeper(source, self._queue.add, self._announce_image, settings.parallel_pulls)
        self._prober = Prober(self._containerd, settings.run_dir / "checks")
        self._health = HealthMonitor(self._prober, self._queue.add, self._announce_health)
        self._listener = Listener(
            self._containerd, self._observed, self._queue.add, lambda: [one.key for one in self._declared]
        )
        self._runtimes = Runtimes(settings.runtimes, settings.default_runtime, settings.containerd_address)
        self._streams = Streams(settings.run_dir, settings.log_dir, self._log_limits)
        self._reader = RootfsReader(settings.run_dir / "rootfs")
        self._binder = Binder(self._api, settings.node_name, self._bound)
        self._failures = FailureBook()
        self._dependencies = DependencyKeeper(self._api, self._declared, self._observed, self._queue.add)
        self._policy = PolicyKeeper(settings.policy_file, self._policy_changed)
        leases = Leases(self._client, settings.lease_namespace)
        self._heartbeat = Heartbeat(
            leases,
            settings.node_name,
            lambda: not self._freshness.unready(),
            duration=settings.lease_duration_seconds,
        )
        here = node.discover(settings)
        self._remains = Remains(settings.containerd_namespace, here.facts.cgroup_parent, settings.host_root)
        self._exposition = self._make_exposition()
        self._reconciler = self._make_reconciler(here)
        self._machine = machine.inspect(settings.host_root)
        self._reporter = NodeReporter(
            settings=settings,
            here=here,
            machine=self._machine,
            containerd=self._containerd.version,
            runtimes=self._runtimes,
            declared=self._declared,
            freshness=self._freshness,
        )

    def _make_reconciler(self, here: node.Node) -> Reconciler:
        settings, containerd, observed = self._settings, self._containerd, self._observed
        remover = Remover(
            containerd=containerd,
            observed=observed,
            streams=self._streams,
            remains=self._remains,
            snapshotter=settings.snapshotter,
            end_shim=partial(shims.end, settings.containerd_address, settings.containerd_namespace),
        )
        creator = Creator(
            containerd=containerd,
            observed=observed,
            node=here,
            runtimes=self._runtimes,
            users=Users(containerd, settings.snapshotter, self._reader),
            policy=self._policy,
            remover=remover,
            settings=settings,
        )
        actor = Actor(
            api=self._api,
            declared=self._declared,
            observed=observed,
            images=self._images,
            health=self._health,
            failures=self._failures,
            dependencies=self._dependencies,
            creator=creator,
            starter=Starter(
                containerd=containerd,
                observed=observed,
                node=here,
                runtimes=self._runtimes,
                streams=self._streams,
                policy=self._policy,
                settings=settings,
            ),
            processes=Processes(
                containerd=containerd,
                observed=observed,
                node=here,
                streams=self._streams,
                settings=settings,
            ),
            remover=remover,
            streams=self._streams,
        )
        return Reconciler(
            api=self._api,
            declared=self._declared,
            observed=observed,
            images=self._images,
            health=self._health,
            failures=self._failures,
            dependencies=self._dependencies,
            policy=self._policy,
            actor=TellingActor(actor, observed, self._announce),
            publisher=Publisher(self._api, self._declared, settings.node_name, self._announce, self._heartbeat.heard),
            announce=self._announce,
            node=settings.node_name,
            containerd_lost_at=lambda: self._listener.lost_at,
            boot_id=here.boot_id,
            runtimes=self._runtimes,
            look_for_runtimes=self._look_for_runtimes,
            remains=self._remains,
            has_freezer=here.has_freezer,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. What runs in containerd goes on; a later agent takes it over.

        Raises:
            OSError: the metrics address is taken.
        """
        async with AsyncExitStack() as stack:
            for closing in (self._containerd.close, self._registry.close, self._client.close, self._images.close):
                stack.push_async_callback(closing)
            stack.callback(self._reader.close)
            stack.callback(self._streams.close)
            self._prober.prepare()
            stack.callback(self._prober.close)
            stack.push_async_callback(self._health.close)
            pages = probes.application(self._freshness.problems, self._freshness.unready, self._exposition.page)
            runner = await probes.serve(pages, self._settings.metrics_host, self._settings.metrics_port)
            stack.push_async_callback(runner.cleanup)
            work = asyncio.create_task(self._work(), name="work")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if work.done():
                work.result()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _work(self) -> None:
        """Nothing is decided before containerd was listed, and nothing is watched before the API server knows the kind."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listener.run(), name="listen")
            await self._listener.listed.wait()
            self._streams.open(self._observed.all())
            await self._sweep()
            await self._look_for_runtimes()
            await self._kind_served()
            for name, part in self._parts():
                group.create_task(part, name=name)
            _log.info("the agent works", node=self._settings.node_name, standalone=self._settings.standalone)

    def _parts(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        settings = self._settings
        comparison = Comparison(
            api=self._api,
            declared=self._declared,
            observed=self._observed,
            wake=self._queue.add,
            node=settings.node_name,
            freshness=self._freshness,
            lost_shims=partial(shims.sweep, settings.containerd_address, settings.containerd_namespace),
            look_for_runtimes=self._look_for_runtimes,
        )
        hearsay = Hearsay(self._deliver, comparison.has, self._asks, comparison.read)
        own = Watch(CONTAINERS, hearsay.deliver, f"{NODE_LABEL}={settings.node_name}", cached=True)
        registration = Registration(
            api=ContainerNodes(self._client),
            node=settings.node_name,
            labels=labels(settings.node_name, self._machine, settings.node_labels),
            report=self._reporter.report,
            compare=comparison.own_objects,
            heartbeat=self._heartbeat,
            read_seconds=settings.list_seconds,
        )
        parts = [
            ("queue", self._queue.run(self._reconciler.reconcile, settings.workers)),
            ("watch", own.run()),
            ("read", hearsay.run()),
            ("compare", comparison.run(settings.list_seconds)),
            ("policy", self._policy.run(settings.list_seconds)),
            ("events", self._recorder.run()),
            ("register", registration.run()),
            ("heartbeat", self._heartbeat.run()),
        ]
        if settings.standalone:
            parts.append(("watch unbound", Watch(CONTAINERS, self._offer, UNBOUND).run()))
            parts.append(("bind", self._bindings.run(self._binder.bind, settings.workers)))
        return parts

    async def _sweep(self) -> None:
        """End what pulls of a killed agent have left; what can't be ended now expires by itself."""
        try:
            await lease.sweep(self._containerd)
        except ContainerdError as error:
            _log.warning("leases of earlier pulls could not be swept", error=str(error))

    async def _look_for_runtimes(self) -> bool:
        """Look whether OCI runtimes have gone or come back; then their containers are looked at."""
        changed = await self._runtimes.look()
        for container in self._observed.all():
            if container.runtime_name in changed:
                self._queue.add(container.key)
        return bool(changed)

    async def _kind_served(self) -> None:
        """Wait until the API server answers and knows Containers; says so once."""
        said = False
        while True:
            try:
                if await self._api.served():
                    return
                problem = "the CRD of Container is not installed"
            except KubeError as error:
                problem = str(error)
            if not said:
                _log.warning("waiting for the API server to serve Containers", problem=problem)
                said = True
            await asyncio.sleep(CRD_SECONDS)

    def _deliver(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """An event of the watch: put the key on the queue, and nothing else."""
        metadata = body["metadata"]
        key: Key = (metadata["namespace"], metadata["name"])
        if kind == "DELETED":
            self._declared.drop(key, metadata["uid"])
            self._queue.add(key)
        elif self._declared.put(body) is not None:
            self._queue.add(key)

    def _asks(self, key: Key) -> bool:
        """Have a look at a container whose object is unknown, which begins with asking for it; says whether there is one."""
        unknown = self._declared.get(key) is None and bool(self._observed.of(key))
        if unknown:
            self._queue.add(key)
        return unknown

    def _policy_changed(self) -> None:
        """What was forbidden may be allowed now, and the other way round."""
        self._failures.forget_reason(Reason.POLICY_FORBIDDEN)
        for declared in self._declared:
            self._queue.add(declared.key)

    def _offer(self, kind: str | None, body: Mapping[str, Any]) -> None:
        key = self._binder.offer(kind, body)
        if key is not None:
            self._bindings.add(key)

    def _bound(self, body: Mapping[str, Any]) -> None:
        """What was just bound need not wait for the watch."""
        self._deliver("MODIFIED", body)

    def _announce(self, subject: Subject, news: Announcement) -> None:
        regarding = Regarding(*subject.key, subject.uid, subject.resource_version)
        self._recorder.record(News(regarding, type_of(news.reason).value, news.reason, news.message, news.alike))

    def _announce_health(self, key: Key, reason: Reason, message: str) -> None:
        declared = self._declared.get(key)
        if declared is not None:
            self._announce(declared, Announcement(reason, message, ANY))

    def _announce_image(self, key: Key, reason: Reason, message: str) -> None:
        declared = self._declared.get(key)
        if declared is not None:
            self._announce(declared, Announcement(reason, message, declared.image_wanted))

    def _log_limits(self, key: Key) -> Limits | None:
        """How much of an object's output is kept; None while nothing valid is declared."""
        declared = self._declared.get(key)
        if declared is None or declared.spec is None:
            return None
        return Limits(_whole(declared.spec.logging.max_size), declared.spec.logging.max_files)

    def _make_exposition(self) -> Exposition:
        census = Census(self._declared, (self._queue, self._bindings), self._recorder)
        about_each = ContainerMetrics(lambda: self._declared, self._remains.usage)
        return Exposition(census, about_each if self._settings.container_metrics else None)


@lru_cache
def _whole(size: Quantity) -> int:
    return quantity.whole(size)
