"""The node's own object: a ContainerNode that is made when there is none, and whose status says what the agent sees.

A ContainerNode that was deleted means that its node is gone for good: its Containers may have been bound elsewhere since. So an agent
that finds none makes one only after it has asked the API server about every object that it has a container of, or takes for its own;
what was bound elsewhere is then no longer taken for this node's. No failure here ends the agent, and containers need none of it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from time import monotonic

from controller import log, metrics
from controller.agent import nodestatus
from controller.agent.heartbeat import Heartbeat
from controller.agent.nodestatus import NodeReport
from controller.agent.status import difference
from controller.api.container import GROUP, VERSION
from controller.api.node import NODE_KIND, OUT_OF_SERVICE_TAINT, ContainerNodeStatus
from controller.api.validation import read_node_status
from controller.kube.errors import Conflict, KubeError, NotFound, Unavailable
from controller.kube.leases import Owner
from controller.kube.nodes import Body, ContainerNodes

TICK_SECONDS = 2.0
"""How often it is looked, in the agent's memory, whether there is anything to say."""
RETRY_SECONDS = 5.0
"""Pause after the API server did not answer."""
BEGIN_SECONDS = 30.0
"""So long an agent that has just been started may take to see everything; until then it says nothing of being unready."""
_log = log.get(__name__)


class NotServed(KubeError):
    """The API server does not know ContainerNodes."""


class Registration:
    """Keeps one node's object."""

    def __init__(
        self,
        *,
        api: ContainerNodes,
        node: str,
        labels: Mapping[str, str],
        report: Callable[[], Awaitable[NodeReport]],
        compare: Callable[[], Awaitable[None]],
        heartbeat: Heartbeat,
        read_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._api = api
        self._node = node
        self._labels = dict(labels)
        self._report = report
        self._compare = compare
        self._heartbeat = heartbeat
        self._read_seconds = read_seconds
        self._object: Body | None = None
        self._status = ContainerNodeStatus()
        self._read_next = 0.0
        self._begins_until = clock() + BEGIN_SECONDS
        self._written_at: float | None = None
        self._was_heard = False
        self._problem = ""
        self._out_of_service = False

    async def run(self) -> None:
        """Keep the object until cancelled."""
        while True:
            pause = TICK_SECONDS
            try:
                await self._look()
            except KubeError as error:
                self._tell(error)
                pause = RETRY_SECONDS if isinstance(error, Unavailable) else self._read_seconds
            except Exception as error:  # noqa: BLE001 - whatever is wrong with this object must not end the agent
                _log.error("the node's object could not be kept", error=f"{type(error).__name__}: {error}")
                pause = self._read_seconds
            else:
                self._tell(None)
            metrics.node_registered(registered=self._object is not None)
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        heard = self._heartbeat.heard()
        # NB: what was written about a lost node is to be set right as soon as the node is heard of again.
        if self._clock() >= self._read_next or (heard and not self._was_heard):
            await self._read()
        self._was_heard = heard
        if self._object is not None:
            await self._say(self._object)

    # --- the object ---------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            body: Body | None = await self._api.get(self._node)
        except NotFound:
            self._take(None)
            body = await self._register()
        if body is not None and "deletionTimestamp" in body["metadata"]:
            body = None
        self._take(body)
        if body is not None:
            await self._label(body)
            self._read_next = self._clock() + self._read_seconds

    def _take(self, body: Body | None) -> None:
        """Take in the object as it is now; the heartbeat goes with it."""
        known, self._object = self._object, body
        self._status = read_node_status((body or {}).get("status") or {})
        if body is None:
            self._written_at = None
            self._heartbeat.goes_with(None)
            if known is not None:
                _log.warning("the node's object is gone: the cluster takes the node for gone", node=self._node)
            return
        self._heartbeat.goes_with(Owner(f"{GROUP}/{VERSION}", NODE_KIND, self._node, body["metadata"]["uid"]))
        self._look_at_taints(body)

    async def _register(self) -> Body | None:
        """Make the object, once nothing is taken for this node's any more that was bound elsewhere."""
        if not await self._api.served():
            self._heartbeat.falls_silent()
            raise NotServed("the CRD of ContainerNode is not installed")
        if (await self._report()).out_of_step:
            # NB: what is bound elsewhere can't be told from what is this node's before all of it was seen.
            return None
        await self._compare()
        metadata = {"name": self._node, "labels": self._labels}
        try:
            body = await self._api.create(
                {"apiVersion": f"{GROUP}/{VERSION}", "kind": NODE_KIND, "metadata": metadata, "spec": {}}
            )
        except Conflict:
            # NB: somebody has made it meanwhile, or the answer to an earlier attempt was lost.
            return await self._api.get(self._node)
        _log.info("the node is registered", node=self._node)
        return body

    async def _label(self, body: Body) -> None:
        """Give the object the labels that the agent was told; all others are somebody else's."""
        present = body["metadata"].get("labels") or {}
        missing = {key: value for key, value in self._labels.items() if present.get(key) != value}
        if missing:
            self._take(await self._api.patch(self._node, body["metadata"]["uid"], {"labels": missing}))

    def _look_at_taints(self, body: Body) -> None:
        taints = (body.get("spec") or {}).get("taints") or []
        marked = any(taint.get("key") == OUT_OF_SERVICE_TAINT for taint in taints)
        if marked and not self._out_of_service:
            _log.warning(
                "the node is marked as out of service, and its containers are taken away; remove the taint once it is back",
                node=self._node,
                taint=OUT_OF_SERVICE_TAINT,
            )
        self._out_of_service = marked

    # --- its status ---------------------------------------------------------------------------------------------------

    async def _say(self, body: Body) -> None:
        """Write the status, if it is time."""
        metadata = body["metadata"]
        before = self._status
        report = await self._report()
        if report.out_of_step and self._clock() < self._begins_until:
            return
        self._begins_until = 0.0
        after = nodestatus.summarize(report, before, metadata.get("generation", 1), datetime.now(UTC))
        since = None if self._written_at is None else self._clock() - self._written_at
        if nodestatus.wait_before_write(before, after, since) > 0:
            return
        if nodestatus.says_lost(before) and not self._heartbeat.heard():
            return
        try:
            written = await self._api.patch_status(self._node, metadata["uid"], difference(before, after))
        except (NotFound, Conflict):
            # NB: deleted, or deleted and made again, since it was read.
            self._read_next = 0.0
            return
        self._written_at = self._clock()
        self._take(written)

    def _tell(self, error: KubeError | None) -> None:
        """Log each problem once, and its end."""
        # NB: in an outage, the words of an error change from one attempt to the next.
        problem = "" if error is None else type(error).__name__ if isinstance(error, Unavailable) else str(error)
        if problem == self._problem:
            return
        if error is not None:
            _log.warning(
                "the node's ContainerNode can't be kept; containers run on without it",
                node=self._node,
                problem=str(error),
            )
        else:
            _log.info("the node's ContainerNode is kept again", node=self._node)
        self._problem = problem
