"""The exec check: a command as a further process of the container, ended in time, and nothing of it left.

A container has one such process at most, always under the same id. So what an agent that was killed has left of its last check is found
by the next one, and cleared away.

A start that hangs is told from a containerd that does: if containerd answers something else meanwhile, it is the container in which
nothing can be started, and the check has failed.
"""

import asyncio
import secrets
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from controller.agent.checks import strays
from controller.agent.checks.answer import Answer, CannotAsk
from controller.agent.checks.output import Output
from controller.agent.checks.state import TIMED_OUT
from controller.agent.checks.target import Target
from controller.agent.checks.turns import Turns
from controller.api.reasons import Reason
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.errors import ContainerdError
from controller.containerd.tasks import RUNTIME_TIMEOUT, Exit
from controller.oci import start_errors

EXEC_ID: Final = "health"
STARTS_AT_ONCE: Final = 4
"""A start runs the OCI runtime, which costs more than most commands; that they run is not limited."""
HANGING_STARTS: Final = 16
"""Each keeps a process of the OCI runtime waiting, which costs some memory and no time."""
PATIENCE_SECONDS: Final = 2.0
"""A start that takes longer is one of those."""
START_SECONDS: Final = 5.0
"""So long a start may take at least, for a busy node is not the container's fault; a longer timeout of the check applies to it, too."""
_END_SECONDS: Final = 5.0
_CLEAR_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.1
_ANSWER_SECONDS: Final = 5.0
_OUTPUT_SECONDS: Final = 0.5


class _Hangs(Exception):
    """In this time no command could be started in the container."""


class Commands:
    """Runs commands in containers."""

    def __init__(self, containerd: Containerd, directory: Path) -> None:
        self._tasks = containerd.tasks
        self._containers = containerd.containers
        self._directory = directory
        self._starts = Turns(STARTS_AT_ONCE, HANGING_STARTS, PATIENCE_SECONDS)

    async def run(self, target: Target, command: Sequence[str], seconds: float) -> Answer:
        """Run a command to its end, or for so many seconds from its start; then it is killed.

        Raises:
            CannotAsk: containerd could not be asked, or the container is gone.
        """
        container_id = target.container_id
        try:
            # NB: a path of its own: what is left of a check before may still open the one that it was given.
            with Output(self._directory / f"{container_id[:16]}.{secrets.token_hex(4)}") as output:
                try:
                    return await self._run(target, command, seconds, output)
                finally:
                    await self._clear(container_id)
        except _Hangs as hanging:
            strays.kill_unstarted(container_id, target.pid)
            return await self._judged(container_id, str(hanging))
        except ContainerdError as error:
            raise CannotAsk(str(error)) from error

    async def _run(self, target: Target, command: Sequence[str], seconds: float, output: Output) -> Answer:
        process = await self._process(target.container_id, command)
        async with self._starts.turn(target.namespace, target.container_id):
            # NB: a start is not given up halfway, for it might leave anything; who gives up the check waits for it.
            starting = asyncio.create_task(self._start(target.container_id, process, seconds, output))
            try:
                pid, waiting = await asyncio.shield(starting)
            except ContainerdError as error:
                return _explained(error)
            except asyncio.CancelledError:
                await asyncio.wait([starting])
                raise
        return await self._end(target.container_id, pid, waiting, seconds, output)

    async def _end(
        self, container_id: str, pid: int, waiting: "asyncio.Task[Exit]", seconds: float, output: Output
    ) -> Answer:
        """Wait for the end of the command; it is killed when it takes too long, or when nobody waits any more."""
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

    async def _process(self, container_id: str, command: Sequence[str]) -> Mapping[str, Any]:
        """What the container's own process is, with another command."""
        spec = (await self._containers.get(container_id)).spec
        return {**spec.get("process", {}), "args": list(command), "terminal": False}

    async def _start(
        self, container_id: str, process: Mapping[str, Any], seconds: float, output: Output
    ) -> "tuple[int, asyncio.Task[Exit]]":
        """Start the command; its pid, and how to hear of its end.

        Raises:
            _Hangs: it has not begun in time. The runtime's process is ended then by the shim, which is told the same time.
        """
        limit = min(max(seconds, START_SECONDS), RUNTIME_TIMEOUT)
        until = asyncio.get_running_loop().time() + limit
        try:
            await self._make(container_id, process, output, until)
            waiting = asyncio.create_task(self._tasks.wait(container_id, EXEC_ID))
            waiting.add_done_callback(_noted)
            try:
                return await self._tasks.start(container_id, EXEC_ID, timeout=_left(until)), waiting
            except BaseException:
                waiting.cancel()
                raise
        except ContainerdError as error:
            if isinstance(error, errors.DeadlineExceeded) or _left(until) == 0:
                raise _Hangs(f"not started within {limit:g} s") from error
            raise

    async def _make(self, container_id: str, process: Mapping[str, Any], output: Output, until: float) -> None:
        stdout, stderr = map(str, output.paths)
        while True:
            try:
                return await self._tasks.exec(
                    container_id, EXEC_ID, process, stdout=stdout, stderr=stderr, timeout=_left(until)
                )
            except errors.AlreadyExists:
                if _left(until) == 0:
                    raise
                # NB: one that an agent was making when it was killed may be there, and not be there to be deleted yet.
                await self._clear(container_id)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _judged(self, container_id: str, hanging: str) -> Answer:
        """Whose fault it is that nothing could be started: the container's, if containerd answers what does not concern its processes."""
        try:
            await self._containers.get(container_id, timeout=_ANSWER_SECONDS)
        except ContainerdError as error:
            raise CannotAsk(f"{hanging}, and containerd: {error}") from error
        return Answer(TIMED_OUT, hanging)

    async def _kill(self, container_id: str, pid: int, waiting: "asyncio.Task[Exit]") -> None:
        """Kill the command with its children, and wait until it has ended; in a frozen container it does not."""
        strays.kill_group(container_id, pid)
        with suppress(ContainerdError):
            await self._tasks.kill(container_id, signal.SIGKILL, exec_id=EXEC_ID)
        with suppress(ContainerdError, TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.shield(waiting)

    async def _clear(self, container_id: str) -> None:
        """Have containerd forget the command; one that still runs is killed. What can't be cleared now is with the next check."""
        with suppress(ContainerdError, TimeoutError):
            async with asyncio.timeout(_CLEAR_SECONDS):
                await self._forget(container_id)

    async def _forget(self, container_id: str) -> None:
        try:
            await self._tasks.delete_process(container_id, EXEC_ID)
        except errors.NotFound:
            pass
        except ContainerdError:
            await self._tasks.kill(container_id, signal.SIGKILL, exec_id=EXEC_ID)
            with suppress(ContainerdError):
                await self._tasks.wait(container_id, EXEC_ID, timeout=_END_SECONDS)
            await self._tasks.delete_process(container_id, EXEC_ID)


def _left(until: float) -> float:
    """Seconds until then; a call without any is over at once."""
    return max(until - asyncio.get_running_loop().time(), 0)


def _noted(waiting: "asyncio.Task[Exit]") -> None:
    """How a wait went wrong that nobody waits for any more is of no interest."""
    if not waiting.cancelled():
        waiting.exception()


def _explained(error: ContainerdError) -> Answer:
    """A command that could not be started has failed, if it was the OCI runtime that said so; not if that is gone from the node."""
    if error.transient or isinstance(error, errors.NotFound | errors.AlreadyExists | errors.FailedPrecondition):
        raise error
    failure = start_errors.explain(error.detail)
    if failure.reason is Reason.RUNTIME_MISSING:
        raise error
    return Answer(failure.exit_code, failure.message)
