"""The output of a command through a FIFO: the beginning is kept, the rest read and thrown away, at a bounded pace.

Knows nothing of what writes into it.
"""

import asyncio
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from controller.agent.checks.answer import OUTPUT_BYTES, text_of

ABANDONED_SECONDS: Final = 30.0
"""So long containerd's shim waits for somebody to read from a FIFO, and lets nothing else be done to its container."""
_PIPE_BYTES: Final = 1 << 20
_REST_SECONDS: Final = 0.02
"""How long nothing is read after as much as the pipe holds: a command that prints without end must not keep the agent busy."""
F_SETPIPE_SZ: Final = 1031


def release(directory: Path) -> None:
    """Remove the FIFOs that an agent which was killed has left, and end the waiting of whoever wants to write into one."""
    for path in directory.iterdir():
        if path.is_fifo():
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            asyncio.get_running_loop().call_later(ABANDONED_SECONDS, os.close, reader)
        path.unlink()


class Output:
    """A FIFO at `path`, read for as long as the block lasts, and removed then."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = bytearray()
        self._over = asyncio.Event()
        self._resting: asyncio.TimerHandle | None = None

    def __enter__(self) -> "Output":
        os.mkfifo(self.path, 0o600)
        # NB: nobody waits: the other side finds a reader, and this one finds an end only after there was a writer.
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(self._descriptor, F_SETPIPE_SZ, _PIPE_BYTES)
        self._loop = asyncio.get_running_loop()
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)

    @property
    def text(self) -> str:
        """What is kept of it."""
        return text_of(bytes(self._kept))

    async def ended(self, seconds: float) -> None:
        """Wait until every writer has closed it, but no longer: a child that goes on may keep it open."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            pass

    def _listen(self) -> None:
        self._resting = None
        self._loop.add_reader(self._descriptor, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _PIPE_BYTES)
        except BlockingIOError:
            return
        self._kept += data[: OUTPUT_BYTES - len(self._kept)]
        if data and len(self._kept) < OUTPUT_BYTES:
            return
        self._loop.remove_reader(self._descriptor)
        if data:
            self._resting = self._loop.call_later(_REST_SECONDS, self._listen)
        else:
            self._over.set()
