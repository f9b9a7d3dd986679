"""The start of a container's process: its root filesystem, the process, the proof of its mounts; or why it can't be.

Every function is idempotent and safe to repeat after a crash at any line. Decides nothing.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from controller.agent import history, hostpaths, identity
from controller.agent.actions import Again
from controller.agent.failures import StartFailed
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
from controller.oci import start_errors


class Starter:
    """Starts processes of this node's containers."""

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
    ) -> None:
        self._containerd = containerd
        self._observed = observed
        self._node = node
        self._runtimes = runtimes
        self._streams = streams
        self._policy = policy
        self._settings = settings

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
        if current.restarts:
            try:
                return await snapshots.mounts(snapshotter, current.id)
            except errors.NotFound:
                pass  # somebody has removed it
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
