"""The exec check: a command as a further process of the container, ended in time, and nothing of it left.

A container has one such process at most, always under the same id. So what an agent that was killed has left of its last check is found
by the next one, and cleared away.
"""

import asyncio
import os
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from controller.agent.checks.answer import Answer, CannotAsk
from controller.agent.checks.output import Output
from controller.agent.checks.state import TIMED_OUT
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError
from controller.containerd.tasks import Exit
from controller.oci import start_errors

EXEC_ID: Final = "health"
STARTS_AT_ONCE: Final = 4
"""A start runs the OCI runtime, which costs more than most commands; that they run is not limited."""
_END_SECONDS: Final = 5.0
_CLEARINGS: Final = 5
_CLEARING_SECONDS: Final = 0.1
_OUTPUT_SECONDS: Final = 0.5


class Commands:
    """Runs commands in containers."""

    def __init__(self, containerd: Containerd, directory: Path) -> None:
        self._tasks = containerd.tasks
        self._containers = containerd.containers
        self._directory = directory
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)

    async def run(self, container_id: str, command: Sequence[str], seconds: float) -> Answer:
        """Run a command to its end, or for so many seconds from its start; then it is killed.

        Raises:
            CannotAsk: containerd could not be asked, or the container is gone.
        """
        try:
            # NB: a path of its own: what is left of a check before may still open the one that it was given.
            with Output(self._directory / f"{container_id[:16]}.{secrets.token_hex(4)}") as output:
                try:
                    return await self._run(container_id, command, seconds, output)
                finally:
                    await self._clear(container_id)
        except ContainerdError as error:
            raise CannotAsk(str(error)) from error

    async def _run(self, container_id: str, command: Sequence[str], seconds: float, output: Output) -> Answer:
        # NB: a start is not given up halfway, for it might leave anything; who gives up the check waits for it.
        starting = asyncio.create_task(self._begin(container_id, command, output))
        try:
            pid, waiting = await asyncio.shield(starting)
        except ContainerdError as error:
            return _explained(error)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            raise
        try:
            async with asyncio.timeout(seconds):
                ended = await asyncio.shield(waiting)
        except TimeoutError:
            await self._kill(container_id, pid, waiting)
            return Answer(TIMED_OUT, f"not done within {seconds:g} s\n{output.text}".strip())
        except asyncio.CancelledError:
            await self._kill(container_id, pid, waiting)
            raise
        finally:
            waiting.cancel()
        await output.ended(_OUTPUT_SECONDS)
        return Answer(ended.status, output.text)

    async def _begin(
        self, container_id: str, command: Sequence[str], output: Output
    ) -> "tuple[int, asyncio.Task[Exit]]":
        """Start the command; its pid, and how to hear of its end."""
        process = await self._process(container_id, command)
        async with self._starts:
            await self._make(container_id, process, output)
            waiting = asyncio.create_task(self._tasks.wait(container_id, EXEC_ID))
            waiting.add_done_callback(_noted)
            try:
                return await self._tasks.start(container_id, EXEC_ID), waiting
            except BaseException:
                waiting.cancel()
                raise

    async def _process(self, container_id: str, command: Sequence[str]) -> Mapping[str, Any]:
        """What the container's own process is, with another command."""
        spec = (await self._containers.get(container_id)).spec
        return {**spec.get("process", {}), "args": list(command), "terminal": False}

    async def _make(self, container_id: str, process: Mapping[str, Any], output: Output) -> None:
        stdout, stderr = map(str, output.paths)
        for _ in range(_CLEARINGS):
            try:
                return await self._tasks.exec(container_id, EXEC_ID, process, stdout=stdout, stderr=stderr)
            except errors.AlreadyExists:
                # NB: one that an agent was making when it was killed may be there, and not be there to be deleted yet.
                await self._clear(container_id)
                await asyncio.sleep(_CLEARING_SECONDS)
        raise CannotAsk("the command of the check before is still there")

    async def _kill(self, container_id: str, pid: int, waiting: "asyncio.Task[Exit]") -> None:
        """Kill the command with its children, and wait until it has ended; in a frozen container it does not."""
        _kill_group(container_id, pid)
        with suppress(ContainerdError):
            await self._tasks.kill(container_id, signal.SIGKILL, exec_id=EXEC_ID)
        with suppress(ContainerdError, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.shield(waiting)

    async def _clear(self, container_id: str) -> None:
        """Have containerd forget the command; one that still runs is killed. What can't be cleared now is with the next check."""
        with suppress(errors.NotFound):
            try:
                await self._tasks.delete_process(container_id, EXEC_ID)
            except errors.NotFound:
                pass
            except ContainerdError:
                await self._tasks.kill(container_id, signal.SIGKILL, exec_id=EXEC_ID)
                with suppress(ContainerdError):
                    await self._tasks.wait(container_id, EXEC_ID, timeout=_END_SECONDS)
                    await self._tasks.delete_process(container_id, EXEC_ID)


def _noted(waiting: "asyncio.Task[Exit]") -> None:
    """How a wait went wrong that nobody waits for any more is of no interest."""
    if not waiting.cancelled():
        waiting.exception()


def _kill_group(container_id: str, pid: int) -> None:
    """Kill the command's process group, which the OCI runtime makes for it: what it has started dies with it.

    The number is looked at first: an agent that does not share the node's process ids must not take it for one of its own.
    """
    with suppress(OSError):
        if container_id in Path(f"/proc/{pid}/cgroup").read_text() and os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)


def _explained(error: ContainerdError) -> Answer:
    """A command that could not be started has failed, if it was the OCI runtime that said so; not if that is gone from the node."""
    if error.transient or isinstance(error, errors.NotFound | errors.AlreadyExists | errors.FailedPrecondition):
        raise error
    failure = start_errors.explain(error.detail)
    if failure.reason is Reason.RUNTIME_MISSING:
        raise error
    return Answer(failure.exit_code, failure.message)
