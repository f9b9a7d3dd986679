"""Whether the agent sees what it must see: how old its last good lists are. Pure but for the clock it is given.

The life of the process says nothing: an agent whose watch is silent looks as alive as any other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

Source = Literal["containerd", "watch"]
SOURCES: tuple[Source, ...] = ("containerd", "watch")


@dataclass
class Freshness:
    """When each source was last found to be in step."""

    stale_seconds: float
    clock: Callable[[], float] = monotonic
    _noted: dict[str, float] = field(default_factory=dict)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def note(self, source: Source) -> None:
        """The source was just found to be in step."""
        self._noted[source] = self.clock()

    def out_of_step(self) -> list[Source]:
        """The sources that keep the agent from being ready, by their names."""
        now = self.clock()
        return [one for one in SOURCES if one not in self._noted or now - self._noted[one] > self.stale_seconds]

    def problems(self) -> list[str]:
        """What is stale, in words; empty when all is well. A source has from the start as long as later on."""
        now = self.clock()
        ages = {source: now - self._noted.get(source, self._began) for source in SOURCES}
        return [
            f"{source}: in step {age:.0f} s ago, which is more than {self.stale_seconds:.0f} s"
            for source, age in ages.items()
            if age > self.stale_seconds
        ]

    def unready(self) -> list[str]:
        """What keeps the agent from being ready: what is stale, and what was not seen at all yet."""
        unseen = [f"{source}: not seen yet" for source in SOURCES if source not in self._noted]
        return [*unseen, *self.problems()]
