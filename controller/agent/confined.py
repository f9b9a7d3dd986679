"""Opening paths that somebody else controls, without ever leaving the directory that they belong to.

The path is walked one component at a time, each opened relative to the one before and without following a symbolic link; links
are read and walked in the same way. So a directory that is exchanged for a link during the walk changes nothing: what was opened
stays what it was. Works on every kernel and needs no privileges. Synchronous; no containerd, no Kubernetes.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_MAX_LINKS: Final = 40
"""As many symbolic links as the kernel follows."""
_MAX_PARTS: Final = 4096

Ask = Callable[[str], None]
"""Called with the real path of a directory that is about to be made; raises when it must not be."""


class LeadsOutError(OSError):
    """The path, or a symbolic link on it, leads out of the directory that it must stay in."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EXDEV, "leads out of its directory", path)


class DanglingLinkError(FileNotFoundError):
    """A symbolic link on the path leads to something that is missing."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOENT, "a symbolic link on it leads to something that is missing", path)


@contextmanager
def opened(root: int, path: str, *, clamp: bool, make: int | None = None, ask: Ask | None = None) -> Iterator[int]:
    """A descriptor (O_PATH) of what the path names beneath the directory `root`, closed at the end.

    `clamp` treats `root` as the root of a file system: absolute links start there and `..` ends there. Without it both are
    errors. `make` is the mode with which missing directories are made; without it they are errors. `ask` is asked before each.
    Only what `path` itself names is made, as mkdir(1) does with -p: nothing that a link on it leads to.

    Raises:
        LeadsOutError: the path leads out, and `clamp` is not set.
        DanglingLinkError: what a link leads to is missing.
        OSError: as open(2).
    """
    trail = [os.dup(root)]
    try:
        _walk(trail, path, clamp=clamp, make=make, ask=ask)
        yield trail[-1]
    finally:
        for descriptor in trail:
            os.close(descriptor)


def real_path(descriptor: int) -> str:
    """The present path of what was opened, without symbolic links.

    Raises:
        FileNotFoundError: it has been removed since.
    """
    path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
    found, now = os.fstat(descriptor), None
    with suppress(OSError):
        now = Path(path).stat(follow_symlinks=False)
    if now is None or (now.st_dev, now.st_ino) != (found.st_dev, found.st_ino):
        raise FileNotFoundError(errno.ENOENT, "removed or moved while it was looked at", path)
    return path


def _walk(trail: list[int], path: str, *, clamp: bool, make: int | None, ask: Ask | None) -> None:
    """Follow the path, leaving on `trail` the descriptors from the root to what was found."""
    if "\0" in path:
        raise OSError(errno.EINVAL, "a path can't contain NUL characters")
    pending, links = _parts(path), 0
    own = len(pending)
    while pending:
        part = pending.pop()
        # What a link adds lies on top of what is left of the path itself.
        from_link = len(pending) >= own
        own = min(own, len(pending))
        if part == "..":
            _up(trail, path, clamp=clamp)
            continue
        try:
            descriptor = _step(trail[-1], part, None if from_link else make, ask)
        except FileNotFoundError as error:
            if from_link:
                raise DanglingLinkError(path) from error
            raise
        if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
            trail.append(descriptor)
            continue
        target = _read_link(descriptor)
        links += 1
        if links > _MAX_LINKS or len(pending) > _MAX_PARTS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            _to_root(trail, path, clamp=clamp)
        pending += _parts(target)


def _parts(path: str) -> list[str]:
    """The components, last first, so that the next one is popped from the end."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _up(trail: list[int], path: str, *, clamp: bool) -> None:
    if len(trail) > 1:
        os.close(trail.pop())
    elif not clamp:
        raise LeadsOutError(path)


def _to_root(trail: list[int], path: str, *, clamp: bool) -> None:
    if not clamp:
        raise LeadsOutError(path)
    while len(trail) > 1:
        os.close(trail.pop())


def _step(parent: int, part: str, make: int | None, ask: Ask | None) -> int:
    try:
        return os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileNotFoundError:
        if make is None:
            raise
    if ask is not None:
        ask(f"{real_path(parent).rstrip('/')}/{part}")
    with suppress(FileExistsError):
        os.mkdir(part, make, dir_fd=parent)
    descriptor = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=parent)
    # mkdir's mode passes through the umask; this does not.
    os.chmod(f"/proc/self/fd/{descriptor}", make)  # noqa: PTH101 - a descriptor, not a path
    return descriptor


def _read_link(descriptor: int) -> str:
    try:
        return os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)
