"""Shims that containerd has lost: when a call is cut short by the death of its caller, a shim can be left that no task stands for.

containerd neither lists nor ends it, so it is found among the node's processes. Only shims of this containerd and of the agent's own
containerd namespace are looked at; swept are only those of no known container, and only once they are no longer just starting.
"""

import os
import signal
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

NAME = "containerd-shim"
SETTLED_SECONDS = 10.0
"""A younger shim may belong to a container that is being made at this moment."""
_START_TIME = 19
"""Field 22 of /proc/<pid>/stat, counted from the one after the command's name."""


@dataclass(frozen=True)
class Shim:
    """A shim's process and the container that it was started for."""

    pid: int
    container_id: str
    age_seconds: float


def find(address: str, namespace: str, proc: Path = Path("/proc")) -> Iterator[Shim]:
    """The shims of one containerd (by its socket) and containerd namespace that can be seen from here."""
    uptime = float((proc / "uptime").read_text().split()[0])
    for directory in proc.iterdir():
        if directory.name.isdigit():
            words = _words(directory)
            if words and NAME in words[0] and _option(words, "-namespace") == namespace:
                container_id = _option(words, "-id")
                if container_id and _option(words, "-address") == address.removeprefix("unix://"):
                    yield Shim(int(directory.name), container_id, uptime - _started(directory))


def sweep(address: str, namespace: str, known: Container[str], proc: Path = Path("/proc")) -> list[Shim]:
    """End the shims that have outlived their containers, and return them."""
    lost = [
        shim
        for shim in find(address, namespace, proc)
        if shim.container_id not in known and shim.age_seconds >= SETTLED_SECONDS
    ]
    _end(lost)
    return lost


def end(address: str, namespace: str, container_id: str, proc: Path = Path("/proc")) -> None:
    """End the shim of one container. containerd, if it knows the shim, then clears up what the shim had."""
    _end([shim for shim in find(address, namespace, proc) if shim.container_id == container_id])


def _end(those: Iterable[Shim]) -> None:
    for shim in those:
        try:
            os.kill(shim.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _words(directory: Path) -> list[str]:
    """The process's command line; empty when it is gone or has none."""
    try:
        return (directory / "cmdline").read_text(errors="replace").rstrip("\0").split("\0")
    except OSError:
        return []


def _option(words: list[str], name: str) -> str:
    """The word after an option; empty when there is none."""
    return words[words.index(name) + 1] if name in words[:-1] else ""


def _started(directory: Path) -> float:
    """Seconds after boot at which the process was started; when it is gone, far in the future."""
    try:
        fields = (directory / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("inf")
    return int(fields[_START_TIME]) / os.sysconf("SC_CLK_TCK")
