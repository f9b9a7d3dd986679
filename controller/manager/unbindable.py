"""Tells the users of Containers that fit nowhere why: in the status and by an Event, at a bounded rate."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from controller import log, metrics
from controller.api.reasons import Reason
from controller.kube import errors
from controller.kube.containers import Containers
from controller.manager import records, statuses
from controller.manager.leader import NotLeading
from controller.manager.pace import Pace
from controller.manager.pending import Refused
from controller.manager.records import ContainerRecord, Key
from controller.manager.store import Store

PER_SECOND: Final = 10.0
SPACING_SECONDS: Final = 10.0
"""A Container is told again after so long at the earliest, however often the answer changes."""
REMEMBERED: Final = 4096
_log = log.get(__name__)


class Teller:
    """Writes the status of what can't be bound."""

    def __init__(self, store: Store, api: Containers, announce: Callable[[ContainerRecord, Reason, str], None]) -> None:
        self._store = store
        self._api = api
        self._announce = announce
        self._due: dict[Key, None] = {}
        self._later: set[Key] = set()
        self._told_at: OrderedDict[Key, float] = OrderedDict()
        self._awake = asyncio.Event()

    def tell(self, key: Key) -> None:
        """There is something to tell of a Container: soon, or when it may be told again."""
        wait = self._told_at.get(key, float("-inf")) + SPACING_SECONDS - asyncio.get_running_loop().time()
        if wait <= 0:
            self._add(key)
        elif key not in self._later:
            self._tell_later(key, wait)

    def _tell_later(self, key: Key, seconds: float) -> None:
        self._later.add(key)
        asyncio.get_running_loop().call_later(seconds, self._add, key)

    def _add(self, key: Key) -> None:
        self._later.discard(key)
        self._due[key] = None
        self._awake.set()

    async def run(self, refused: Callable[[Key], Refused | None]) -> None:
        """Tell until cancelled; `refused` knows what is to be said, if there still is something."""
        pace = Pace(PER_SECOND)
        while True:
            while self._due:
                key = next(iter(self._due))
                del self._due[key]
                now = refused(key)
                record = self._store.get(key)
                if now is not None and record is not None and not _says(record, now.message):
                    await pace.turn()
                    await self._write(record, now.message)
            await self._awake.wait()
            self._awake.clear()

    async def _write(self, record: ContainerRecord, message: str) -> None:
        key = record.key
        try:
            body = await self._api.get(*key)
            now = records.container(body)
            if (now.uid, now.home, now.deleting) != (record.uid, record.home, False):
                return
            patch = statuses.unbindable(body, message, datetime.now(UTC))
            with metrics.status_write():
                answer = await self._api.patch_status(*key, now.uid, patch, version=now.version)
            self._store.put_container(answer)
        except NotLeading:
            raise
        except (errors.Conflict, errors.NotFound):
            return
        except errors.KubeError as error:
            _log.warning("a status could not be written", namespace=key[0], name=key[1], error=str(error))
            self._tell_later(key, SPACING_SECONDS)
            return
        self._remember(key)
        self._announce(record, Reason.UNBINDABLE, message)

    def _remember(self, key: Key) -> None:
        self._told_at[key] = asyncio.get_running_loop().time()
        self._told_at.move_to_end(key)
        if len(self._told_at) > REMEMBERED:
            self._told_at.popitem(last=False)


def _says(record: ContainerRecord, message: str) -> bool:
    ready = record.ready
    return ready is not None and (ready.reason, ready.message) == (Reason.UNBINDABLE, message)
