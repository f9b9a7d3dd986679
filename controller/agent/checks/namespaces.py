"""Sockets of a container's own network, made by a thread that enters it for as long as that takes.

A socket belongs for ever to the network in which it was made, so whoever uses it need not be there. Each job enters the network that it
is for before anything else, so one that could not leave its last one does no harm. Knows nothing of what a socket is for.
"""

import asyncio
import ctypes
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from controller.agent.checks.answer import CannotAsk

_CLONE_NEWNET: Final = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12


class Networks:
    """Makes sockets in the networks of processes."""

    def __init__(self) -> None:
        # One thread: a job takes microseconds, and a thread that waits for nothing is never late.
        self._thread = ThreadPoolExecutor(1, "network")
        self._home = _network_of("self")

    async def open(self, pid: int, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
        """A new non-blocking TCP socket in the network of a process.

        Raises:
            CannotAsk: the process is gone, or there are no descriptors left.
        """
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._open, pid, family)
        except OSError as error:
            raise CannotAsk(f"no socket in the network of process {pid}: {error.strerror}") from error

    def _open(self, pid: int, family: socket.AddressFamily) -> socket.socket:
        with self._inside(pid):
            made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    @contextmanager
    def _inside(self, pid: int) -> Iterator[None]:
        network = _network_of(str(pid))
        try:
            _enter(network)
        finally:
            os.close(network)
        try:
            yield
        finally:
            # NB: a thread that stayed would keep the network of an ended container alive.
            _enter(self._home)

    def close(self) -> None:
        """End the thread; nothing may be asked for any more."""
        self._thread.shutdown()
        os.close(self._home)


def _network_of(process: str) -> int:
    return os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(network: int) -> None:
    if _libc.setns(network, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
