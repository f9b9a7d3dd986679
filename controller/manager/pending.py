"""The Containers that are to be bound: in the order in which they came, those that fit nowhere set aside until there is more room.

Knows what it is told of, decides nothing, and makes no request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic

from controller.manager.records import Key


@dataclass(frozen=True, slots=True)
class Refused:
    """A Container that fits nowhere."""

    room: int
    """How much had ever become free when that was found."""
    message: str


class Pending:
    """What waits, and what was set aside."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._waiting: dict[Key, None] = {}
        self._since: dict[Key, float] = {}
        self._refused: dict[Key, Refused] = {}

    def __len__(self) -> int:
        return len(self._since)

    def add(self, key: Key) -> None:
        """It is to be bound, or has changed while it was."""
        self._refused.pop(key, None)
        self._waiting[key] = None
        self._since.setdefault(key, self._clock())

    def discard(self, key: Key) -> None:
        """It is not to be bound, or no longer."""
        self._refused.pop(key, None)
        self._waiting.pop(key, None)
        self._since.pop(key, None)

    def take(self) -> Iterator[Key]:
        """Take out what waits, one by one."""
        while self._waiting:
            key = next(iter(self._waiting))
            del self._waiting[key]
            yield key

    def refuse(self, key: Key, room: int, message: str) -> None:
        """It fits nowhere as long as there is no more room than that."""
        if key in self._since:
            self._refused[key] = Refused(room, message)

    def readmit(self, room: int) -> None:
        """There is so much room now: what was set aside with less of it waits again."""
        for key in [key for key, refused in self._refused.items() if refused.room < room]:
            del self._refused[key]
            self._waiting[key] = None

    def waited(self, key: Key) -> float:
        """For how many seconds it has been known to be unbound."""
        now = self._clock()
        return now - self._since.get(key, now)

    def refused(self, key: Key) -> Refused | None:
        """Why it fits nowhere; None when that is not known, or no longer."""
        return self._refused.get(key)

    def refusals(self) -> int:
        """How many fit nowhere."""
        return len(self._refused)
