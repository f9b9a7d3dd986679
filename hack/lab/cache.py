"""The cache outside the tree: what is downloaded or built is made once, by one process, and appears whole.

`TALLYMAN_CACHE` names the directory; otherwise it is `tallyman` below `XDG_CACHE_HOME` or `~/.cache`. An artefact that
exists is never changed: remove its directory to have it made again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hack.lab import waiting

LOCK_TIMEOUT = 1800.0


def root() -> Path:
    """Return the cache directory; it exists."""
    fallback = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tallyman"
    path = Path(os.environ.get("TALLYMAN_CACHE") or fallback).absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of that name against every other process and thread that uses this cache."""
    locks = root() / ".locks"
    locks.mkdir(exist_ok=True)
    with (locks / name.replace("/", "~")).open("w") as handle:
        waiting.until(
            lambda: _taken(handle.fileno()),
            what=f"waiting for another process that makes {name} in {root()}",
            timeout=LOCK_TIMEOUT,
            every=0.1,
        )
        yield


def artefact(name: str, make: Callable[[Path], None]) -> Path:
    """Return the path of the artefact, calling `make` with a path to fill when the cache has none yet."""
    target = root() / name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(name):
        if not target.exists():
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            try:
                make(scratch / target.name)
                (scratch / target.name).rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
