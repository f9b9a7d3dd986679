"""What there is of a container outside of containerd: processes that only its cgroup knows of, cgroups, the runtime's own state.

To clear these away is the OCI runtime's work; where it is gone it is done here, and only when the container is removed.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from controller.agent import cgroups, usage
from controller.agent.usage import Usage

RUNTIME_STATE = Path("run/containerd/runc")
"""Where containerd's shim lets runtimes keep their state, below the node's root; one directory a namespace and container."""


@dataclass(frozen=True)
class Remains:
    """What is left of the containers of one containerd namespace."""

    namespace: str
    cgroup_parent: str
    host_root: Path
    cgroup_root: Path = cgroups.ROOT

    def live(self, container_id: str) -> bool:
        """Whether processes of the container run, whatever containerd knows of them."""
        return cgroups.populated(self._cgroup(container_id), self.cgroup_root)

    def usage(self, container_id: str) -> Usage:
        """What the container uses of the node, by its cgroup; nothing where there is none."""
        return usage.read(self._cgroup(container_id), self.cgroup_root)

    def clear(self, container_id: str) -> None:
        """Remove the cgroups and the runtime's state of a container without processes. What is still in use stays."""
        relative = self._cgroup(container_id).lstrip("/")
        roots = [self.cgroup_root] if cgroups.unified(self.cgroup_root) else sorted(self.cgroup_root.iterdir())
        for root in roots:
            _remove_cgroup(root / relative)
        shutil.rmtree(self.host_root / RUNTIME_STATE / self.namespace / container_id, ignore_errors=True)

    def _cgroup(self, container_id: str) -> str:
        return cgroups.path_of(self.cgroup_parent, self.namespace, container_id)


def _remove_cgroup(directory: Path) -> None:
    """A cgroup is removed from below; the files in it are the kernel's."""
    if not directory.is_dir():
        return
    below = [path for path in directory.rglob("*") if path.is_dir()]
    for path in [*sorted(below, reverse=True), directory]:
        with suppress(OSError):
            path.rmdir()
