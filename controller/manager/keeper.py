"""Does what follows when a node is lost or gone: `nodelife` decides, this writes, one step of one Container at a time.

Nothing is remembered that matters: each step is decided anew from the object as the API server has it, and written only if it
still is so. Whoever leads next goes on where this one was killed. The node's Lease is read after the object and before the write, and an
agent that returns renews its Lease before it writes: so a step never contradicts one that has just come back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from controller import log
from controller import metrics as shared_metrics
from controller.api.conditions import ConditionStatus
from controller.api.container import FINALIZER
from controller.api.reasons import Reason
from controller.kube import errors
from controller.kube.containers import Containers
from controller.kube.nodes import ContainerNodes
from controller.manager import metrics, nodelife, records, statuses
from controller.manager.leader import NotLeading
from controller.manager.nodelife import Heartbeats, Life, Phase, Step
from controller.manager.pace import Pace
from controller.manager.records import Body, ContainerRecord, Key, NodeRecord
from controller.manager.store import Store

PER_SECOND: Final = 10.0
"""So many writes about Containers of silent nodes are made a second."""
SPACING_SECONDS: Final = 0.2
AGENT_SILENT: Final = "the Lease of the node's agent was not renewed in time"
_SILENT: Final = (Phase.LOST, Phase.GONE)
_NOWHERE: Final = Life(Phase.GONE)
"""Of a Container that belongs to no node: there is none that could object."""
_log = log.get(__name__)


class Keeper:
    """Keeps Containers of silent nodes."""

    def __init__(
        self,
        *,
        store: Store,
        heartbeats: Heartbeats,
        ask: Callable[[str], Awaitable[None]],
        containers: Containers,
        nodes: ContainerNodes,
        displace: Callable[[Mapping[Key, str]], None],
        announce: Callable[[ContainerRecord, Reason, str], None],
        release_after: float,
    ) -> None:
        self._store = store
        self._heartbeats = heartbeats
        self._ask = ask
        self._containers = containers
        self._nodes = nodes
        self._displace = displace
        self._announce = announce
        self._release_after = release_after
        self._due: dict[Key, None] = {}
        self._due_nodes: dict[str, None] = {}
        self._homeless: set[Key] = set()
        self._marked: dict[str, set[str]] = {}
        self._phases: dict[str, Phase] = {}
        self._changed = asyncio.Event()
        self._work = asyncio.Event()
        store.subscribe(self._container_changed, lambda _name: self._changed.set())

    def listed(self) -> None:
        """There is a new list of Leases: time has passed."""
        self._changed.set()

    def phases(self) -> Mapping[str, Phase]:
        """What each node is in, as of the last look."""
        return self._phases

    async def run(self) -> None:
        """Keep until cancelled.

        Raises:
            NotLeading: this process may write no more.
        """
        self._marked.clear()
        self._changed.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._carry_out(), name="carry out")
            while True:
                await self._changed.wait()
                self._changed.clear()
                self.judge()
                await asyncio.sleep(SPACING_SECONDS)

    # --- what is to be done ---------------------------------------------------------------------------------------------

    def _container_changed(self, before: ContainerRecord | None, after: ContainerRecord | None) -> None:
        if after is not None and after.deleting and after.ours and after.home is None:
            self._homeless.add(after.key)
            self._changed.set()
        elif before is not None:
            self._homeless.discard(before.key)
        if after is not None and after.home is not None and self._phases.get(after.home) is not Phase.ALIVE:
            self._changed.set()

    def judge(self) -> None:
        """Look at all nodes, and take down what is to be done."""
        names = {*self._store.homes(), *(node.name for node in self._store.nodes())}
        lives = {name: self._life(name) for name in sorted(names)}
        self._note_phases({name: life.phase for name, life in lives.items()})
        displaced: dict[Key, str] = {}
        for name, life in lives.items():
            if life.phase not in _SILENT:
                self._marked.pop(name, None)
                continue
            if _still_trusted(self._store.node(name)):
                self._due_nodes[name] = None
            for key, step in self._steps(name, life):
                if step is Step.REBIND:
                    displaced[key] = name
                else:
                    self._due[key] = None
        self._due.update(dict.fromkeys(self._homeless))
        self._displace(displaced)
        self._work.set()

    def _life(self, name: str | None) -> Life:
        return (
            nodelife.life(self._store.node(name), self._heartbeats.silent_for(name)) if name is not None else _NOWHERE
        )

    def _steps(self, name: str, life: Life) -> Iterator[tuple[Key, Step]]:
        for record in self._store.members(name):
            step = nodelife.step(record, life, self._release_after, self._marked.get(name, ()))
            if step is not None:
                yield record.key, step

    def _note_phases(self, phases: dict[str, Phase]) -> None:
        for name, phase in phases.items():
            before = self._phases.get(name, Phase.UNDECIDED)
            if phase is not before and Phase.UNDECIDED not in (phase, before):
                _log.warning("a node's life has changed", node=name, before=before.value, now=phase.value)
        self._phases = phases
        metrics.nodes(phases.values())

    # --- doing it -------------------------------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        pace = Pace(PER_SECOND)
        while True:
            await self._work.wait()
            self._work.clear()
            while self._due_nodes:
                await self._mark_node(_first(self._due_nodes))
            while self._due:
                key = _first(self._due)
                await pace.turn()
                await self._take_step(key)

    async def _mark_node(self, name: str) -> None:
        try:
            body = await self._nodes.get(name)
            record = records.node(body)
            await self._ask(name)
            if self._life(name).phase not in _SILENT or not _still_trusted(record):
                return
            patch = statuses.agent_lost(body, AGENT_SILENT, datetime.now(UTC))
            await self._nodes.patch_status(name, record.uid, patch, version=record.version)
        except NotLeading:
            raise
        except errors.KubeError as error:
            metrics.keeping_failed()
            _log.warning("a node could not be marked", node=name, error=str(error))
        else:
            metrics.kept("MarkNode")

    async def _take_step(self, key: Key) -> None:
        """Look at the Container as it is, and do what is to be done now. What fails is found again by the next look."""
        try:
            body = await self._containers.get(*key)
            record = records.container(body)
            if record.home is not None:
                await self._ask(record.home)
            life = self._life(record.home)
            step = nodelife.step(record, life, self._release_after, self._marked.get(record.home or "", ()))
            if step in (None, Step.REBIND) or (record.home is None and step is not Step.RELEASE):
                self._store.put_container(body)
                return
            await self._do(step, body, record)
        except NotLeading:
            raise
        except errors.NotFound:
            return
        except errors.KubeError as error:
            metrics.keeping_failed()
            _log.warning("a container of a lost node was not kept", namespace=key[0], name=key[1], error=str(error))

    async def _do(self, step: Step | None, body: Body, record: ContainerRecord) -> None:
        now, home = datetime.now(UTC), record.home
        match step:
            case Step.MARK:
                message = self._why_unknown(home)
                await self._write_status(record, statuses.node_lost(body, message, now))
                self._marked.setdefault(home or "", set()).add(record.uid)
                self._announce(record, Reason.NODE_LOST, message)
            case Step.RESET:
                message = f"{home} is gone; the container is to be bound to another node"
                await self._write_status(record, statuses.rescheduled(body, message, now))
                self._announce(record, Reason.RESCHEDULED, message)
            case Step.RELEASE:
                await self._release(body, record)
                self._announce(record, Reason.FINALIZER_REMOVED, _why_released(home, self._life(home)))
        metrics.kept(str(step))

    def _why_unknown(self, home: str | None) -> str:
        if self._store.node(home or "") is None:
            return f"there is no ContainerNode {home}, and no agent of that name is heard of"
        return f"the agent of {home} is not heard of; what it ran may run on"

    async def _write_status(self, record: ContainerRecord, patch: statuses.Patch) -> None:
        with shared_metrics.status_write():
            answer = await self._containers.patch_status(*record.key, record.uid, patch, version=record.version)
        self._store.put_container(answer)

    async def _release(self, body: Body, record: ContainerRecord) -> None:
        others = [one for one in body["metadata"].get("finalizers") or () if one != FINALIZER]
        metadata: dict[str, Any] = {"uid": record.uid, "resourceVersion": record.version, "finalizers": others}
        answer = await self._containers.patch(*record.key, {"metadata": metadata})
        if others:
            self._store.put_container(answer)
        else:
            self._store.drop_container(record.key, record.uid)


def _still_trusted(record: NodeRecord | None) -> bool:
    """Whether the status of a silent node still says that its agent knows how it is."""
    if record is None:
        return False
    ready = record.ready
    return ready is None or ready.status != ConditionStatus.UNKNOWN


def _why_released(home: str | None, life: Life) -> str:
    if home is None:
        return "no node has the container"
    how = "gone" if life.phase is Phase.GONE else f"lost for {life.silent_for:.0f} s"
    return f"{home} is {how}; should it return, its agent removes what is left of the container"


def _first(keys: dict[Any, None]) -> Any:
    """Take out the first one."""
    key = next(iter(keys))
    del keys[key]
    return key
