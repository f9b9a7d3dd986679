"""How often each object's status may be written: often for a while, rarely for ever. Reads a monotonic clock, and no other.

A process that ends and starts again without pause changes its status as fast as the node can go; the API server is everybody's. What
is held back is not lost: a status is the present truth, so the next write says all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

BURST: Final = 25
REFILL_SECONDS: Final = 2.0


@dataclass
class Allowance:
    """A bucket for each object that was written of late, by uid: `BURST` writes at once, then one each `REFILL_SECONDS`."""

    clock: Callable[[], float] = monotonic
    _full_at: dict[str, float] = field(default_factory=dict)
    """When the bucket of an object will be full again; the one that was written last comes last."""

    def wait(self, uid: str) -> float:
        """Seconds until the object may be written; 0 when it may be now."""
        empty_for = self._full_at.get(uid, 0.0) - self.clock() - (BURST - 1) * REFILL_SECONDS
        return max(empty_for, 0.0)

    def spend(self, uid: str) -> None:
        """It was written."""
        now = self.clock()
        self._full_at[uid] = max(self._full_at.pop(uid, now), now) + REFILL_SECONDS
        while self._full_at[oldest := next(iter(self._full_at))] <= now:
            del self._full_at[oldest]
