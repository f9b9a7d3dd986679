"""Whether a node lives, and what follows for its Containers. Pure: observations and times are arguments.

A node lives while its Lease changes. How long it has not is measured by this process's own clock, from one good list to the next:
what the Lease says of the time is only compared, so nodes may have any clock. A time in which the Leases could not be listed counts
for nobody. That a Lease has gone is a change too, for nobody knows whether it was renewed just before:

        list           node returns: renews its Lease    ContainerNode and Lease are deleted     list, or the Lease is asked for
        silent  ────────────────────────────────────────────────────────────────────────────────►  not silent for one duration more

        Lease changes          ALIVE
        silent for its duration, ContainerNode there             LOST: the container's state is unknown, nothing is touched
        silent, and no ContainerNode or taint out-of-service     GONE: what may be bound anew is
        not silent, and no ContainerNode                         UNDECIDED: an agent may be about to register
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from controller.api.container import ContainerState
from controller.api.node import LEASE_DURATION_SECONDS
from controller.api.reasons import Reason
from controller.manager.records import ContainerRecord, NodeRecord

LONGEST_DURATION: Final = 600.0
"""No Lease may ask for more."""
BLIND_PART: Final = 0.25
"""A list may come later than usual by this part of a Lease's duration before what it has missed counts for nobody."""


class Phase(StrEnum):
    """What a node is in."""

    ALIVE = "Alive"
    LOST = "Lost"
    GONE = "Gone"
    UNDECIDED = "Undecided"


@dataclass(frozen=True, slots=True)
class Beat:
    """A node's Lease, as listed."""

    version: str
    """Whatever changes with each renewal."""
    duration: float = float(LEASE_DURATION_SECONDS)
    """For how long it may not change, in seconds."""


@dataclass(frozen=True, slots=True)
class Life:
    """What is known of a node's life."""

    phase: Phase
    silent_for: float = 0.0
    """Seconds since it was found to be silent; 0 while it is not."""


@dataclass(slots=True)
class _Heard:
    beat: Beat | None
    """None: it has no Lease."""
    changed_at: float
    duration: float
    """For how long it may not change; without a Lease that of the last one."""


class Heartbeats:
    """When each node was last heard of."""

    def __init__(self, list_seconds: float) -> None:
        self._list_seconds = list_seconds
        self._heard: dict[str, _Heard] = {}
        self._listed_at: float | None = None

    @property
    def listed_at(self) -> float | None:
        """When the Leases were listed last; None when they never were."""
        return self._listed_at

    def listed(self, beats: Mapping[str, Beat], names: Iterable[str], now: float) -> None:
        """Take in a good list of Leases. `names` are the nodes that are to be known, those without a Lease too."""
        gap = 0.0 if self._listed_at is None else now - self._listed_at
        before, self._heard = self._heard, {}
        for name in {*names, *beats}:
            known, beat = before.get(name), beats.get(name)
            same = known is not None and beat == known.beat and not self._was_blind(known, gap)
            self._heard[name] = known if known is not None and same else _changed(known, beat, now)
        self._listed_at = now

    def _was_blind(self, known: _Heard, gap: float) -> bool:
        """Whether so long was not listed that the node may have renewed in vain: then it has all of its time once more."""
        return gap > self._list_seconds + known.duration * BLIND_PART

    def heard(self, name: str, beat: Beat | None, now: float) -> None:
        """Take in one node's Lease (None: there is none), read between two lists. That it has not changed says nothing new."""
        known = self._heard.get(name)
        if known is None or known.beat != beat:
            self._heard[name] = _changed(known, beat, now)

    def silent_for(self, name: str) -> float | None:
        """Since how many seconds the node has been silent, as of the last list; None when it is not, or not known yet."""
        heard = self._heard.get(name)
        if heard is None or self._listed_at is None:
            return None
        over = self._listed_at - heard.changed_at - heard.duration
        return over if over >= 0 else None

    def silent(self) -> frozenset[str]:
        """All nodes that are silent."""
        return frozenset(name for name in self._heard if self.silent_for(name) is not None)


def _changed(known: _Heard | None, beat: Beat | None, now: float) -> _Heard:
    if beat is not None:
        return _Heard(beat, now, min(beat.duration, LONGEST_DURATION))
    return _Heard(None, now, known.duration if known is not None else float(LEASE_DURATION_SECONDS))


def life(record: NodeRecord | None, silent_for: float | None) -> Life:
    """What follows of a ContainerNode (None: there is none) and its silence."""
    if silent_for is None:
        return Life(Phase.ALIVE if record is not None else Phase.UNDECIDED)
    gone = record is None or record.out_of_service
    return Life(Phase.GONE if gone else Phase.LOST, silent_for)


class Step(StrEnum):
    """What is to be done with a Container whose node is silent."""

    RELEASE = "Release"
    """It is deleted: take our finalizer off, so that it goes."""
    MARK = "Mark"
    """Say that its state is not known."""
    RESET = "Reset"
    """Take the former node out of its status, so that it can be bound anew."""
    REBIND = "Rebind"
    """Bind it to another node."""


def step(record: ContainerRecord, now: Life, release_after: float, marked: Collection[str] = ()) -> Step | None:
    """What is to be done next with a Container, given its node's life; None when nothing is.

    `marked` are the uids of those that were marked since the node fell silent: whoever has written their status since then
    is alive, and nobody quarrels with it.
    """
    if now.phase not in (Phase.LOST, Phase.GONE):
        return None
    gone = now.phase is Phase.GONE
    if record.deleting and record.ours and (gone or now.silent_for >= release_after):
        return Step.RELEASE
    if gone and record.movable and not record.deleting:
        return Step.REBIND if record.released else Step.RESET
    return None if _is_marked(record) or record.uid in marked else Step.MARK


def _is_marked(record: ContainerRecord) -> bool:
    return (
        record.state == ContainerState.UNKNOWN and record.ready is not None and record.ready.reason == Reason.NODE_LOST
    )
