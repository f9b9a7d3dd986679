"""The output of a command through a FIFO for each stream: the beginning is kept, the rest read and thrown away, at a bounded pace.

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
    """Two FIFOs at `path` with a suffix each, read for as long as the block lasts, and removed then.

    One for both streams would do, were it not for the shim: it opens one after the other, and the first may have come to its end, and
    with it the FIFO, before the second is opened.
    """

    def __init__(self, path: Path) -> None:
        self.paths = (path.with_name(f"{path.name}.out"), path.with_name(f"{path.name}.err"))
        self._kept = bytearray()
        self._open: set[int] = set()
        self._over = asyncio.Event()
        self._resting: dict[int, asyncio.TimerHandle] = {}
        self._descriptors: list[int] = []

    def __enter__(self) -> "Output":
        self._loop = asyncio.get_running_loop()
        for path in self.paths:
            os.mkfifo(path, 0o600)
            # NB: nobody waits: the other side finds a reader, and this one finds an end only after there was a writer.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.fcntl(descriptor, F_SETPIPE_SZ, _PIPE_BYTES)
            self._descriptors.append(descriptor)
            self._open.add(descriptor)
            self._listen(descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._resting.values():
            timer.cancel()
        for descriptor in self._descriptors:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
        for path in self.paths:
            path.unlink(missing_ok=True)

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

    def _listen(self, descriptor: int) -> None:
        self._resting.pop(descriptor, None)
        self._loop.add_reader(descriptor, self._read, descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            data = os.read(descriptor, _PIPE_BYTES)
        except BlockingIOError:
            return
        self._kept += data[: OUTPUT_BYTES - len(self._kept)]
        if data and len(self._kept) < OUTPUT_BYTES:
            return
        self._loop.remove_reader(descriptor)
        if data:
            self._resting[descriptor] = self._loop.call_later(_REST_SECONDS, self._listen, descriptor)
            return
        self._open.discard(descriptor)
        if not self._open:
            self._over.set()
