"""Free TCP ports on 127.0.0.1 for the lab's servers, remembered so that a restart gets the same one."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from hack.lab.errors import LabError

FIRST, LAST = 20000, 32000  # below the range from which the kernel gives outgoing connections their ports


def is_free(port: int) -> bool:
    """Say whether something could listen on that port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free now, picked at random so that parallel labs rarely meet."""
    for _ in range(200):
        port = random.randrange(FIRST, LAST)
        if is_free(port):
            return port
    raise LabError(f"no free port between {FIRST} and {LAST} on 127.0.0.1")


def remembered_port(path: Path, preferred: int | None = None) -> int:
    """Return the port noted in a file; without one, note `preferred` if it is free and otherwise a free one."""
    if path.exists():
        return int(path.read_text())
    port = preferred if preferred is not None and is_free(preferred) else free_port()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{port}\n")
    return port
