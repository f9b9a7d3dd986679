"""The tests' own view of a node: containerd asked directly, and what the kernel has of its containers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message

from controller.containerd.wire import containers_pb2, leases_pb2, snapshots_pb2, task_types_pb2, tasks_pb2
from hack import lab
from hack.lab import leftovers
from tests.e2e import waiting

LABEL = "tallyman.dev/"
CGROUPS = Path("/sys/fs/cgroup")
CALL_SECONDS = 10.0
CLEAN_SECONDS = 20.0
_QUICK = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 300)]


@dataclass(frozen=True)
class Registered:
    """A container that containerd has registered."""

    id: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def object(self) -> str:
        """The name of the object that it belongs to."""
        return self.labels.get(f"{LABEL}name", "")

    @property
    def namespace(self) -> str:
        return self.labels.get(f"{LABEL}namespace", "")

    @property
    def uid(self) -> str:
        return self.labels.get(f"{LABEL}uid", "")


@dataclass(frozen=True)
class Task:
    """A process that containerd knows."""

    id: str
    pid: int
    state: str


class Node:
    """One containerd, seen from outside."""

    def __init__(self, containerd: lab.Containerd) -> None:
        self.containerd = containerd
        self._channel = grpc.insecure_channel(f"unix://{containerd.address}", options=_QUICK)
        self._metadata = (("containerd-namespace", containerd.namespace),)
        self._given_up: set[str] = set()

    def close(self) -> None:
        self._channel.close()

    def containers(self, namespace: str = "") -> dict[str, Registered]:
        """What is registered, by id; of one Kubernetes namespace or of all."""
        answer = self._call(
            "containers", "Containers", containers_pb2.ListContainersRequest(), containers_pb2.ListContainersResponse
        )
        found = [Registered(one.id, dict(one.labels), json.loads(one.spec.value or b"{}")) for one in answer.containers]
        return {one.id: one for one in found if namespace in ("", one.namespace)}

    def of(self, namespace: str, name: str) -> list[Registered]:
        """The containers of one object."""
        return [one for one in self.containers(namespace).values() if one.object == name]

    def has(self, container_id: str) -> bool:
        """Whether containerd has this very container registered now."""
        return container_id in self.containers()

    def register(self, container: containers_pb2.Container) -> None:
        """Register a container behind the agent's back."""
        container.runtime.name = "io.containerd.runc.v2"
        container.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
        container.spec.value = b"{}"
        method = self._channel.unary_unary(
            "/containerd.services.containers.v1.Containers/Create",
            request_serializer=containers_pb2.CreateContainerRequest.SerializeToString,
            response_deserializer=containers_pb2.CreateContainerResponse.FromString,
        )
        request = containers_pb2.CreateContainerRequest(container=container)
        method(request, metadata=self._metadata, timeout=CALL_SECONDS)

    def tasks(self) -> dict[str, Task]:
        answer = self._call("tasks", "Tasks", tasks_pb2.ListTasksRequest(), tasks_pb2.ListTasksResponse)
        return {one.id: Task(one.id, one.pid, task_types_pb2.Status.Name(one.status)) for one in answer.tasks}

    def processes(self) -> dict[str, Task]:
        """The tasks once no ended one is left: an end is told in the status first, and then what it held is freed."""
        waiting.until(
            lambda: all(task.state != "STOPPED" for task in self.tasks().values()),
            "ended processes freed",
            seen=self.tasks,
        )
        return self.tasks()

    def leases(self) -> list[str]:
        answer = self._call("leases", "Leases", leases_pb2.ListRequest(), leases_pb2.ListResponse)
        return [one.id for one in answer.leases]

    def snapshots(self) -> list[str]:
        """The snapshots that are not finished layers of images: root filesystems, and what was not finished."""
        stream = self._channel.unary_stream(
            "/containerd.services.snapshots.v1.Snapshots/List",
            request_serializer=snapshots_pb2.ListSnapshotsRequest.SerializeToString,
            response_deserializer=snapshots_pb2.ListSnapshotsResponse.FromString,
        )
        request = snapshots_pb2.ListSnapshotsRequest(snapshotter="overlayfs")
        found = [
            one
            for part in stream(request, metadata=self._metadata, timeout=CALL_SECONDS, wait_for_ready=True)
            for one in part.info
        ]
        return [one.name for one in found if one.kind != snapshots_pb2.Kind.COMMITTED]

    def shims(self) -> list[int]:
        return [process.pid for process in leftovers.shims(self.containerd.address)]

    def mounts(self) -> list[Path]:
        return leftovers.mounts_below([self.containerd.directory, self.containerd.sockets])

    def fifos(self) -> list[Path]:
        """All but the pipe `log` in a task's directory: a shim whose making was cut short may make it once more, too late.

        It is containerd's own, which takes it away at its next start.
        """
        own = [path for path in self.containerd.sockets.rglob("*") if path.is_fifo()]
        return [path for path in own if not (path.name == "log" and "io.containerd.runtime.v2.task" in path.parts)]

    def cgroups(self) -> list[Path]:
        """The cgroups of containers."""
        return sorted(CGROUPS.glob(f"*/tallyman/{self.containerd.namespace}/*/")) + sorted(
            CGROUPS.glob(f"tallyman/{self.containerd.namespace}/*/")
        )

    def cgroup_file(self, container_id: str, v1: str, v2: str) -> str:
        """The content of a file of a container's cgroup: `v1` is controller/file, `v2` the file of the unified hierarchy."""
        controller, name = v1.split("/")
        within = Path("tallyman") / self.containerd.namespace / container_id
        old = CGROUPS / controller / within / name
        return (old if old.exists() else CGROUPS / within / v2).read_text().strip()

    def left(self) -> list[str]:
        """All that a node without containers must not have."""
        found: dict[str, Callable[[], Any]] = {
            "container": self.containers,
            "task": self.tasks,
            "snapshot": self.snapshots,
            "lease": self.leases,
            "shim": self.shims,
            "mount": self.mounts,
            "cgroup": self.cgroups,
            "fifo": self.fifos,
        }
        left = [f"{kind} {one}" for kind, look in found.items() for one in look()]
        return [one for one in left if one not in self._given_up]

    def wait_clean(self) -> None:
        """Wait until nothing is left on the node but images. What one test left fails that test and none that follow."""
        try:
            waiting.empty(self.left, "the node clean", seconds=CLEAN_SECONDS)
        finally:
            self._given_up.update(self.left())

    def _call(self, service: str, name: str, request: Message, response: Any) -> Any:
        method = self._channel.unary_unary(
            f"/containerd.services.{service}.v1.{name}/List",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return method(request, metadata=self._metadata, timeout=CALL_SECONDS, wait_for_ready=True)
