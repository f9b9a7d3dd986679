"""What is true of this node, found out once when the agent starts. Reads only."""

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path

from controller.agent import cgroups
from controller.agent.settings import Settings
from controller.api.capabilities import KNOWN_CAPABILITIES
from controller.oci import capabilities
from controller.oci.errors import NodeUnfit
from controller.oci.inputs import NodeFacts

_SECCOMP_ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
_FIRST_PROCESS = Path("/proc/1/status")

RECURSIVE_READ_ONLY = (5, 12)
"""The kernel from which on a bind can be made read-only together with all beneath it (mount_setattr(2))."""


@dataclass(frozen=True)
class Node:
    """The node as the agent knows it."""

    name: str
    facts: NodeFacts
    has_cgroups: bool
    has_freezer: bool
    boot_id: str
    """The kernel's id of the present boot."""

    @property
    def features(self) -> tuple[str, ...]:
        """What the node offers to containers beyond the rest, a word each."""
        facts = self.facts
        found = {
            "cgroupV1": self.has_cgroups and not facts.cgroup_v2,
            "cgroupV2": facts.cgroup_v2,
            "freezer": self.has_freezer,
            "init": facts.init_path is not None,
            "recursiveReadOnly": facts.recursive_read_only,
            "seccomp": facts.seccomp,
            "swapAccounting": facts.swap_accounting,
        }
        return tuple(word for word, there in found.items() if there)

    def check(self) -> None:
        """Make sure that containers can run here at all.

        Raises:
            NodeUnfit: no cgroup hierarchy is mounted.
        """
        if not self.has_cgroups:
            raise NodeUnfit("no cgroup hierarchy is mounted below /sys/fs/cgroup on this node; mount one")


def discover(settings: Settings) -> Node:
    """Look at the node."""
    root = settings.host_root
    facts = NodeFacts(
        hostname=platform.node(),
        cgroup_v2=cgroups.unified(),
        swap_accounting=cgroups.limits_swap(),
        architecture=platform.machine(),
        recursive_read_only=_kernel() >= RECURSIVE_READ_ONLY,
        seccomp=_SECCOMP_ACTIONS.exists(),
        init_path=_present(settings.init_path, root),
        resolv_conf=_present(Path("/etc/resolv.conf"), root),
        hosts=_present(Path("/etc/hosts"), root),
        capabilities=_capabilities(),
    )
    return Node(
        settings.node_name, facts, cgroups.mounted(), cgroups.freezer(), settings.boot_id_file.read_text().strip()
    )


def _kernel() -> tuple[int, ...]:
    """The kernel's version, major and minor."""
    numbers = re.match(r"(\d+)\.(\d+)", platform.release())
    return tuple(int(number) for number in numbers.groups()) if numbers else (0, 0)


def _present(path: Path | None, root: Path) -> str | None:
    """The path as the node knows it, if there is something."""
    if path is None:
        return None
    return str(path) if os.path.exists(str(root).rstrip("/") + str(path)) else None  # noqa: PTH110 - joined as text


def _capabilities() -> frozenset[str]:
    """The capabilities that may be given on: the bounding set of the node's first process, which is containerd's on all but odd nodes.

    Not this process's own: an agent in a Pod is given few, and its containers may have more.
    """
    for line in _FIRST_PROCESS.read_text().splitlines():
        if line.startswith("CapBnd:"):
            return capabilities.from_mask(int(line.split()[1], 16))
    return KNOWN_CAPABILITIES
