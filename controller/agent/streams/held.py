"""The agent's side of the holder: starts it where there is none, and asks it to hold pipes.

Without a holder output is captured all the same; only what a container prints last can be lost when the agent is away at its end.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller import log
from controller.agent.streams import holder

ANSWER_SECONDS: Final = 2.0
START_SECONDS: Final = 10.0
_log = log.get(__name__)


class Held:
    """A connection to the holder of one directory, made at the first use."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection: socket.socket | None = None

    def hold(self, fifos: Sequence[Path]) -> None:
        """Have these pipes kept open until their FIFOs are removed."""
        if not fifos:
            return
        request = "\n".join(fifo.name for fifo in fifos).encode()
        for _ in range(2):
            try:
                connection = self._connected()
                connection.sendall(request)
                if connection.recv(16):
                    return
            except (OSError, subprocess.SubprocessError) as error:
                _log.warning("pipes are not held while the agent is away", error=str(error))
            self.close()

    def close(self) -> None:
        """Let the holder know that this agent goes."""
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
