"""What the API server declares for this node: each object parsed once, and the store of all of them.

The store is fed by the watch and by nothing else but reads of the same objects. It decides nothing.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from controller.agent import standing
from controller.agent.identity import Key
from controller.agent.memory import recalled
from controller.agent.standing import Standing
from controller.api.container import (
    FINALIZER,
    NODE_LABEL,
    RESTARTED_AT_ANNOTATION,
    ContainerSpec,
    ContainerStatus,
    Dependency,
    ImagePullPolicy,
)
from controller.api.reasons import Reason
from controller.api.validation import FieldError, read_status
from controller.oci import fingerprint
from controller.oci.acceptance import check
from controller.oci.reference import Reference, default_pull_policy

MAX_REQUEST = 256


@dataclass(frozen=True)
class Declared:
    """One Container object, parsed. `spec` is None when it is invalid; `errors` then says why."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    deleting: bool
    finalizers: tuple[str, ...]
    spec: ContainerSpec | None
    errors: tuple[FieldError, ...]
    error_reason: Reason
    reference: Reference | None
    spec_hash: str
    fingerprint: Mapping[str, str]
    resources: str
    """Hash of the resources, which can change in a running container."""
    status: ContainerStatus
    """What of its status this node may take for its own memory."""
    written: ContainerStatus = field(default_factory=ContainerStatus)
    """Its status as it stands in the API server, by whomever it was written."""
    node_label: str | None = None
    """The node that the label names: the watch is filtered by it, so what has lost it is seen by nobody."""
    restarted_at: str = ""
    """The annotation by which the user asks for a restart; any new value is a new request."""
    standing: Standing = field(default_factory=Standing)
    """How it stands for those that depend on it."""

    @property
    def depends_on(self) -> tuple[Dependency, ...]:
        """What it depends on."""
        return tuple(self.spec.depends_on) if self.spec is not None else ()

    @property
    def ours(self) -> bool:
        """Whether our finalizer is on the object."""
        return FINALIZER in self.finalizers

    @property
    def image_wanted(self) -> str:
        """The image and how it is to be had: what an `ObservedImage` must speak of to count."""
        return f"{self.pull_policy} {self.reference.name}" if self.reference else ""

    @property
    def pull_policy(self) -> ImagePullPolicy:
        """The policy in force: the declared one, else the one that fits the reference."""
        if self.spec is not None and self.spec.image_pull_policy is not None:
            return self.spec.image_pull_policy
        return default_pull_policy(self.reference) if self.reference else ImagePullPolicy.NEVER


def parse_object(body: Mapping[str, Any], node: str) -> Declared:
    """One object as the API server sent it. Never raises on what a user can write into spec or status."""
    metadata = body["metadata"]
    checked = check(body.get("spec") or {}, name=metadata["name"], node=node)
    spec, written = checked.spec, read_status(body.get("status") or {})
    return Declared(
        key=(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        resource_version=metadata["resourceVersion"],
        deleting="deletionTimestamp" in metadata,
        finalizers=tuple(metadata.get("finalizers") or ()),
        spec=spec,
        errors=checked.errors,
        error_reason=checked.reason,
        reference=checked.reference,
        spec_hash=fingerprint.spec_hash(spec) if spec is not None else "",
        fingerprint=fingerprint.fingerprint(spec) if spec is not None else {},
        resources=_resources_hash(spec) if spec is not None else "",
        status=recalled(written, node),
        written=written,
        node_label=_node_label(metadata),
        restarted_at=_restarted_at(metadata),
        standing=standing.read(body),
    )


def _node_label(metadata: Mapping[str, Any]) -> str | None:
    return (metadata.get("labels") or {}).get(NODE_LABEL)


def _restarted_at(metadata: Mapping[str, Any]) -> str:
    return str((metadata.get("annotations") or {}).get(RESTARTED_AT_ANNOTATION, ""))[:MAX_REQUEST]


def _resources_hash(spec: ContainerSpec) -> str:
    return hashlib.sha256(spec.resources.model_dump_json(exclude_defaults=True).encode()).hexdigest()[:16]


def belongs(body: Mapping[str, Any], node: str) -> bool:
    """Whether an object is this node's to run.

    The node that the status names has the container, whatever became of `nodeName` and label since: its agent says that a container
    can't be moved, and no other begins one. Only who resets the status moves it. Before there is a status `nodeName` decides; one that
    carries our label and names another node is ours to say so.
    """
    told = (body.get("status") or {}).get("nodeName")
    if told is not None:
        return bool(told == node)
    named = (body.get("spec") or {}).get("nodeName")
    return named == node or (body["metadata"].get("labels") or {}).get(NODE_LABEL) == node


Changed = Callable[[Declared | None, Declared | None], None]
"""Called with an object as it was and as it is; None where there was or is none."""


class DeclaredStore:
    """The objects of this node, by key."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._objects: dict[Key, Declared] = {}
        self._subscribers: list[Changed] = []

    def subscribe(self, changed: Changed) -> None:
        """Be told of every object that comes, changes or goes, whoever brings it."""
        self._subscribers.append(changed)

    def get(self, key: Key) -> Declared | None:
        """The object under this key, or None."""
        return self._objects.get(key)

    def __iter__(self) -> Iterator[Declared]:
        return iter(list(self._objects.values()))

    def put(self, body: Mapping[str, Any]) -> Declared | None:
        """Take in an object; None when the store already has it, or a later version, or when it is not this node's."""
        metadata = body["metadata"]
        key = (metadata["namespace"], metadata["name"])
        known = self._objects.get(key)
        if not belongs(body, self._node):
            self.drop(key, metadata["uid"])
            return None
        if known is not None and not _newer(metadata, known):
            return None
        declared = _updated(known, body, self._node) if known is not None else None
        if declared is None:
            declared = parse_object(body, self._node)
        self._objects[declared.key] = declared
        self._tell(known, declared)
        return declared

    def drop(self, key: Key, uid: str | None = None) -> None:
        """Forget the object; with a uid, only if it is that one."""
        known = self._objects.get(key)
        if known is not None and (uid is None or known.uid == uid):
            del self._objects[key]
            self._tell(known, None)

    def _tell(self, before: Declared | None, after: Declared | None) -> None:
        for changed in self._subscribers:
            changed(before, after)


def _updated(known: Declared, body: Mapping[str, Any], node: str) -> Declared | None:
    """The same object with other metadata or status: its spec, unchanged by its generation, is not parsed again."""
    metadata = body["metadata"]
    if metadata["uid"] != known.uid or metadata.get("generation", 1) != known.generation:
        return None
    written = read_status(body.get("status") or {})
    return replace(
        known,
        resource_version=metadata["resourceVersion"],
        deleting="deletionTimestamp" in metadata,
        finalizers=tuple(metadata.get("finalizers") or ()),
        status=recalled(written, node),
        written=written,
        node_label=_node_label(metadata),
        restarted_at=_restarted_at(metadata),
        standing=standing.read(body),
    )


def _newer(metadata: Mapping[str, Any], known: Declared) -> bool:
    """Whether metadata is of another object or of a later version.

    Kubernetes calls resource versions opaque, and they are numbers in every server there is; where they are not, what comes
    counts as newer unless it is the same.
    """
    if metadata["uid"] != known.uid:
        return True
    new, old = str(metadata["resourceVersion"]), known.resource_version
    return int(new) > int(old) if new.isdigit() and old.isdigit() else new != old
