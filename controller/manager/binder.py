"""Binds Containers to nodes: asks `binding` where to, and writes the answer in one request that fails if the object has changed.

What is written counts at once, so that the next decision knows of it. Many writes are under way at a time, decisions are made one by one.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from controller import log
from controller.api.container import NODE_LABEL
from controller.api.reasons import Reason
from controller.kube import errors
from controller.kube.containers import Containers
from controller.manager import binding, metrics
from controller.manager.binding import Demand
from controller.manager.leader import NotLeading
from controller.manager.pending import Pending
from controller.manager.records import ContainerRecord, Key
from controller.manager.store import Store
from controller.manager.unbindable import Teller

RETRY_SECONDS: Final = 2.0
"""After this time a write that failed is made again."""
REFUSED_SECONDS: Final = 30.0
"""The same for one that was refused; sooner if the object changes."""
READMIT_SECONDS: Final = 0.2
"""What fits nowhere is tried again as often as that at most."""
BREATH: Final = 64
"""After so many decisions in a row others get their turn."""
Announce = Callable[[ContainerRecord, Reason, str], None]
_log = log.get(__name__)


class Binder:
    """Binds what has no node."""

    def __init__(self, store: Store, api: Containers, teller: Teller, announce: Announce, at_once: int) -> None:
        self._store = store
        self._api = api
        self._teller = teller
        self._announce = announce
        self._at_once = at_once
        self._pending = Pending()
        self._displaced: Mapping[Key, str] = {}
        self._writing: set[Key] = set()
        self._known_unfit: dict[Demand, tuple[int, str]] = {}
        self._readmitted_at = float("-inf")
        self._awake = asyncio.Event()
        store.subscribe(self._container_changed, lambda _name: self._awake.set())

    def pending(self) -> int:
        """How many Containers are to be bound."""
        return len(self._pending)

    def refusals(self) -> int:
        """How many of them fit nowhere."""
        return self._pending.refusals()

    def displace(self, displaced: Mapping[Key, str]) -> None:
        """These are all Containers that are to be bound anew, with the nodes that they have lost."""
        before, self._displaced = self._displaced, displaced
        for key in displaced.keys() - before.keys():
            self._pending.add(key)
        for key in before.keys() - displaced.keys():
            self._reconsider(key)
        if displaced.keys() != before.keys():
            self._awake.set()

    async def run(self) -> None:
        """Bind until cancelled.

        Raises:
            NotLeading: this process may write no more.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._teller.run(self._pending.refused), name="tell what is unbindable")
            slots = asyncio.Semaphore(self._at_once)
            for record in self._store.containers():
                self._reconsider(record.key)
            self._awake.set()
            while True:
                await self._awake.wait()
                self._awake.clear()
                self._readmit()
                await self._bind_all(group, slots)

    # --- what is to be bound --------------------------------------------------------------------------------------------

    def _container_changed(self, before: ContainerRecord | None, after: ContainerRecord | None) -> None:
        record = after or before
        if record is not None and record.key not in self._writing:
            self._reconsider(record.key)
            self._awake.set()

    def _reconsider(self, key: Key) -> None:
        record = self._store.get(key)
        if record is not None and self._is_to_be_bound(record):
            self._pending.add(key)
        else:
            self._pending.discard(key)

    def _is_to_be_bound(self, record: ContainerRecord) -> bool:
        return record.unbound or (record.key in self._displaced and self._displaced[record.key] == record.home)

    def _readmit(self) -> None:
        """Let those try again for which there was no room, if there is more now."""
        now = asyncio.get_running_loop().time()
        if now - self._readmitted_at >= READMIT_SECONDS:
            self._readmitted_at = now
            self._pending.readmit(self._store.room)
        elif self._pending.refusals():
            # Not now, but then surely; whoever comes in between will do as well.
            asyncio.get_running_loop().call_later(READMIT_SECONDS, self._awake.set)

    # --- binding --------------------------------------------------------------------------------------------------------

    async def _bind_all(self, group: asyncio.TaskGroup, slots: asyncio.Semaphore) -> None:
        for count, key in enumerate(self._pending.take()):
            await slots.acquire()
            if not self._bind(key, group, slots):
                slots.release()
            if count % BREATH == BREATH - 1:
                await asyncio.sleep(0)

    def _bind(self, key: Key, group: asyncio.TaskGroup, slots: asyncio.Semaphore) -> bool:
        """Decide about one Container; says whether a write has begun."""
        record = self._store.get(key)
        if record is None or not self._is_to_be_bound(record):
            self._pending.discard(key)
            return False
        node = self._destination(record)
        if node is None:
            return False
        self._store.assume(key, node)
        self._writing.add(key)
        task = group.create_task(self._write(record, node))
        task.add_done_callback(lambda _task: slots.release())
        return True

    def _destination(self, record: ContainerRecord) -> str | None:
        """The node that the Container is given to; None when there is none, which is told."""
        if record.home is not None and record.key not in self._displaced:
            # NB: it is named by its user, or runs there although somebody has taken its node out.
            return record.home
        room, message = self._known_unfit.get(record.demand, (-1, ""))
        if room != self._store.room:
            offers = self._store.offers()
            node = binding.choose(record.demand, offers)
            if node is not None:
                return node
            room, message = self._store.room, binding.explained(binding.refusals(record.demand, offers))
            self._remember_unfit(record.demand, room, message)
        self._pending.refuse(record.key, room, message)
        self._teller.tell(record.key)
        return None

    def _remember_unfit(self, demand: Demand, room: int, message: str) -> None:
        """What fits nowhere now fits nowhere until there is more room: for its like nobody need ask."""
        if self._known_unfit and next(iter(self._known_unfit.values()))[0] != room:
            self._known_unfit.clear()
        self._known_unfit[demand] = (room, message)

    async def _write(self, record: ContainerRecord, node: str) -> None:
        key, moved_from = record.key, self._displaced.get(record.key)
        try:
            self._store.put_container(await self._api.patch(*key, _patch(record, node)))
        except (errors.Conflict, errors.NotFound) as error:
            metrics.bound("conflict")
            _log.debug("not bound: the object has changed", namespace=key[0], name=key[1], error=str(error))
            # What the store knows is not what it is; if the watch has not brought that yet, it will, and wake us.
            again = None if self._store.get(key) is record else 0.0
        except NotLeading:
            raise
        except errors.KubeError as error:
            metrics.bound("error")
            _log.warning("a container could not be bound", namespace=key[0], name=key[1], node=node, error=str(error))
            again = self._after_error(record, node, error)
        else:
            metrics.bound("success", self._pending.waited(key))
            self._announce(record, Reason.BOUND, self._told(node, moved_from))
            again = 0.0
        finally:
            self._writing.discard(key)
            self._store.settle(key)
        if again is not None:
            asyncio.get_running_loop().call_later(again, self._try_again, key)

    def _after_error(self, record: ContainerRecord, node: str, error: errors.KubeError) -> float:
        """Say that it was refused, if it was; returns the seconds until the next try."""
        if not isinstance(error, errors.Refused | errors.Forbidden):
            return RETRY_SECONDS
        self._announce(record, Reason.BIND_ERROR, f"could not be bound to {node}: {error}")
        return REFUSED_SECONDS

    def _told(self, node: str, moved_from: str | None) -> str:
        if moved_from is not None:
            return f"bound to {node}; {moved_from} is gone"
        if self._store.node(node) is not None:
            return f"bound to {node}"
        return (
            f"bound to {node}, and there is no ContainerNode of that name: it begins when an agent called so is there."
            " If another node was meant (see `kubectl get containernodes`), delete it and apply it with that nodeName"
        )

    def _try_again(self, key: Key) -> None:
        self._reconsider(key)
        self._awake.set()


def _patch(record: ContainerRecord, node: str) -> dict[str, Any]:
    metadata = {"uid": record.uid, "resourceVersion": record.version, "labels": {NODE_LABEL: node}}
    return {"metadata": metadata} if record.node == node else {"metadata": metadata, "spec": {"nodeName": node}}
