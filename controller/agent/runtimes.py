"""The OCI runtimes that containers may ask for by name, and whether the node has them.

containerd starts every one of them through its runc shim; a runtime is the binary that the shim executes. Where it is looked up is
containerd's own PATH, which is read from the process behind the socket.
"""

import asyncio
import os
import shutil
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controller.api.reasons import Reason
from controller.containerd.containers import RUNC
from controller.containerd.tasks import RuncOptions
from controller.oci.errors import OCIError

SHIM = "containerd-shim-runc-v2"


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
    """The runtimes by name, and the directories that containerd looks them up in."""

    def __init__(self, binaries: Mapping[str, str], default: str, containerd_address: str, host_root: Path) -> None:
        self._runtimes = {name: Runtime(name, binary) for name, binary in binaries.items()}
        self._default = default
        self._address = containerd_address
        self._host_root = host_root

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

    async def check(self, runtime: Runtime) -> None:
        """Make sure that the node has the runtime, where that can be found out.

        Raises:
            RuntimeMissing: containerd would not find the binary.
        """
        path = await asyncio.to_thread(_search_path, self._address)
        if path is None:
            return
        for binary in (SHIM, runtime.binary):
            if shutil.which(binary, path=self._below_root(path)) is None:
                raise RuntimeMissing(
                    f"runtime {runtime.name!r} needs {binary}, which is not in containerd's PATH on this node; "
                    "install it or choose another runtimeName"
                )

    def _below_root(self, path: str) -> str:
        return os.pathsep.join(f"{str(self._host_root).rstrip('/')}{part}" for part in path.split(os.pathsep))


def _search_path(address: str) -> str | None:
    """PATH of the process that listens on the socket; None when it can't be seen from here."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(address.removeprefix("unix://"))
            raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", raw)[0]
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    variables = dict(item.split(b"=", 1) for item in environment.split(b"\0") if b"=" in item)
    return os.fsdecode(variables[b"PATH"]) if b"PATH" in variables else None
