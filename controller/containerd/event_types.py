"""containerd's events as types of ours, and how an envelope becomes one.

An event says that something happened to something; what is true now, only a list or a get tells. Events that have no type
here are `OtherEvent`: a newer containerd may always send more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from google.protobuf.message import DecodeError

from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import event_types_pb2 as pb
from controller.containerd.wire import events_pb2


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have: the containerd namespace, the topic as in `/tasks/exit`, and when it happened."""

    namespace: str
    topic: str
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class OtherEvent(Event):
    """An event that nobody here asks about."""

    type_url: str


@dataclass(frozen=True, slots=True)
class ContainerEvent(Event):
    """An event about one container or its task."""

    container_id: str


@dataclass(frozen=True, slots=True)
class ContainerCreate(ContainerEvent):
    """A container was registered."""

    image: str


@dataclass(frozen=True, slots=True)
class ContainerUpdate(ContainerEvent):
    """A container's record changed; `labels` are all of them after the change."""

    image: str
    labels: Mapping[str, str] = field(hash=False)


@dataclass(frozen=True, slots=True)
class ContainerDelete(ContainerEvent):
    """A container's record is gone."""


@dataclass(frozen=True, slots=True)
class TaskCreate(ContainerEvent):
    """A task was created, not yet started."""

    pid: int


@dataclass(frozen=True, slots=True)
class TaskStart(ContainerEvent):
    """A task runs."""

    pid: int


@dataclass(frozen=True, slots=True)
class TaskExit(ContainerEvent):
    """A process ended: the task's own when `id` is the container's, else an exec's."""

    id: str
    pid: int
    exit_status: int
    exited_at: datetime | None

    @property
    def is_task(self) -> bool:
        """Whether this is the end of the container's own process."""
        return self.id == self.container_id


@dataclass(frozen=True, slots=True)
class TaskDelete(ContainerEvent):
    """A task is gone; `id` is an exec's id when only that went."""

    id: str
    pid: int
    exit_status: int
    exited_at: datetime | None


@dataclass(frozen=True, slots=True)
class TaskOOM(ContainerEvent):
    """The kernel killed something in the container's cgroup for want of memory; not always its first process."""


@dataclass(frozen=True, slots=True)
class TaskPaused(ContainerEvent):
    """A task was frozen."""


@dataclass(frozen=True, slots=True)
class TaskResumed(ContainerEvent):
    """A task was thawed."""


Head = tuple[str, str, datetime | None]


def _container_create(head: Head, value: bytes) -> Event:
    event = pb.ContainerCreate.FromString(value)
    return ContainerCreate(*head, event.id, event.image)


def _container_update(head: Head, value: bytes) -> Event:
    event = pb.ContainerUpdate.FromString(value)
    return ContainerUpdate(*head, event.id, event.image, dict(event.labels))


def _container_delete(head: Head, value: bytes) -> Event:
    return ContainerDelete(*head, pb.ContainerDelete.FromString(value).id)


def _task_create(head: Head, value: bytes) -> Event:
    event = pb.TaskCreate.FromString(value)
    return TaskCreate(*head, event.container_id, event.pid)


def _task_start(head: Head, value: bytes) -> Event:
    event = pb.TaskStart.FromString(value)
    return TaskStart(*head, event.container_id, event.pid)


def _task_exit(head: Head, value: bytes) -> Event:
    event = pb.TaskExit.FromString(value)
    return TaskExit(*head, event.container_id, event.id, event.pid, event.exit_status, to_datetime(event.exited_at))


def _task_delete(head: Head, value: bytes) -> Event:
    event = pb.TaskDelete.FromString(value)
    process = event.id or event.container_id
    return TaskDelete(*head, event.container_id, process, event.pid, event.exit_status, to_datetime(event.exited_at))


def _task_oom(head: Head, value: bytes) -> Event:
    return TaskOOM(*head, pb.TaskOOM.FromString(value).container_id)


def _task_paused(head: Head, value: bytes) -> Event:
    return TaskPaused(*head, pb.TaskPaused.FromString(value).container_id)


def _task_resumed(head: Head, value: bytes) -> Event:
    return TaskResumed(*head, pb.TaskResumed.FromString(value).container_id)


_DECODERS: dict[str, Callable[[Head, bytes], Event]] = {
    "containerd.events.ContainerCreate": _container_create,
    "containerd.events.ContainerUpdate": _container_update,
    "containerd.events.ContainerDelete": _container_delete,
    "containerd.events.TaskCreate": _task_create,
    "containerd.events.TaskStart": _task_start,
    "containerd.events.TaskExit": _task_exit,
    "containerd.events.TaskDelete": _task_delete,
    "containerd.events.TaskOOM": _task_oom,
    "containerd.events.TaskPaused": _task_paused,
    "containerd.events.TaskResumed": _task_resumed,
}


def decode(envelope: events_pb2.Envelope) -> Event:
    """Return the event in an envelope; `OtherEvent` for what is unknown or cannot be read."""
    head = (envelope.namespace, envelope.topic, to_datetime(envelope.timestamp))
    decoder = _DECODERS.get(envelope.event.type_url.rpartition("/")[2])
    if decoder is not None:
        try:
            return decoder(head, envelope.event.value)
        except DecodeError:
            # Whoever cares about this container finds out by the periodic list; one odd event must not end the stream.
            pass
    return OtherEvent(*head, envelope.event.type_url)
