"""Small files out of an image's root filesystem: /etc/passwd and /etc/group, when a user is to be looked up by name.

The snapshot must be mounted for that. It is done in a thread of its own that lives in a mount namespace of its own, so no mount
is ever seen by the node, and the kernel removes it together with the process, whatever ends that. The namespace is a slave of
the node's: what the node unmounts goes away here, too, and nothing is kept busy.

The image is not trusted: paths are resolved beneath its root (`confined`), only regular files are read, and only so much of
them. Mounts are read-only; an overlay's upper directory becomes its uppermost lower one, so nothing is written at all.
"""

import asyncio
import ctypes
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from controller.agent import confined
from controller.api.reasons import Reason
from controller.oci.errors import OCIError

MAX_BYTES: Final = 2**20
"""As much of a file is read."""

MOUNT_POINT: Final = Path("/run/tallyman/rootfs")
"""An empty directory of the agents on this node; each mounts on it in its own namespace, so they can share it."""

_CLONE_NEWNS: Final = 0x00020000
_MS_RDONLY: Final = 0x1
_MS_NOSUID: Final = 0x2
_MS_NODEV: Final = 0x4
_MS_NOEXEC: Final = 0x8
_MS_REC: Final = 0x4000
_MS_SLAVE: Final = 0x80000
_READ_ONLY: Final = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
_MNT_DETACH: Final = 2
_FLAG_OPTIONS: Final = frozenset({"ro", "rw", "bind", "rbind", "suid", "nosuid", "dev", "nodev", "exec", "noexec"})
"""Options of mount(8) that are flags of mount(2), and so don't belong into the file system's own options."""
_WRITE_OPTIONS: Final = ("workdir=", "volatile")


class Mountable(Protocol):
    """A mount as containerd's snapshot service describes it."""

    @property
    def type(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def options(self) -> Sequence[str]: ...


class RootfsError(OCIError):
    """The root filesystem could not be mounted or read."""

    reason = Reason.NODE_UNFIT


class RootfsReader:
    """Reads files of images, one image at a time, in a thread with its own mount namespace.

    `mount_point` is an empty directory of the agent's own, made if missing; on the node nothing is ever mounted there.
    """

    def __init__(self, mount_point: Path = MOUNT_POINT) -> None:
        self._mount_point = mount_point.absolute()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rootfs", initializer=_isolate)

    async def read(
        self, mounts: Sequence[Mountable], paths: Sequence[str], *, max_bytes: int = MAX_BYTES
    ) -> dict[str, bytes | None]:
        """The contents of the files, cut at `max_bytes`; None for one that is not there or not a regular file.

        Raises:
            RootfsError: the snapshot can't be mounted.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, self._read, mounts, paths, max_bytes)
        except BrokenExecutor as error:
            raise RootfsError("a mount namespace can't be made; the agent needs CAP_SYS_ADMIN") from error

    def close(self) -> None:
        """End the thread, and with it its namespace."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _read(self, mounts: Sequence[Mountable], paths: Sequence[str], max_bytes: int) -> dict[str, bytes | None]:
        try:
            with self._mounted(mounts) as root:
                return {path: _contents(root, path, max_bytes) for path in paths}
        except OSError as error:
            raise RootfsError(f"the image's files can't be read: {error.strerror}") from error

    @contextmanager
    def _mounted(self, mounts: Sequence[Mountable]) -> Iterator[int]:
        """A descriptor of the root. A single bind needs no mount: its source is the root."""
        if len(mounts) == 1 and mounts[0].type == "bind":
            with _directory(mounts[0].source) as root:
                yield root
            return
        self._mount_point.mkdir(mode=0o700, parents=True, exist_ok=True)
        done = 0
        try:
            for mount in mounts:
                _mount(mount, str(self._mount_point))
                done += 1
            with _directory(str(self._mount_point)) as root:
                yield root
        finally:
            for _ in range(done):
                _check(_libc.umount2(os.fsencode(self._mount_point), _MNT_DETACH))


async def read_files(mounts: Sequence[Mountable], paths: Sequence[str]) -> dict[str, bytes | None]:
    """`RootfsReader.read` with the one reader of this process, made at its first use."""
    return await _reader().read(mounts, paths)


@cache
def _reader() -> RootfsReader:
    return RootfsReader()


_libc: Final = ctypes.CDLL(None, use_errno=True)


def _isolate() -> None:
    """Give the calling thread a mount namespace that receives the node's changes and passes none on."""
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None))


def _mount(mount: Mountable, target: str) -> None:
    if mount.type == "bind":
        raise RootfsError("a bind among several mounts is not supported")
    options = read_only_options(mount.options)
    # The kernel takes one page of options. Relative to the layers' common directory many more of them fit, and a thread with
    # its own namespace has a working directory of its own.
    base, options = relative_layers(options)
    os.chdir(base)
    try:
        data = os.fsencode(",".join(options))
        flags = ctypes.c_ulong(_READ_ONLY)
        _check(_libc.mount(os.fsencode(mount.source), os.fsencode(target), mount.type.encode(), flags, data))
    finally:
        os.chdir("/")


def read_only_options(options: Sequence[str]) -> list[str]:
    """The options of a mount that writes nothing: an overlay's upper directory goes in front of the lower ones."""
    upper = "".join(option.removeprefix("upperdir=") for option in options if option.startswith("upperdir="))
    result = []
    for option in options:
        if option in _FLAG_OPTIONS or option.startswith(("upperdir=", *_WRITE_OPTIONS)):
            continue
        if upper and option.startswith("lowerdir="):
            result.append(f"lowerdir={upper}:{option.removeprefix('lowerdir=')}")
        else:
            result.append(option)
    return result


def relative_layers(options: Sequence[str]) -> tuple[str, list[str]]:
    """A directory and the options with an overlay's layers relative to it; `/` and the same options if there is none."""
    layers = [layer for option in options if option.startswith("lowerdir=") for layer in option[9:].split(":")]
    # A backslash escapes a colon in a layer's path; such paths are left alone.
    if not layers or any("\\" in layer or not layer.startswith("/") for layer in layers):
        return "/", list(options)
    base = os.path.commonpath([str(Path(layer).parent) for layer in layers])
    short = ":".join(os.path.relpath(layer, base) for layer in layers)
    return base, [f"lowerdir={short}" if option.startswith("lowerdir=") else option for option in options]


@contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _contents(root: int, path: str, max_bytes: int) -> bytes | None:
    try:
        with confined.opened(root, path, clamp=True) as found:
            # The type first: opening a FIFO or a device that an image has there could block, or do something.
            if not stat.S_ISREG(os.fstat(found).st_mode):
                return None
            with Path(f"/proc/self/fd/{found}").open("rb") as file:
                return file.read(max_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
