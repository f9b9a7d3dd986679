"""The Tasks service: the process of a container, from the moment its shim is up until it is deleted.

One task a container; further processes in it (`exec`) are told apart by an id of their own. What follows from a state or an exit is not decided here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty

from controller.containerd import errors, mounts
from controller.containerd.caller import DEFAULT_TIMEOUT, Caller, Method
from controller.containerd.mounts import Mount
from controller.containerd.timestamps import to_datetime
from controller.containerd.wire import runc_pb2, task_types_pb2
from controller.containerd.wire import tasks_pb2 as pb

_SERVICE = "containerd.services.tasks.v1.Tasks"
CREATE = Method(_SERVICE, "Create", pb.CreateTaskRequest, pb.CreateTaskResponse)
START = Method(_SERVICE, "Start", pb.StartRequest, pb.StartResponse)
DELETE = Method(_SERVICE, "Delete", pb.DeleteTaskRequest, pb.DeleteResponse)
DELETE_PROCESS = Method(_SERVICE, "DeleteProcess", pb.DeleteProcessRequest, pb.DeleteResponse)
GET = Method(_SERVICE, "Get", pb.GetRequest, pb.GetResponse)
LIST = Method(_SERVICE, "List", pb.ListTasksRequest, pb.ListTasksResponse)
KILL = Method(_SERVICE, "Kill", pb.KillRequest, Empty)
EXEC = Method(_SERVICE, "Exec", pb.ExecProcessRequest, Empty)
PAUSE = Method(_SERVICE, "Pause", pb.PauseTaskRequest, Empty)
RESUME = Method(_SERVICE, "Resume", pb.ResumeTaskRequest, Empty)
UPDATE = Method(_SERVICE, "Update", pb.UpdateTaskRequest, Empty)
WAIT = Method(_SERVICE, "Wait", pb.WaitRequest, pb.WaitResponse)

RESOURCES_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
"""The type URL of the OCI runtime spec's `linux.resources`; its value is JSON."""

PROCESS_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Process"
"""The type URL of the OCI runtime spec's `process`; its value is JSON."""

RUNC_OPTIONS_TYPE = "containerd.runc.v1.Options"

_LEFTOVER = re.compile(
    r"mkdir \S+: file exists|container with given ID already exists|container `\S+` already exists"
    r"|getwd: no such file or directory|runtime\.v2\.task/[^/\s]+/[^/\s]+/(?!rootfs/)[^\s:]+: no such file or directory"
)
"""What Create says, without a code of its own, while containerd still clears away an attempt whose caller has gone: the
directory of the new attempt, which has the same path, may be taken away with it."""

RUNTIME_TIMEOUT = 20.0
"""Seconds for what starts an OCI runtime: on a loaded node runc alone may take seconds."""


class TaskStatus(Enum):
    """containerd's words for the state of a task; STOPPED is one that exited and has not been deleted."""

    UNKNOWN = "Unknown"
    CREATED = "Created"
    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    PAUSING = "Pausing"


_STATUS = {task_types_pb2.Status.Value(status.name): status for status in TaskStatus}


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task; `exit_status` and `exited_at` mean something only when it is stopped."""

    id: str
    status: TaskStatus
    pid: int
    exit_status: int
    exited_at: datetime | None
    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: 128 + n for signal n; 255 also when nobody knows because the shim died."""

    status: int
    exited_at: datetime | None


@dataclass(frozen=True, slots=True)
class RuncOptions:
    """The runc shim's options: which binary it starts, and how (`containerd.runc.v1.Options`)."""

    binary_name: str = ""
    root: str = ""
    systemd_cgroup: bool = False
    no_pivot_root: bool = False
    no_new_keyring: bool = False
    shim_cgroup: str = ""
    io_uid: int = 0
    io_gid: int = 0


class Tasks:
    """The tasks of one containerd namespace, by container id."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def create(
        self,
        container_id: str,
        rootfs: Iterable[Mount],
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
        options: RuncOptions | None = None,
        timeout: float = RUNTIME_TIMEOUT,
    ) -> int:
        """Make the process up to the point where its program would start, and return its pid.

        `stdin`, `stdout` and `stderr` are FIFO paths that are there already, `file://` or `binary://` URLs, or empty for
        /dev/null; with FIFOs, `stdout` and `stderr` must both be given or neither, for the shim opens both. Raises
        `AlreadyExists`, `NotFound` without a container, and `ContainerdError` with the OCI runtime's message when that fails.
        """
        request = pb.CreateTaskRequest(
            container_id=container_id,
            rootfs=mounts.to_wire(rootfs),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
            options=None if options is None else _options(options),
        )
        try:
            return (await self._caller.unary(CREATE, request, timeout)).pid
        except errors.ContainerdError as error:
            if _LEFTOVER.search(error.detail):
                raise errors.AlreadyExists(error.operation, error.detail) from error
            raise

    async def start(self, container_id: str, exec_id: str = "", timeout: float = RUNTIME_TIMEOUT) -> int:
        """Start the program of a created task or further process and return its pid.

        Raises `FailedPrecondition` when it runs already, and `ContainerdError` with the OCI runtime's message when that fails.
        """
        request = pb.StartRequest(container_id=container_id, exec_id=exec_id)
        return (await self._caller.unary(START, request, timeout)).pid

    async def exec(
        self,
        container_id: str,
        exec_id: str,
        process: Mapping[str, Any],
        *,
        stdout: str = "",
        stderr: str = "",
        timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        """Make a further process in a running container, by the OCI runtime spec's `process`; `start` starts it.

        `stdout` and `stderr` are as for `create`. It stays until `delete_process`, also when its start failed. Raises
        `AlreadyExists` when there is one of this id, and `NotFound` without a task.
        """
        encoded = json.dumps(process, separators=(",", ":")).encode()
        request = pb.ExecProcessRequest(
            container_id=container_id,
            exec_id=exec_id,
            stdout=stdout,
            stderr=stderr,
            spec=AnyMessage(type_url=PROCESS_TYPE, value=encoded),
        )
        await self._caller.unary(EXEC, request, timeout)

    async def get(self, container_id: str, timeout: float = DEFAULT_TIMEOUT) -> TaskRecord:
        """Return one task; raises `NotFound`."""
        response = await self._caller.unary(GET, pb.GetRequest(container_id=container_id), timeout)
        return _record(response.process)

    async def list(self) -> tuple[TaskRecord, ...]:
        """Return all tasks of the namespace."""
        response = await self._caller.unary(LIST, pb.ListTasksRequest())
        return tuple(_record(one) for one in response.tasks)

    async def kill(self, container_id: str, signal: int, *, exec_id: str = "", all_processes: bool = False) -> None:
        """Send a signal to the first process, to a further one, or to all of them; raises `NotFound` when it has exited."""
        request = pb.KillRequest(container_id=container_id, exec_id=exec_id, signal=signal, all=all_processes)
        await self._caller.unary(KILL, request)

    async def delete(self, container_id: str, timeout: float = RUNTIME_TIMEOUT) -> Exit:
        """Delete a task that is stopped or was never started, its shim with it, and return how it ended.

        Raises `FailedPrecondition` while it runs and `NotFound` when there is none. After a delete that timed out, the shim
        may have forgotten the process while containerd has not forgotten the shim: the first delete then answers NotFound
        and only a second one ends the shim (containerd issues 7496 and 8931). So NotFound is believed the second time.
        """
        request = pb.DeleteTaskRequest(container_id=container_id)
        try:
            response = await self._caller.unary(DELETE, request, timeout)
        except errors.NotFound:
            response = await self._caller.unary(DELETE, request, timeout)
        return Exit(response.exit_status, to_datetime(response.exited_at))

    async def delete_process(self, container_id: str, exec_id: str, timeout: float = RUNTIME_TIMEOUT) -> Exit:
        """Delete a further process that has ended or was never started, and return how it ended.

        Raises `FailedPrecondition` while it runs and `NotFound` when there is none.
        """
        request = pb.DeleteProcessRequest(container_id=container_id, exec_id=exec_id)
        response = await self._caller.unary(DELETE_PROCESS, request, timeout)
        return Exit(response.exit_status, to_datetime(response.exited_at))

    async def wait(self, container_id: str, exec_id: str = "", timeout: float | None = None) -> Exit:
        """Return how the task or the further process ends, once it does; it may be called before the start, and must not be for a fast exit.

        Waits for as long as it takes unless there is a `timeout` in seconds. Raises `Unavailable` when containerd goes away.
        """
        response = await self._caller.unary(WAIT, pb.WaitRequest(container_id=container_id, exec_id=exec_id), timeout)
        return Exit(response.exit_status, to_datetime(response.exited_at))

    async def pause(self, container_id: str) -> None:
        """Freeze all processes; they stay frozen until `resume`."""
        await self._caller.unary(PAUSE, pb.PauseTaskRequest(container_id=container_id))

    async def resume(self, container_id: str) -> None:
        """Thaw all processes."""
        await self._caller.unary(RESUME, pb.ResumeTaskRequest(container_id=container_id))

    async def update(self, container_id: str, resources: Mapping[str, Any], timeout: float = RUNTIME_TIMEOUT) -> None:
        """Apply the OCI runtime spec's `linux.resources` to a running task; what it does not name stays as it is."""
        encoded = json.dumps(resources, separators=(",", ":")).encode()
        request = pb.UpdateTaskRequest(
            container_id=container_id, resources=AnyMessage(type_url=RESOURCES_TYPE, value=encoded)
        )
        await self._caller.unary(UPDATE, request, timeout)


def _options(options: RuncOptions) -> AnyMessage:
    message = runc_pb2.Options(
        binary_name=options.binary_name,
        root=options.root,
        systemd_cgroup=options.systemd_cgroup,
        no_pivot_root=options.no_pivot_root,
        no_new_keyring=options.no_new_keyring,
        shim_cgroup=options.shim_cgroup,
        io_uid=options.io_uid,
        io_gid=options.io_gid,
    )
    return AnyMessage(type_url=RUNC_OPTIONS_TYPE, value=message.SerializeToString())


def _record(process: task_types_pb2.Process) -> TaskRecord:
    return TaskRecord(
        # Get names the task in `id`; List of 1.6 leaves `container_id` empty as well.
        id=process.id,
        status=_STATUS.get(process.status, TaskStatus.UNKNOWN),
        pid=process.pid,
        exit_status=process.exit_status,
        exited_at=to_datetime(process.exited_at),
        stdin=process.stdin,
        stdout=process.stdout,
        stderr=process.stderr,
        terminal=process.terminal,
    )
