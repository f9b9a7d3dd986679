"""Processes that a check leaves in a container and that nobody else ends: known by their numbers on the node.

A number is looked at before it is used: an agent that does not share the node's process ids must not take it for one of its own.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_UNSTARTED: Final = "runc:["
"""How runc calls itself in a container, before it becomes the command that it was to start."""


def kill_group(container_id: str, pid: int) -> None:
    """Kill a command's process group, which the OCI runtime makes for it: what it has started dies with it."""
    with suppress(OSError):
        if _is_in(container_id, pid) and os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)


def kill_unstarted(container_id: str, pid: int) -> None:
    """Kill what is left of starts that were given up: halves of the OCI runtime whose other half has been ended.

    The shim has inherited them, as it has the container's first process, `pid`. They may not have come to its cgroup yet.
    """
    with suppress(OSError):
        if not _is_in(container_id, pid):
            return
        for child in _children(_parent(pid)):
            if child != pid and _name(child).startswith(_UNSTARTED):
                os.kill(child, signal.SIGKILL)


def _is_in(container_id: str, pid: int) -> bool:
    return container_id in (PROC / str(pid) / "cgroup").read_text()


def _name(pid: int) -> str:
    return (PROC / str(pid) / "comm").read_text()


def _parent(pid: int) -> int:
    return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])


def _children(pid: int) -> Iterator[int]:
    for thread in (PROC / str(pid) / "task").iterdir():
        yield from map(int, (thread / "children").read_text().split())
