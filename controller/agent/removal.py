"""Tear-down: the process, the root filesystem and at last the record of a container. Goes on past errors and reports all.

The record goes last, for as long as it is there nothing that hangs on it can be forgotten.
"""

from collections.abc import Awaitable

from controller import log
from controller.agent.observation import TaskState
from controller.agent.observed import ObservedStore
from controller.agent.streams.hub import Streams
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError, FailedPrecondition, NotFound

_SIGKILL = 9
_log = log.get(__name__)


class TearDownError(Exception):
    """Some of what a container holds could not be released; the text names all of it."""

    def __init__(self, container_id: str, problems: list[ContainerdError]) -> None:
        super().__init__(f"container {container_id[:12]}: " + "; ".join(str(problem) for problem in problems))
        self.problems = problems


class Remover:
    """Removes containers."""

    def __init__(self, containerd: Containerd, observed: ObservedStore, streams: Streams, snapshotter: str) -> None:
        self._containerd = containerd
        self._observed = observed
        self._streams = streams
        self._snapshotter = snapshotter

    async def remove(self, container_id: str) -> None:
        """Remove a container whose process does not run, and everything made for it. What is gone already counts as removed.

        Raises:
            FailedPrecondition: its process runs; stop it first.
            TearDownError: something could not be released; the record is kept, so that it is tried again.
        """
        known = self._observed.get(container_id)
        if known is not None and known.task is not None and known.task.state in (TaskState.RUNNING, TaskState.PAUSED):
            raise FailedPrecondition(
                "Tasks.Delete", f"container {container_id[:12]} runs; stop it before it is removed"
            )
        problems: list[ContainerdError] = []
        # Also where no process is known: a deletion that was cut short leaves a shim that containerd does not list.
        await _attempt(self._containerd.tasks.delete(container_id), problems)
        await _attempt(self._containerd.snapshots.remove(self._snapshotter, container_id), problems)
        if not problems:
            await _attempt(self._containerd.containers.delete(container_id), problems)
        if problems:
            await self._observed.refresh(container_id)
            raise TearDownError(container_id, problems)
        self._streams.release(container_id)
        self._observed.drop(container_id)

    async def clear(self, container_id: str) -> None:
        """Remove whatever has this id, running or not: left over from elsewhere, and in the way of a new container."""
        _log.warning("a stale container is cleared away", container=container_id)
        try:
            await self._containerd.tasks.kill(container_id, _SIGKILL, all_processes=True)
            await self._containerd.tasks.wait(container_id, timeout=10.0)
        except (errors.NotFound, errors.FailedPrecondition):
            pass
        await self.remove(container_id)


async def _attempt(step: Awaitable[object], problems: list[ContainerdError]) -> None:
    try:
        await step
    except NotFound:
        pass
    except ContainerdError as error:
        problems.append(error)
