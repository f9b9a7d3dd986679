"""Whose turn it is to use what there is little of: so many at once, and what hangs must not keep the others from it.

Tenants take turns, so one of them can't fill the queue for the rest. A turn that lasts too long is put aside among the slow ones, of
which there are so many at most; whoever was slow begins there the next time. So a slow one holds up the quick ones once, and not
for longer than it takes to find that out. Knows nothing of what is done in a turn.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

MEMORY_SECONDS: Final = 600.0
"""How long one that was slow is taken for slow, unless a quick turn shows that it is no longer."""


class Turns:
    """Turns for so many quick ones and so many slow ones; `patience` is what lies between them, in seconds."""

    def __init__(self, quick: int, slow: int, patience: float) -> None:
        self._quick, self._slow = _Lane(quick), _Lane(slow)
        self._patience = patience
        self._overdue: deque[_Turn] = deque()
        """Slow ones for which there is no room among the slow."""
        self._slow_since: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, tenant: str, owner: str) -> AsyncIterator[None]:
        """Wait for a turn and have it for as long as the block lasts. An owner asks for one at a time."""
        loop = asyncio.get_running_loop()
        lane = self._slow if self._was_slow(owner, loop.time()) else self._quick
        await lane.enter(tenant)
        turn, began = _Turn(lane), loop.time()
        timer = loop.call_later(self._patience, self._put_aside, turn)
        try:
            yield
        finally:
            timer.cancel()
            self._remember(owner, loop.time(), slow=loop.time() - began >= self._patience)
            self._end(turn)

    def _put_aside(self, turn: "_Turn") -> None:
        if turn.lane is self._slow:
            return
        if self._slow.enter_at_once():
            self._move(turn)
        else:
            self._overdue.append(turn)

    def _move(self, turn: "_Turn") -> None:
        turn.lane = self._slow
        self._quick.leave()

    def _end(self, turn: "_Turn") -> None:
        if turn.lane is self._slow and self._overdue:
            # NB: before those that wait to be slow: it is in the way of the quick ones.
            self._move(self._overdue.popleft())
            return
        if turn in self._overdue:
            self._overdue.remove(turn)
        turn.lane.leave()

    def _was_slow(self, owner: str, now: float) -> bool:
        return now - self._slow_since.get(owner, -MEMORY_SECONDS) < MEMORY_SECONDS

    def _remember(self, owner: str, now: float, *, slow: bool) -> None:
        self._slow_since.pop(owner, None)
        if slow:
            self._slow_since[owner] = now
        while self._slow_since and not self._was_slow(oldest := next(iter(self._slow_since)), now):
            del self._slow_since[oldest]


@dataclass(eq=False)
class _Turn:
    lane: "_Lane"


class _Lane:
    """So many at once; who has to wait does so in a queue of its tenant, and the tenants take turns."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    def enter_at_once(self) -> bool:
        """Enter if there is room."""
        if self._free == 0:
            return False
        self._free -= 1
        return True

    async def enter(self, tenant: str) -> None:
        """Enter when there is room."""
        if self.enter_at_once():
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # it was given the turn at the very moment
            raise

    def leave(self) -> None:
        """Let the next one in."""
        while self._waiting:
            tenant, places = self._waiting.popitem(last=False)
            place = places.popleft()
            if places:
                self._waiting[tenant] = places
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
