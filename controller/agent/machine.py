"""The machine under the node: its system, its processors and its memory, for those who look at the node from afar. Reads only."""

import os
import platform
from decimal import Decimal
from pathlib import Path

from controller.agent.nodestatus import Machine
from controller.containerd.pull.platforms import this_platform

MEMORY = Path("/proc/meminfo")
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_MAX_BYTES = 65536


def inspect(host_root: Path, memory: Path = MEMORY) -> Machine:
    """Look at the machine. `host_root` is where the node's root filesystem is mounted."""
    own = this_platform()
    return Machine(
        kernel=platform.release(),
        architecture=own.architecture,
        operating_system=own.os,
        os_image=_os_image(host_root),
        cpus=Decimal(os.cpu_count() or 1),
        memory_bytes=_memory_bytes(memory),
    )


def _os_image(host_root: Path) -> str:
    """The distribution's name for itself; empty when it has none."""
    for name in _OS_RELEASE:
        try:
            text = (host_root / name).read_text(errors="replace")[:_MAX_BYTES]
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip("\"'")[:256]
    return ""


def _memory_bytes(memory: Path) -> Decimal:
    """All of the machine's memory, of which the kernel writes `MemTotal:  16384 kB`."""
    for line in memory.read_text().splitlines():
        name, _, amount = line.partition(":")
        if name == "MemTotal":
            return Decimal(amount.split()[0]) * 1024
    return Decimal(0)
