"""The process of a container that was started: signalled, frozen, limited, and its end taken down.

Every function is idempotent and safe to repeat after a crash at any line. Decides nothing.
"""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controller.agent import cgroups, exit_record, identity
from controller.agent.actions import RecordExit, RecordFailedStart
from controller.agent.decision import is_ahead
from controller.agent.identity import ExitRecord, StopCause, StopMark
from controller.agent.node import Node
from controller.agent.observation import ObservedContainer, TaskState
from controller.agent.observed import ObservedStore
from controller.agent.settings import Settings
from controller.agent.streams.hub import Streams
from controller.api.container import ContainerSpec
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError
from controller.oci import resources, start_errors


class Processes:
    """Processes of this node's containers."""

    def __init__(
        self,
        *,
        containerd: Containerd,
        observed: ObservedStore,
        node: Node,
        streams: Streams,
        settings: Settings,
        cgroup_root: Path = cgroups.ROOT,
    ) -> None:
        self._containerd = containerd
        self._observed = observed
        self._node = node
        self._streams = streams
        self._settings = settings
        self._cgroup_root = cgroup_root

    async def remember_stop(
        self, container_id: str, cause: StopCause, *, by: int | None = None, because: str = ""
    ) -> None:
        """Write down that, when and why the container is to stop, and whether by SIGKILL."""
        now = datetime.now(UTC)
        await self._mark(container_id, StopMark(cause, now, now if by == signal.SIGKILL else None, because))

    async def _mark(self, container_id: str, mark: StopMark) -> None:
        await self._containerd.containers.update_labels(container_id, identity.stop_label(mark))
        self._observed.change(container_id, stop=mark)

    async def _remember_kill(self, container_id: str) -> None:
        """Write down, before SIGKILL is sent, that it is."""
        known = self._observed.get(container_id)
        if known is not None and known.stop is not None and known.stop.killed_at is None:
            await self._mark(container_id, replace(known.stop, killed_at=datetime.now(UTC)))

    async def signal(self, container_id: str, number: int) -> None:
        """Send a signal to the first process; that it has ended already is fine."""
        if number == signal.SIGKILL:
            await self._remember_kill(container_id)
        try:
            await self._containerd.tasks.kill(container_id, number)
        except (errors.NotFound, errors.FailedPrecondition):
            await self._observed.refresh(container_id)
        except ContainerdError as error:
            if start_errors.missing_runtime(error.detail) is not None:
                # It was surely not sent: the grace period begins when it is.
                await self._containerd.containers.update_labels(container_id, {identity.STOP: ""})
                self._observed.change(container_id, stop=None)
            raise
        else:
            self._observed.change(container_id, signalled=True)

    async def kill(self, container_id: str) -> None:
        """Send SIGKILL to every process; that they have ended already is fine."""
        await self._remember_kill(container_id)
        self._observed.change(container_id, killed_at=datetime.now(UTC))
        try:
            await self._containerd.tasks.kill(container_id, signal.SIGKILL, all_processes=True)
        except (errors.NotFound, errors.FailedPrecondition):
            await self._observed.refresh(container_id)
        except ContainerdError as error:
            if not error.transient:
                self._observed.change(container_id, killed_at=None)
            raise

    async def pause(self, container_id: str) -> None:
        """Freeze the processes."""
        await self._containerd.tasks.pause(container_id)
        await self._observed.refresh(container_id)

    async def resume(self, container_id: str) -> None:
        """Thaw the processes."""
        await self._containerd.tasks.resume(container_id)
        await self._observed.refresh(container_id)

    async def update_resources(self, current: ObservedContainer, wanted: ContainerSpec, digest: str) -> None:
        """Apply the limits to the process if there is one, and keep them for the next one."""
        if current.task is not None and current.task.state in (TaskState.RUNNING, TaskState.PAUSED):
            await self._containerd.tasks.update(current.id, resources.update(wanted, self._node.facts))
        record = await self._containerd.containers.get(current.id)
        document = _with_resources(record.spec, resources.limits(wanted, self._node.facts))
        await self._containerd.containers.update_spec(current.id, document)
        await self._containerd.containers.update_labels(current.id, {identity.RESOURCES: digest})
        self._observed.change(current.id, resources=digest)

    async def record_exit(self, current: ObservedContainer, action: RecordExit, *, init: bool) -> None:
        """Write down how the process ended, with what it printed last if it failed. What it held is freed by `free`.

        With `init`, the runtime starts the init, and that it could not start the command shows in its exit code alone.
        """
        output = await self._streams.drained(current)
        oom_kills = await self._oom_kills(current)
        record = exit_record.of_process(current, action, output, oom_kills=oom_kills, init=init, now=datetime.now(UTC))
        if action.vanished:
            self._streams.release(current.id)
        await self._containerd.containers.update_labels(current.id, identity.exit_label(record))
        self._observed.change(current.id, exit=record)

    async def _oom_kills(self, current: ObservedContainer) -> int:
        path = cgroups.path_of(self._node.facts.cgroup_parent, self._settings.containerd_namespace, current.id)
        return await asyncio.to_thread(cgroups.oom_kills, path, self._cgroup_root)

    async def record_failed_start(self, action: RecordFailedStart) -> None:
        """Write down a start that failed as an end."""
        record = ExitRecord(
            action.code, None, action.at, False, action.reason, action.message, short_runs=action.short_runs
        )
        await self._containerd.containers.update_labels(action.id, identity.exit_label(record))
        self._observed.change(action.id, exit=record)

    async def correct_times(self, current: ObservedContainer) -> None:
        """Put the present for what lies ahead, in the labels and in memory."""
        now = datetime.now(UTC)
        labels: dict[str, str] = {}
        changed: dict[str, Any] = {}
        if current.stop is not None and is_ahead(current.stop.at, now):
            changed["stop"] = replace(current.stop, at=now, killed_at=now if current.stop.killed_at else None)
            labels |= identity.stop_label(changed["stop"])
        if current.exit is not None and current.task is None and is_ahead(current.exit.finished_at, now):
            changed["exit"] = replace(current.exit, finished_at=now)
            labels |= identity.exit_label(changed["exit"])
        if is_ahead(current.killed_at, now):
            changed["killed_at"] = None
        if is_ahead(current.started_at, now):
            changed["started_at"] = now
        if labels:
            await self._containerd.containers.update_labels(current.id, labels)
        self._observed.change(current.id, **changed)

    async def free(self, container_id: str) -> None:
        """Delete the ended process with its shim; its root filesystem stays."""
        try:
            await self._containerd.tasks.delete(container_id)
        except errors.NotFound:
            pass
        self._streams.release(container_id)
        self._observed.change(container_id, task=None, shim_unsure=False)


def _with_resources(document: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """The runtime spec with these limits; its device rules stay."""
    linux = dict(document.get("linux", {}))
    devices = linux.get("resources", {}).get("devices", [])
    linux["resources"] = {"devices": devices, **limits}
    return {**document, "linux": linux}
