"""The OCI runtimes that containers may ask for by name, and whether the node has them.

containerd starts every one of them through its runc shim; a runtime is the binary that the shim executes, for every single thing that is
done to a process but its start: a signal, a pause, its deletion. Where it is looked up is containerd's own PATH and file system, found
through the process behind the socket. Where that can't be seen from here, every runtime counts as there.
"""

import asyncio
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from controller import log
from controller.agent import confined
from controller.api.reasons import Reason
from controller.containerd.containers import RUNC
from controller.containerd.tasks import RuncOptions
from controller.oci.errors import OCIError

SHIM = "containerd-shim-runc-v2"
SOCKET_SECONDS = 2.0
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
_log = log.get(__name__)


class RuntimeMissing(OCIError):
    """The runtime that the container asks for is unknown to the agent or not installed on the node."""

    reason = Reason.RUNTIME_MISSING


@dataclass(frozen=True)
class Runtime:
    """One OCI runtime: containerd's name for its shim, and the binary."""

    name: str
    binary: str
    type: str = RUNC

    @property
    def options(self) -> RuncOptions:
        """The shim's options that make it start this binary."""
        return RuncOptions(binary_name=self.binary)


class Runtimes:
    """The runtimes by name, and which of them were gone when they were looked for last."""

    def __init__(self, binaries: Mapping[str, str], default: str, containerd_address: str) -> None:
        self._runtimes = {name: Runtime(name, binary) for name, binary in binaries.items()}
        self._default = default
        self._address = containerd_address
        self.missing: Mapping[str, str] = {}
        """The runtimes whose binary is not on the node, with the binary."""

    def find(self, name: str | None) -> Runtime:
        """The runtime of this name, or the default.

        Raises:
            RuntimeMissing: the agent was not given one of this name.
        """
        wanted = name or self._default
        if wanted not in self._runtimes:
            known = ", ".join(sorted(self._runtimes))
            raise RuntimeMissing(
                f"spec.runtimeName: runtime {wanted!r} is not known to this node's agent, which has: {known}"
            )
        return self._runtimes[wanted]

    def each(self) -> list[tuple[Runtime, bool]]:
        """Every runtime, the default first, and whether it was there when it was looked for last."""
        ordered = sorted(self._runtimes.values(), key=lambda one: one.name != self._default)
        return [(runtime, runtime.name not in self.missing) for runtime in ordered]

    async def check(self, runtime: Runtime) -> None:
        """Make sure that the node has the runtime, where that can be found out.

        Raises:
            RuntimeMissing: containerd would not find the binary.
        """
        for binary in await asyncio.to_thread(_absent, self._address, (SHIM, runtime.binary)):
            raise RuntimeMissing(
                f"runtime {runtime.name!r} needs {binary}, which is not in containerd's PATH on this node; "
                "install it or choose another runtimeName"
            )

    async def is_there(self, binary: str) -> bool:
        """Whether containerd would find this program, as far as that can be seen from here."""
        return await asyncio.to_thread(_present, self._address, binary)

    async def look(self) -> frozenset[str]:
        """Look for every runtime; returns the names of those that have gone or come back since the last time."""
        binaries = {runtime.binary for runtime in self._runtimes.values()}
        absent = await asyncio.to_thread(_absent, self._address, tuple(binaries))
        missing = {name: runtime.binary for name, runtime in self._runtimes.items() if runtime.binary in absent}
        changed = frozenset(missing.keys() ^ self.missing.keys())
        for name in changed & missing.keys():
            _log.warning("an OCI runtime is not on this node", runtime=name, binary=missing[name])
        for name in changed - missing.keys():
            _log.info("an OCI runtime is on this node again", runtime=name)
        self.missing = missing
        return changed


def _absent(address: str, binaries: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the binaries that the process which listens on the socket would not find; none when it can't be seen from here."""
    try:
        process = _listening(address)
        directories = _search_path(process)
        with _opened(process / "root") as root:
            return tuple(binary for binary in binaries if not _found(root, binary, directories))
    except OSError:
        return ()


def _present(address: str, binary: str) -> bool:
    try:
        process = _listening(address)
        with _opened(process / "root") as root:
            return _found(root, binary, _search_path(process))
    except OSError:
        return False


def _listening(address: str) -> Path:
    """The process behind a socket, in /proc."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SOCKET_SECONDS)
        connection.connect(address.removeprefix("unix://"))
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Path(f"/proc/{struct.unpack('3i', raw)[0]}")


def _search_path(process: Path) -> list[str]:
    environment = (process / "environ").read_bytes()
    variables = dict(item.split(b"=", 1) for item in environment.split(b"\0") if b"=" in item)
    if b"PATH" not in variables:
        raise FileNotFoundError("the process has no PATH")
    return os.fsdecode(variables[b"PATH"]).split(os.pathsep)


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _found(root: int, binary: str, directories: list[str]) -> bool:
    """Whether there is such a program. Symbolic links lead to where they do for the process whose root this is."""
    paths = [binary] if "/" in binary else [f"{directory}/{binary}" for directory in directories]
    return any(_is_program(root, path) for path in paths)


def _is_program(root: int, path: str) -> bool:
    try:
        with confined.opened(root, path, clamp=True) as found:
            mode = os.fstat(found).st_mode
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise
    return stat.S_ISREG(mode) and bool(mode & 0o111)
