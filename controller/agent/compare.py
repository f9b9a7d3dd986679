"""The safety net: everything is compared with a list, containerd's and the API server's, every so often.

kopf does not tell when a watch last said anything, so whether the watch works is shown by its result: what the API server lists must be
what the watch has brought. Something that the watch is late with twice in a row is read here, and the watch counts as stale.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Container

from controller import log, metrics
from controller.agent.declared import DeclaredStore, belongs
from controller.agent.identity import Key
from controller.agent.observed import ObservedStore
from controller.agent.shims import Shim
from controller.containerd.errors import ContainerdError
from controller.kube.containers import Containers
from controller.kube.errors import KubeError, NotFound
from controller.kube.versions import Version, later
from controller.probes import Freshness

BEGIN_SECONDS = 0.5
SOURCES = ("containerd", "watch")
"""Of whom there are lists; where both are in step, the agent sees what it must see."""
_log = log.get(__name__)


class Comparison:
    """Compares what is in memory with what is."""

    def __init__(
        self,
        *,
        api: Containers,
        declared: DeclaredStore,
        observed: ObservedStore,
        wake: Callable[[Key], None],
        node: str,
        freshness: Freshness,
        lost_shims: Callable[[Container[str]], list[Shim]],
        look_for_runtimes: Callable[[], Awaitable[object]],
    ) -> None:
        self._api = api
        self._declared = declared
        self._observed = observed
        self._wake = wake
        self._node = node
        self._freshness = freshness
        self._lost_shims = lost_shims
        self._look_for_runtimes = look_for_runtimes
        self._late: dict[Key, Version | None] = {}
        self._others: dict[Key, Version] = {}
        """Objects that carry our label and are another node's, as they were read: the watch's store does not take them."""

    async def run(self, seconds: float) -> None:
        """Compare every `seconds` until cancelled. A list that fails is logged; its age tells the probes."""
        await self._begin(seconds)
        while True:
            await asyncio.gather(
                self._measured("containerd", self._with_containerd), self._measured("watch", self._with_api)
            )
            await asyncio.sleep(seconds)

    async def own_objects(self) -> None:
        """Read every object that this node has a container of, or takes for its own; what is another node's now is dropped.

        Raises:
            KubeError: one could not be read; then nothing is known of the rest.
        """
        for key in {*self._observed.keys(), *(one.key for one in self._declared)}:
            await self.read(key)
            self._wake(key)

    async def _begin(self, seconds: float) -> None:
        """Wait until the watch has brought what there is, for `seconds` at most: until then being late is no fault of its."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if not self._late_with(await self._api.versions(self._node)):
                    return
            except KubeError as error:
                _log.warning("the API server could not be listed", error=str(error))
            await asyncio.sleep(BEGIN_SECONDS)

    async def _measured(self, source: str, compare: Callable[[], Awaitable[None]]) -> None:
        with metrics.listing(source):
            await compare()

    async def _with_containerd(self) -> None:
        try:
            changed = await self._observed.list()
        except ContainerdError as error:
            metrics.list_failed("containerd")
            _log.warning("containerd could not be listed", error=str(error))
            return
        self._sweep_shims()
        await self._look_for_runtimes()
        self._freshness.note("containerd")
        metrics.listed("containerd", time.time())
        for key in changed:
            self._wake(key)

    def _sweep_shims(self) -> None:
        known = self._observed.tasks_listed | {container.id for container in self._observed.all()}
        for shim in self._lost_shims(known):
            _log.warning("a shim that containerd has lost was ended", pid=shim.pid, container=shim.container_id)

    async def _with_api(self) -> None:
        try:
            listed = await self._api.versions(self._node)
            self._others = {key: version for key, version in self._others.items() if listed.get(key) == version}
            missed = [key for key in self._overdue(listed) if await self.read(key)]
            for key in self._unlabelled(listed):
                await self.read(key)
        except KubeError as error:
            metrics.list_failed("watch")
            _log.warning("the API server could not be listed", error=str(error))
            return
        if missed:
            metrics.watch_missed(len(missed))
            _log.error("the watch has missed changes; they were read instead", count=len(missed))
            return
        self._freshness.note("watch")
        metrics.listed("watch", time.time())

    def _overdue(self, listed: dict[Key, Version]) -> list[Key]:
        """The keys that the watch was late with last time and still is."""
        late = self._late_with(listed)
        overdue = [key for key, version in late.items() if key in self._late and self._late[key] == version]
        self._late = {key: version for key, version in late.items() if key not in overdue}
        return overdue

    def _late_with(self, listed: dict[Key, Version]) -> dict[Key, Version | None]:
        """The keys of which the watch has not brought what is listed; None stands for one that is gone."""
        late: dict[Key, Version | None] = {
            key: version
            for key, version in listed.items()
            if not self.has(key, version) and self._others.get(key) != version
        }
        gone = (one for one in self._declared if one.key not in listed and one.node_label == self._node)
        late.update({declared.key: None for declared in gone})
        return late

    def _unlabelled(self, listed: dict[Key, Version]) -> list[Key]:
        """The objects without our label, which can't be watched or listed: they are asked for one by one."""
        return [one.key for one in self._declared if one.key not in listed and one.node_label != self._node]

    def has(self, key: Key, version: Version) -> bool:
        """Whether the store has this version of an object, or a later one."""
        known = self._declared.get(key)
        if known is None or known.uid != version[0]:
            return False
        return known.resource_version == version[1] or later(known.resource_version, version[1])

    async def read(self, key: Key) -> bool:
        """Read one object; what was deleted, or given to another node, is dropped. Says whether it is, or was, ours.

        Raises:
            KubeError: it could not be read.
        """
        try:
            body = await self._api.get(*key)
        except NotFound:
            self._declared.drop(key)
            self._wake(key)
            return True
        known = self._declared.get(key)
        if self._declared.put(body) is not None or known != self._declared.get(key):
            self._wake(key)
        if belongs(body, self._node):
            return True
        self._others[key] = (body["metadata"]["uid"], body["metadata"]["resourceVersion"])
        return known is not None
