"""The decision which node a Container is bound to. Pure: no input or output, no clock, and the same answer to the same question.

A node must fit: `hindrances` says why one does not. Of those that fit, `choose` takes the best by `_rank`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from controller.api.node import OUT_OF_SERVICE_TAINT
from controller.api.placement import Taint, Toleration, first_untolerated

NAMED_NODES: Final = 10
"""Of so many nodes each is spoken of by itself; of more, those that have the same against them are counted."""
NAMED_EXAMPLES: Final = 3
SHARE_STEPS: Final = 10
"""Nodes whose shares of requested resources lie within one step of so many count as loaded alike; then the spread decides."""
_MEBIBYTE: Final = 2**20
_GIBIBYTE: Final = 2**30
_TEBIBYTE: Final = 2**40


class Why(StrEnum):
    """What can speak against a node."""

    NOT_READY = "not ready"
    LEAVING = "being deleted"
    OUT_OF_SERVICE = "out of service"
    CORDONED = "cordoned"
    TAINTED = "tainted"
    LABELS = "labels differ"
    RUNTIME = "runtime missing"
    UNREPORTED = "capacity not reported"
    CPU = "too little cpu"
    MEMORY = "too little memory"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Hindrance:
    """One thing that speaks against a node."""

    why: Why
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.why} ({self.detail})" if self.detail else self.why.value


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Demand:
    """What a Container asks of a node."""

    cpu: int = 0
    """Thousandths of a core."""
    memory: int = 0
    """Bytes."""
    runtime: str | None = None
    """None: the node's default."""
    selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    group: str = ""
    """Containers of one group are spread over the nodes."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a node has to offer."""

    name: str
    not_ready: str | None = None
    """Why it is not ready; None when it is."""
    leaving: bool = False
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    runtimes: frozenset[str] = frozenset()
    """Those that are on the node."""
    default_runtime: str = ""
    cpu: int | None = None
    """Thousandths of a core that are for containers; None when that was not reported."""
    memory: int | None = None
    containers: int | None = None


@dataclass(slots=True)
class Load:
    """The sum of all demands that are bound to a node."""

    cpu: int = 0
    memory: int = 0
    containers: int = 0
    groups: dict[str, int] = field(default_factory=dict)

    def add(self, demand: Demand) -> None:
        """Bind one more."""
        self.cpu += demand.cpu
        self.memory += demand.memory
        self.containers += 1
        self.groups[demand.group] = self.groups.get(demand.group, 0) + 1

    def remove(self, demand: Demand) -> None:
        """One that was added has left."""
        self.cpu -= demand.cpu
        self.memory -= demand.memory
        self.containers -= 1
        left = self.groups[demand.group] - 1
        if left:
            self.groups[demand.group] = left
        else:
            del self.groups[demand.group]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A node that does not fit, and all that speaks against it."""

    node: str
    hindrances: tuple[Hindrance, ...]

    def __str__(self) -> str:
        return f"{self.node}: {', '.join(map(str, self.hindrances))}"


Offer = tuple[Candidate, Load]


def choose(demand: Demand, offers: Iterable[Offer]) -> str | None:
    """The name of the best node that fits; None when none does."""
    fitting = [offer for offer in offers if fits(demand, *offer)]
    return min(fitting, key=lambda offer: _rank(demand, *offer))[0].name if fitting else None


def fits(demand: Demand, node: Candidate, load: Load) -> bool:
    """Whether nothing speaks against the node."""
    return next(hindrances(demand, node, load), None) is None


def refusals(demand: Demand, offers: Iterable[Offer]) -> tuple[Refusal, ...]:
    """Of each node that does not fit, why not; by name."""
    found = ((node.name, tuple(hindrances(demand, node, load))) for node, load in offers)
    return tuple(Refusal(name, against) for name, against in sorted(found) if against)


def hindrances(demand: Demand, node: Candidate, load: Load) -> Iterator[Hindrance]:
    """What speaks against the node: its own state first, then what is asked of it, then the room that is left."""
    if node.not_ready is not None:
        yield Hindrance(Why.NOT_READY, node.not_ready)
    if node.leaving:
        yield Hindrance(Why.LEAVING)
    if node.unschedulable:
        yield Hindrance(Why.CORDONED)
    if node.taints:
        yield from _taints(demand, node)
    for key, value in demand.selector:
        if node.labels.get(key) != value:
            yield Hindrance(Why.LABELS, f"{key}={value} is asked for")
    runtime = demand.runtime or node.default_runtime
    # NB: of a node that has reported nothing, that is told by itself.
    if runtime not in node.runtimes and (runtime or node.cpu is not None):
        yield Hindrance(Why.RUNTIME, runtime)
    yield from _room(demand, node, load)


def _taints(demand: Demand, node: Candidate) -> Iterator[Hindrance]:
    if any(taint.key == OUT_OF_SERVICE_TAINT for taint in node.taints):
        # NB: whatever is tolerated: the operator has said that nothing runs there.
        yield Hindrance(Why.OUT_OF_SERVICE)
        return
    taint = first_untolerated(node.taints, demand.tolerations)
    if taint is not None:
        yield Hindrance(Why.TAINTED, f"{taint.key}={taint.value}" if taint.value else taint.key)


def _room(demand: Demand, node: Candidate, load: Load) -> Iterator[Hindrance]:
    if node.cpu is None or node.memory is None or node.containers is None:
        yield Hindrance(Why.UNREPORTED)
        return
    # NB: what asks for nothing fits even where more is bound than the node has, as in Kubernetes.
    if demand.cpu and load.cpu + demand.cpu > node.cpu:
        yield Hindrance(
            Why.CPU, f"{_cores(demand.cpu)} asked for, {_cores(max(node.cpu - load.cpu, 0))} of {_cores(node.cpu)} free"
        )
    if demand.memory and load.memory + demand.memory > node.memory:
        free, whole = _bytes(max(node.memory - load.memory, 0)), _bytes(node.memory)
        yield Hindrance(Why.MEMORY, f"{_bytes(demand.memory)} asked for, {free} of {whole} free")
    if load.containers >= node.containers:
        yield Hindrance(Why.FULL, f"{load.containers} of {node.containers} containers")


def _rank(demand: Demand, node: Candidate, load: Load) -> tuple[int, int, int, int, str]:
    """The lower the better: by load in rough steps, then by spread, then by load to the last bit; the name breaks ties."""
    share = _share(load.cpu + demand.cpu, node.cpu) + _share(load.memory + demand.memory, node.memory)
    return (
        share * SHARE_STEPS // (2 * _WHOLE),
        load.groups.get(demand.group, 0),
        share,
        load.containers,
        node.name,
    )


_WHOLE: Final = 1_000_000


def _share(asked: int, whole: int | None) -> int:
    """The part that is asked for, in millionths."""
    return asked * _WHOLE // whole if whole else 0


def explained(against: tuple[Refusal, ...]) -> str:
    """Why nothing fits, in one sentence: of each node when they are few, counted by cause when they are many."""
    if not against:
        return "there is no node: no agent has registered"
    head = f"0/{len(against)} nodes fit: "
    if len(against) <= NAMED_NODES:
        return head + "; ".join(map(str, against))
    by_cause: dict[Why, list[str]] = {}
    for refusal in against:
        for why in dict.fromkeys(hindrance.why for hindrance in refusal.hindrances):
            by_cause.setdefault(why, []).append(refusal.node)
    counted = sorted(by_cause.items(), key=lambda item: (-len(item[1]), item[0]))
    return head + "; ".join(f"{len(names)} {why} ({_examples(names)})" for why, names in counted)


def _examples(names: list[str]) -> str:
    return ", ".join([*names[:NAMED_EXAMPLES], *(["…"] if len(names) > NAMED_EXAMPLES else [])])


def _cores(milli: int) -> str:
    return str(milli // 1000) if milli % 1000 == 0 else f"{milli}m"


def _bytes(count: int) -> str:
    """For people: in Ti or Gi where that is exact, else in Mi, rounded down; to the byte where that would say nothing."""
    if count and count % _TEBIBYTE == 0:
        return f"{count // _TEBIBYTE}Ti"
    if count and count % _GIBIBYTE == 0:
        return f"{count // _GIBIBYTE}Gi"
    return f"{count // _MEBIBYTE}Mi" if count >= _MEBIBYTE else str(count)
