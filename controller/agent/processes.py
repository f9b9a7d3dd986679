"""The process of a container: started, signalled, frozen, limited, and its end taken down.

Every function is idempotent and safe to repeat after a crash at any line. Decides nothing.
"""

import asyncio
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from controller.agent import cgroups, exit_record, history, hostpaths, identity
from controller.agent.actions import Again, RecordExit, RecordFailedStart
from controller.agent.decision import is_ahead
from controller.agent.failures import StartFailed
from controller.agent.identity import ExitRecord, StopCause, StopMark
from controller.agent.node import Node
from controller.agent.observation import ObservedContainer, ObservedTask, TaskState, past_ends
from controller.agent.observed import ObservedStore
from controller.agent.policy import Permits, PolicyKeeper
from controller.agent.runtimes import Runtimes
from controller.agent.settings import Settings
from controller.agent.streams.hub import Streams
from controller.api.container import ContainerSpec
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError
from controller.containerd.mounts import Mount
from controller.oci import resources, start_errors


class Processes:
    """Processes of this node's containers."""

    def __init__(
        self,
        *,
        containerd: Containerd,
        observed: ObservedStore,
        node: Node,
        runtimes: Runtimes,
        streams: Streams,
        policy: PolicyKeeper,
        settings: Settings,
        cgroup_root: Path = cgroups.ROOT,
    ) -> None:
        self._containerd = containerd
        self._observed = observed
        self._node = node
        self._runtimes = runtimes
        self._streams = streams
        self._policy = policy
        self._settings = settings
        self._cgroup_root = cgroup_root

    async def start(self, current: ObservedContainer, wanted: ContainerSpec, *, again: Again | None) -> None:
        """Make the root filesystem and the process, and start it; running already is fine.

        Raises:
            StartFailed: the runtime says no, with its reason explained.
            ContainerdError: containerd could not be asked.
        """
        if current.task is not None and current.task.state is TaskState.PAUSED:
            raise errors.FailedPrecondition("Tasks.Start", "the container is paused; unpause it instead")
        if again is not None:
            current = await self._begin_again(current, again)
        elif current.boot_id != self._node.boot_id:
            await self._containerd.containers.update_labels(current.id, {identity.BOOT_ID: self._node.boot_id})
            self._observed.change(current.id, boot_id=self._node.boot_id)
        try:
            if current.task is None:
                await self._create(current, wanted)
            if current.task is None or current.task.state is TaskState.CREATED:
                # Also when an agent that was killed had made it: nobody knows whether that one came to confirm it.
                await self._confirm_mounts(current, wanted)
            # Before the call: a process may have ended when that returns, and none ends before it began.
            began = datetime.now(UTC)
            pid = await self._containerd.tasks.start(current.id)
        except ContainerdError as error:
            await self._explain(current, error)
        else:
            self._observed.change(
                current.id,
                task=ObservedTask(TaskState.RUNNING, pid),
                started_at=began,
                signalled=False,
                killed_at=None,
            )

    async def _begin_again(self, current: ObservedContainer, again: Again) -> ObservedContainer:
        """Forget the last end and stop, and count the restart, before anything is started."""
        ends = history.remembered(past_ends(current))
        labels = {
            identity.EXIT: "",
            identity.STOP: "",
            identity.RESTARTS: str(current.restarts + 1),
            identity.RETRIES: str(again.retries),
            identity.SHORT_RUNS: str(again.short_runs),
            identity.RESTARTED_AT: again.restarted_at,
            identity.BOOT_ID: self._node.boot_id,
            **identity.history_label(ends),
        }
        await self._containerd.containers.update_labels(current.id, labels)
        fresh = replace(
            current,
            exit=None,
            stop=None,
            restarts=current.restarts + 1,
            retries=again.retries,
            short_runs=again.short_runs,
            restarted_at=again.restarted_at,
            boot_id=self._node.boot_id,
            history=ends,
            started_at=None,
            signalled=False,
            killed_at=None,
        )
        self._observed.put(fresh)
        return fresh

    async def _create(self, current: ObservedContainer, wanted: ContainerSpec) -> None:
        runtime = self._runtimes.find(current.runtime_name)
        rootfs = await self._rootfs(current)
        try:
            await self._create_task(current, rootfs, wanted, runtime.options)
        except errors.AlreadyExists:
            if await self._is_created(current.id):
                return
            # Not `free`: a shim that is being made just now must find its pipes as they are.
            await self._delete(current.id)
            await self._create_task(current, rootfs, wanted, runtime.options)

    async def _is_created(self, container_id: str) -> bool:
        """Whether the process waits for its start. None can be found, too: its deletion was cut short, and the shim is left."""
        try:
            task = await self._containerd.tasks.get(container_id)
        except errors.NotFound:
            return False
        return task.status.value == TaskState.CREATED

    async def _create_task(
        self, current: ObservedContainer, rootfs: tuple[Mount, ...], wanted: ContainerSpec, options: Any
    ) -> None:
        stdio = self._streams.prepare(current, wanted.logging.driver, tty=wanted.tty)
        await self._containerd.tasks.create(
            current.id, rootfs, stdout=stdio.stdout, stderr=stdio.stderr, terminal=wanted.tty, options=options
        )

    async def _confirm_mounts(self, current: ObservedContainer, wanted: ContainerSpec) -> None:
        """Make sure that nobody exchanged a mount's source between the check and the mount, and that the policy allows it now.

        Raises:
            HostPathError: somebody did; the process, which has not run yet, is taken back.
        """
        if not wanted.mounts:
            return
        task = await self._containerd.tasks.get(current.id)
        permit, root = Permits(self._policy.grants(current.key[0]), wanted).mount, self._settings.host_root
        try:
            for index, mount in enumerate(wanted.mounts):
                field = f"spec.mounts[{index}]"
                resolved = hostpaths.resolve_mount(mount, field=field, permit=permit, host_root=root)
                hostpaths.confirm_mount(resolved, field=field, pid=task.pid)
        except hostpaths.HostPathError:
            await self._containerd.tasks.delete(current.id)
            self._streams.release(current.id)
            self._observed.change(current.id, task=None)
            raise

    async def _rootfs(self, current: ObservedContainer) -> tuple[Mount, ...]:
        """The writable root filesystem: made on the first start, kept for later ones."""
        snapshots, snapshotter = self._containerd.snapshots, self._settings.snapshotter
        try:
            return await snapshots.prepare(snapshotter, current.id, current.chain_id)
        except errors.AlreadyExists:
            return await snapshots.mounts(snapshotter, current.id)

    async def _explain(self, current: ObservedContainer, error: ContainerdError) -> None:
        """Take back the process that could not be started, and say why; raises in every case but one: it runs after all.

        What is still being cleared away of an attempt that was cut short is no fault of the container: it is tried again.
        """
        passing = error.transient or isinstance(error, errors.AlreadyExists)
        if passing or not error.operation.startswith("Tasks."):
            raise error
        fresh = await self._observed.refresh(current.id)
        if fresh is not None and fresh.task is not None and fresh.task.state is not TaskState.CREATED:
            return
        if fresh is not None and fresh.task is not None:
            await self._containerd.tasks.delete(current.id)
            self._observed.change(current.id, task=None)
        self._streams.release(current.id)
        explained = start_errors.explain(error.detail)
        if isinstance(error, errors.NotFound) and explained.reason is Reason.START_ERROR:
            # Not the program or the runtime, but what the process was to be made from, has gone meanwhile: look again.
            raise error
        gone = start_errors.missing_runtime(error.detail) if explained.reason is Reason.RUNTIME_MISSING else None
        if gone is not None and await self._runtimes.is_there(gone):
            # The same words for a directory that was taken away under the program: containerd was still clearing it.
            raise error
        raise StartFailed(explained) from error

    async def _delete(self, container_id: str) -> None:
        try:
            await self._containerd.tasks.delete(container_id)
        except errors.NotFound:
            pass

    async def remember_stop(self, container_id: str, cause: StopCause, *, by: int | None = None) -> None:
        """Write down that, when and why the container is to stop, and whether by SIGKILL."""
        now = datetime.now(UTC)
        await self._mark(container_id, StopMark(cause, now, killed_at=now if by == signal.SIGKILL else None))

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
        await self._delete(container_id)
        self._streams.release(container_id)
        self._observed.change(container_id, task=None, shim_unsure=False)


def _with_resources(document: Mapping[str, Any], limits: Mapping[str, Any]) -> dict[str, Any]:
    """The runtime spec with these limits; its device rules stay."""
    linux = dict(document.get("linux", {}))
    devices = linux.get("resources", {}).get("devices", [])
    linux["resources"] = {"devices": devices, **limits}
    return {**document, "linux": linux}
