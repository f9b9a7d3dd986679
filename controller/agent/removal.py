"""Tear-down: the process, the root filesystem and at last the record of a container. Goes on past errors and reports all.

The record goes last, for as long as it is there nothing that hangs on it can be forgotten.
"""

import asyncio
from collections.abc import Awaitable, Callable

from controller import log
from controller.agent.observation import TaskState
from controller.agent.observed import ObservedStore
from controller.agent.remains import Remains
from controller.agent.streams.hub import Streams
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError, FailedPrecondition, NotFound
from controller.oci import start_errors

_SIGKILL = 9
_IN_USE = (TaskState.RUNNING, TaskState.PAUSED)
_log = log.get(__name__)


class TearDownError(Exception):
    """Some of what a container holds could not be released; the text names all of it."""

    def __init__(self, container_id: str, problems: list[ContainerdError]) -> None:
        super().__init__(f"container {container_id[:12]}: " + "; ".join(str(problem) for problem in problems))
        self.problems = problems


class Remover:
    """Removes containers."""

    def __init__(
        self,
        *,
        containerd: Containerd,
        observed: ObservedStore,
        streams: Streams,
        remains: Remains,
        snapshotter: str,
        end_shim: Callable[[str], None],
    ) -> None:
        self._containerd = containerd
        self._observed = observed
        self._streams = streams
        self._remains = remains
        self._snapshotter = snapshotter
        self._end_shim = end_shim

    async def remove(self, container_id: str) -> None:
        """Remove a container that is not in use, and everything made for it. What is gone already counts as removed.

        Raises:
            FailedPrecondition: it is in use; stop it first.
            TearDownError: something could not be released; the record is kept, so that it is tried again.
        """
        known = self._observed.get(container_id)
        if known is not None and known.task is not None and known.task.state in _IN_USE:
            raise _in_use(container_id)
        problems: list[ContainerdError] = []
        await self._delete_process(container_id, problems)
        await _attempt(self._containerd.snapshots.remove(self._snapshotter, container_id), problems)
        if not problems:
            await asyncio.to_thread(self._remains.clear, container_id)
            await _attempt(self._containerd.containers.delete(container_id), problems)
        if problems:
            await self._observed.refresh(container_id)
            raise TearDownError(container_id, problems)
        self._streams.release(container_id)
        self._observed.drop(container_id)

    async def _delete_process(self, container_id: str, problems: list[ContainerdError]) -> None:
        """Delete the process. Nothing more is touched unless it is sure that none runs, whatever was known of it before.

        It is tried also where none is known: a deletion that was cut short leaves a shim that containerd does not list.

        Raises:
            FailedPrecondition: it runs.
            Unavailable: it has ended, and so was its shim, which without its OCI runtime can't delete it; containerd now does.
        """
        try:
            await self._containerd.tasks.delete(container_id)
        except NotFound:
            if await asyncio.to_thread(self._remains.live, container_id):
                raise _in_use(container_id) from None
        except ContainerdError as error:
            fresh = await self._observed.refresh(container_id)
            if fresh is not None and fresh.task is not None and fresh.task.state is not TaskState.STOPPED:
                raise _in_use(container_id) from error
            if start_errors.missing_runtime(error.detail) is None:
                problems.append(error)
                return
            await asyncio.to_thread(self._end_shim, container_id)
            raise errors.Unavailable("Tasks.Delete", f"{error.detail}; its shim was ended instead") from error

    async def clear(self, container_id: str) -> None:
        """Remove whatever has this id, running or not: left over from elsewhere, and in the way of a new container."""
        _log.warning("a stale container is cleared away", container=container_id)
        try:
            await self._containerd.tasks.kill(container_id, _SIGKILL, all_processes=True)
            await self._containerd.tasks.wait(container_id, timeout=10.0)
        except (errors.NotFound, errors.FailedPrecondition):
            pass
        await self.remove(container_id)


def _in_use(container_id: str) -> FailedPrecondition:
    """The one refusal of a removal that nobody has forced by a stop before."""
    return FailedPrecondition("Tasks.Delete", f"container {container_id[:12]} runs; stop it before it is removed")


async def _attempt(step: Awaitable[object], problems: list[ContainerdError]) -> None:
    try:
        await step
    except NotFound:
        pass
    except ContainerdError as error:
        problems.append(error)
