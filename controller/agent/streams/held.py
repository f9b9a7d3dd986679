"""The agent's side of the holder: starts it where there is none, and asks it to hold pipes.

Without a holder output is captured all the same; only what a container prints last can be lost when the agent is away at its end.
So the agent's other work does not wait for one that is stuck: it is asked again after a while, then for all that it has missed.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

from controller import log
from controller.agent.streams import holder

ANSWER_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 60.0
"""How long a holder that failed is left alone."""
MOST_MISSED: Final = 500
"""So many pipes are remembered that a holder has missed; a request is one datagram."""
START_SECONDS: Final = 10.0
_log = log.get(__name__)


class Held:
    """A connection to the holder of one directory, made at the first use."""

    def __init__(self, directory: Path, clock: Callable[[], float] = monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._connection: socket.socket | None = None
        self._missed: dict[str, None] = {}
        self._not_before = 0.0

    def hold(self, fifos: Sequence[Path]) -> None:
        """Have these pipes kept open until their FIFOs are removed, and those that were missed before."""
        self._missed |= dict.fromkeys(fifo.name for fifo in fifos)
        if not self._missed or self._clock() < self._not_before:
            return
        while len(self._missed) > MOST_MISSED:
            del self._missed[next(iter(self._missed))]
        if self._ask("\n".join(self._missed).encode()):
            self._missed.clear()
        else:
            self._not_before = self._clock() + AGAIN_SECONDS

    def _ask(self, request: bytes) -> bool:
        """Whether the holder has taken it; one that is gone is replaced, one that is stuck is left alone."""
        for _ in range(2):
            try:
                connection = self._connected()
                connection.sendall(request)
                if connection.recv(16):
                    return True
            except (OSError, subprocess.SubprocessError) as error:
                _log.warning("pipes are not held while the agent is away", error=str(error), again_after=AGAIN_SECONDS)
                if isinstance(error, TimeoutError):
                    self.close()
                    return False
            self.close()
        return False

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
