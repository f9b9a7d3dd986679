"""The FIFOs between a container's shim and the agent: made, opened, found and removed. Reads nothing from them.

The shim opens both ends of each, so the container neither notices nor loses anything when the agent goes: it can write until the
pipe is full, and then waits. The names follow from the container's id, so that the next agent finds them.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

STREAMS: Final = ("stdout", "stderr")
MOST: Final = 2**20
"""Bytes that a pipe holds, where the kernel allows it."""
_MAX_SIZE: Final = Path("/proc/sys/fs/pipe-max-size")
_REST: Final = ".rest"


def path_of(directory: Path, container_id: str, stream: str) -> Path:
    """The FIFO of one stream."""
    return directory / f"{container_id}.{stream}"


def rest_of(fifo: Path) -> str:
    """The file beside a FIFO that keeps the beginning of a line."""
    return f"{fifo}{_REST}"


def make(fifo: Path) -> None:
    """Make the FIFO unless it is there."""
    with suppress(FileExistsError):
        os.mkfifo(fifo, 0o600)


def open_to_read(fifo: Path) -> int:
    """Open the FIFO and let it hold as much as the kernel allows. Raises `OSError`, also when it is something else."""
    pipe = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    if not stat.S_ISFIFO(os.fstat(pipe).st_mode):
        os.close(pipe)
        raise OSError(f"{fifo} is not a FIFO")
    with suppress(OSError):  # a smaller pipe works as well
        if fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ) < _size():
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _size())
    return pipe


def remove(fifo: Path) -> None:
    """Remove the FIFO and what was kept beside it."""
    for path in (fifo, Path(rest_of(fifo))):
        path.unlink(missing_ok=True)


def found(directory: Path) -> Iterator[tuple[str, str]]:
    """Container and stream of every FIFO, and of every beginning of a line, that is there."""
    for path in sorted(directory.iterdir()):
        container_id, _, stream = path.name.removesuffix(_REST).partition(".")
        if stream in STREAMS:
            yield container_id, stream


@cache
def _size() -> int:
    return min(int(_MAX_SIZE.read_text()), MOST)
