"""All Containers and ContainerNodes, as the watches brought them, with the sums of what is bound to each node.

The sums are kept up to date with each change, so that a decision costs as much as there are nodes and not as there are
containers. A binding that is being written counts at once, as an assumption, until the watch brings it or the write fails.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from controller.kube.versions import Name, Version
from controller.manager import records
from controller.manager.binding import Candidate, Demand, Load, Offer
from controller.manager.records import Body, ContainerRecord, Key, NodeRecord

LOST = "its agent is not heard of"
"""What is said of a node whose Lease is not renewed, whatever its status says."""
REMEMBERED_DELETIONS = 4096
"""So many uids of deleted Containers are known: an answer that was under way must not bring one back."""


@dataclass(frozen=True, slots=True)
class _Assumed:
    uid: str
    node: str


ContainerChanged = Callable[[ContainerRecord | None, ContainerRecord | None], None]
"""Called with a Container as it was and as it is; None where there was or is none."""
NodeChanged = Callable[[str], None]


class Store:
    """What there is."""

    def __init__(self) -> None:
        self._containers: dict[Key, ContainerRecord] = {}
        self._nodes: dict[str, NodeRecord] = {}
        self._members: dict[str, dict[Key, None]] = {}
        self._loads: dict[str, Load] = {}
        self._deleted: OrderedDict[str, None] = OrderedDict()
        self._counted: dict[Key, tuple[str, Demand]] = {}
        self._assumed: dict[Key, _Assumed] = {}
        self._lost: frozenset[str] = frozenset()
        self._offers: list[Offer] | None = None
        self._on_container: list[ContainerChanged] = []
        self._on_node: list[NodeChanged] = []
        self.room = 0
        """Grows whenever something may fit that did not before."""

    def subscribe(self, container: ContainerChanged, node: NodeChanged) -> None:
        """Be told of every change, whoever brings it. A node's name is told for all that concerns it, its loss too."""
        self._on_container.append(container)
        self._on_node.append(node)

    # --- Containers -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._containers)

    def get(self, key: Key) -> ContainerRecord | None:
        """The Container under this key, or None."""
        return self._containers.get(key)

    def containers(self) -> Iterator[ContainerRecord]:
        """All of them."""
        return iter(list(self._containers.values()))

    def container_names(self) -> list[Key]:
        """The keys of all of them."""
        return list(self._containers)

    def container_version(self, key: Key) -> Version | None:
        """Which object, and which version of it, is under this key."""
        known = self._containers.get(key)
        return (known.uid, known.version) if known is not None else None

    def members(self, node: str) -> list[ContainerRecord]:
        """The Containers that are bound to, or claimed for, a node."""
        return [self._containers[key] for key in self._members.get(node, ())]

    def homes(self) -> list[str]:
        """The nodes that Containers are bound to, or claimed for, whether they exist or not."""
        return list(self._members)

    def put_container(self, body: Body) -> ContainerRecord | None:
        """Take in a Container; None when the store already has it, or a later version."""
        metadata = body["metadata"]
        known = self._containers.get((metadata["namespace"], metadata["name"]))
        if metadata["uid"] in self._deleted or (known is not None and not _newer(metadata, known.uid, known.version)):
            return None
        made = records.container(body)
        self._containers[made.key] = made
        self._house(known, made)
        self._recount(made.key)
        self._tell(known, made)
        return made

    def drop_container(self, key: Key, uid: str | None = None) -> None:
        """Forget a Container; with a uid, only if it is that one."""
        known = self._containers.get(key)
        gone = uid or (known.uid if known else None)
        if gone is not None:
            self._remember_deletion(gone)
        if known is not None and uid in (None, known.uid):
            del self._containers[key]
            self._house(known, None)
            self._recount(key)
            self._tell(known, None)

    def _remember_deletion(self, uid: str) -> None:
        self._deleted[uid] = None
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)

    def _house(self, before: ContainerRecord | None, after: ContainerRecord | None) -> None:
        old, new = before and before.home, after and after.home
        if before is not None and old and old != new:
            del self._members[old][before.key]
            if not self._members[old]:
                del self._members[old]
        if after is not None and new and old != new:
            self._members.setdefault(new, {})[after.key] = None

    def _tell(self, before: ContainerRecord | None, after: ContainerRecord | None) -> None:
        for changed in self._on_container:
            changed(before, after)

    # --- sums -----------------------------------------------------------------------------------------------------------

    def assume(self, key: Key, node: str) -> None:
        """Count the Container as bound to the node from now on: the write is under way."""
        record = self._containers[key]
        self._assumed[key] = _Assumed(record.uid, node)
        self._recount(key)

    def settle(self, key: Key) -> None:
        """The write has ended, well or not: what the store knows of the Container counts again."""
        if self._assumed.pop(key, None) is not None:
            self._recount(key)

    def _recount(self, key: Key) -> None:
        old, new = self._counted.get(key), self._counts_for(key)
        if old == new:
            return
        if old is not None:
            del self._counted[key]
            self._loads[old[0]].remove(old[1])
            self.room += 1
        if new is not None:
            self._counted[key] = new
            self._load(new[0]).add(new[1])

    def _counts_for(self, key: Key) -> tuple[str, Demand] | None:
        record, assumed = self._containers.get(key), self._assumed.get(key)
        if record is None:
            return None
        home = assumed.node if assumed is not None and assumed.uid == record.uid else record.home
        return (home, record.demand) if home else None

    def _load(self, node: str) -> Load:
        """The sum for a node. It is one object for as long as the store lives, so that offers can hold it."""
        return self._loads.setdefault(node, Load())

    # --- nodes ----------------------------------------------------------------------------------------------------------

    def node(self, name: str) -> NodeRecord | None:
        """The ContainerNode of this name, or None."""
        return self._nodes.get(name)

    def nodes(self) -> Iterator[NodeRecord]:
        """All of them."""
        return iter(list(self._nodes.values()))

    def node_names(self) -> list[Name]:
        """The names of all of them, as names of objects without a namespace."""
        return [("", name) for name in self._nodes]

    def node_version(self, name: Name) -> Version | None:
        """Which object, and which version of it, has this name."""
        known = self._nodes.get(name[1])
        return (known.uid, known.version) if known is not None else None

    def put_node(self, body: Body) -> NodeRecord | None:
        """Take in a ContainerNode; None when the store already has it, or a later version."""
        metadata = body["metadata"]
        known = self._nodes.get(metadata["name"])
        if known is not None and not _newer(metadata, known.uid, known.version):
            return None
        made = self._nodes[metadata["name"]] = records.node(body)
        self._node_changed(made.name, offers_other=known is None or known.candidate != made.candidate)
        return made

    def drop_node(self, name: str, uid: str | None = None) -> None:
        """Forget a ContainerNode; with a uid, only if it is that one."""
        known = self._nodes.get(name)
        if known is not None and uid in (None, known.uid):
            del self._nodes[name]
            self._node_changed(name, offers_other=True)

    def set_lost(self, names: frozenset[str]) -> None:
        """Whose Leases are not renewed at present: nothing is bound to them."""
        changed = self._lost ^ names
        self._lost = names
        for name in sorted(changed):
            self._node_changed(name, offers_other=True)

    def offers(self) -> list[Offer]:
        """What all nodes have to offer now, and what is bound to them."""
        if self._offers is None:
            known = sorted(self._nodes.values(), key=lambda one: one.name)
            self._offers = [(self._candidate(one), self._load(one.name)) for one in known]
        return self._offers

    def _candidate(self, record: NodeRecord) -> Candidate:
        return replace(record.candidate, not_ready=LOST) if record.name in self._lost else record.candidate

    def _node_changed(self, name: str, *, offers_other: bool) -> None:
        if offers_other:
            self._offers = None
            self.room += 1
        for changed in self._on_node:
            changed(name)


def _newer(metadata: Body, uid: str, version: str) -> bool:
    """Whether metadata is of a later version, be it of the same object or of one that has come under its name.

    Kubernetes calls resource versions opaque, and they are numbers of one sequence in every server there is; where they are not,
    what comes counts as newer unless it is the same.
    """
    new = str(metadata["resourceVersion"])
    if new.isdigit() and version.isdigit():
        return int(new) > int(version)
    return (metadata["uid"], new) != (uid, version)
