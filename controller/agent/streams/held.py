"""The agent's side of the holder: starts it where there is none, and asks it to hold pipes.

Without a holder output is captured all the same; only what a container prints last can be lost when the agent is away at its end.
So the agent's other work waits for one that is stuck once, shortly. From then on it is asked in the background, for all that it has missed.
"""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller import log
from controller.agent.streams import holder

ANSWER_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 60.0
"""How long a holder that failed is left alone."""
AT_ONCE: Final = 500
"""Pipes in one request, which is one datagram."""
START_SECONDS: Final = 5.0
_log = log.get(__name__)


class Held:
    """A connection to the holder of one directory, made at the first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection: socket.socket | None = None
        self._missed: dict[str, None] = {}
        self._catching_up: asyncio.Task[None] | None = None
        self._closed = False

    def hold(self, fifos: Sequence[Path]) -> None:
        """Have these pipes kept open until their FIFOs are removed; when that fails, in a while."""
        names = [fifo.name for fifo in fifos]
        if not names or (self._catching_up is None and self._ask(names)):
            return
        self._missed |= dict.fromkeys(names)
        if self._catching_up is None:
            self._catching_up = asyncio.get_running_loop().create_task(self._catch_up())

    async def _catch_up(self) -> None:
        """Ask for what was missed until there is nothing left of it. Meanwhile nobody else uses the connection."""
        while self._missed:
            await asyncio.sleep(AGAIN_SECONDS)
            while some := self._some_missed():
                if not await asyncio.to_thread(self._ask, some):
                    self._missed = dict.fromkeys(some) | self._missed
                    break
        self._catching_up = None
        _log.info("pipes are held again while the agent is away")

    def _some_missed(self) -> list[str]:
        """Take as many as can be asked for at once; those that are gone need nothing."""
        present = [name for name in self._missed if (self._directory / name).exists()]
        self._missed = dict.fromkeys(present[AT_ONCE:])
        return present[:AT_ONCE]

    def _ask(self, names: Sequence[str]) -> bool:
        """Whether the holder has taken it; one that is gone is replaced, one that is stuck is left alone."""
        request, problem = "\n".join(names).encode(), "the holder ends again and again"
        try:
            if self._asked(request) or self._asked(request):
                return True
        except (OSError, subprocess.SubprocessError) as error:
            problem = str(error)
            self._disconnect()
        finally:
            if self._closed:
                self._disconnect()
        _log.warning("pipes are not held while the agent is away", error=problem, again_after=AGAIN_SECONDS)
        return False

    def _asked(self, request: bytes) -> bool:
        """Ask once; false when the holder has gone meanwhile. Raises when asking again would be in vain."""
        connection = self._connected()
        try:
            connection.sendall(request)
            if connection.recv(16):
                return True
        except (BrokenPipeError, ConnectionResetError):
            pass
        self._disconnect()
        return False

    def close(self) -> None:
        """Let the holder know that this agent goes."""
        self._closed = True
        if self._catching_up is not None:
            self._catching_up.cancel()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> socket.socket:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except (FileNotFoundError, ConnectionRefusedError):
                self._start()
                self._connection = self._connect()
        return self._connection

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(ANSWER_SECONDS)
        # NB: the path of a socket may have 107 bytes only, so it is named through the directory's descriptor.
        directory = os.open(self._directory, os.O_PATH | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{directory}/{holder.SOCKET}")
        except OSError:
            connection.close()
            raise
        finally:
            os.close(directory)
        return connection

    def _start(self) -> None:
        """Start the holder; it is in the background, ready, when this returns. Without site and environment it is small."""
        program = [sys.executable, "-I", "-S", holder.__file__, str(self._directory)]
        null = subprocess.DEVNULL
        subprocess.run(program, check=True, timeout=START_SECONDS, stdin=null, stdout=null, stderr=null)
