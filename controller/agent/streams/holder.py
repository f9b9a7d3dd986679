"""A small process that keeps pipes open while no agent does. Run by the agent as a program of its own; uses nothing but the library.

    holder.py <directory of the FIFOs>

What a pipe holds is gone as soon as nobody has it open. A shim closes both ends when its container's process has ended, so what was
printed last would be lost if the agent is away just then; and a shim that is about to open a pipe waits for a reader. One holder a
node opens every pipe for reading, reads nothing, and lives on when the agent dies. It ends by itself when it holds nothing and has no
agent. A pipe whose FIFO is removed is let go.
"""

# ruff: noqa: PTH108, PTH119 -- pathlib alone would double what this needs
import fcntl
import os
import select
import socket
import sys

SOCKET = "holder"
LOCK = "holder.lock"
SWEEP_SECONDS = 0.5
IDLE_SWEEPS = 3
_MOST = 2**16


class Holder:
    """The pipes that are held, and the agents that are connected: one, or two for a moment."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._agents: list[socket.socket] = []
        self._held: dict[str, int] = {}

    def run(self) -> None:
        """Hold until there is nothing and nobody left for a while."""
        idle = 0
        while idle < IDLE_SWEEPS:
            idle = 0 if self._held or self._agents else idle + 1
            for one in self._ready():
                if one is self._listener:
                    self._agents.append(one.accept()[0])
                else:
                    self._serve(one)
            self._sweep()

    def _ready(self) -> list[socket.socket]:
        """Who has something to say. By poll, since select knows no descriptor above 1023, and a holder may have many."""
        poll = select.poll()
        sockets = {one.fileno(): one for one in (self._listener, *self._agents)}
        for descriptor in sockets:
            poll.register(descriptor, select.POLLIN)
        return [sockets[descriptor] for descriptor, _ in poll.poll(1000 * SWEEP_SECONDS)]

    def _serve(self, agent: socket.socket) -> None:
        """Hold what the agent names, and say so when it is done."""
        try:
            names = agent.recv(_MOST).decode()
            if names:
                for name in names.split("\n"):
                    self._hold(os.path.basename(name))
                agent.sendall(b"held")
                return
        except OSError:
            pass
        self._agents.remove(agent)
        agent.close()

    def _hold(self, name: str) -> None:
        try:
            pipe = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return
        former = self._held.get(name)
        self._held[name] = pipe
        if former is not None:
            os.close(former)

    def _sweep(self) -> None:
        for name, pipe in list(self._held.items()):
            if os.fstat(pipe).st_nlink == 0:
                os.close(self._held.pop(name))


def main(directory: str) -> None:
    """Become a process of its own and hold; when it returns to the agent, the holder can be asked."""
    os.chdir(directory)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    if os.path.lexists(SOCKET):
        os.unlink(SOCKET)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(SOCKET)
    listener.listen(8)
    if os.fork() == 0:
        os.setsid()
        Holder(listener).run()


if __name__ == "__main__":
    main(sys.argv[1])
