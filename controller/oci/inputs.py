"""What a runtime spec is made from besides the Container: facts that the agent has gathered before, as plain values. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from controller.api.capabilities import KNOWN_CAPABILITIES
from controller.api.container import ContainerSpec, Mount
from controller.oci.image import ImageConfig
from controller.oci.user import User

DEFAULT_CGROUP_PARENT: Final = "/tallyman"


@dataclass(frozen=True, slots=True)
class ResolvedMount:
    """A mount of the Container with the real path of its source on the node, already made sure of."""

    mount: Mount
    source: str
    identity: tuple[int, int] | None = None
    """Device and inode of what was found there, by which the finished mount can be confirmed."""


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A device node as it is on the node, and where the container is to have it."""

    container_path: str
    type: Literal["c", "b"]
    major: int
    minor: int
    mode: int = 0o666
    """Permission bits without the file type."""
    uid: int = 0
    gid: int = 0
    permissions: str = "rwm"
    """What the device cgroup allows."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What is true of the node and the same for every container on it."""

    hostname: str
    cgroup_v2: bool = False
    cgroup_parent: str = DEFAULT_CGROUP_PARENT
    swap_accounting: bool = False
    """Whether the kernel can limit swap (cgroup v1: memory.memsw.limit_in_bytes exists); if not, no swap limit is written."""
    recursive_read_only: bool = False
    """Whether kernel (5.12) and runtime can make a bind read-only together with the mounts beneath it."""
    architecture: str = "x86_64"
    """As uname(2) names it; chooses the architectures of the seccomp filter."""
    seccomp: bool = True
    """Whether kernel and runtime can filter system calls."""
    capabilities: frozenset[str] = KNOWN_CAPABILITIES
    """What the agent's containerd can give at most (its bounding set)."""
    devices: tuple[HostDevice, ...] = ()
    """Every device of the node; used for privileged containers only."""
    init_path: str | None = None
    """A static init binary on the node (tini, catatonit); None if there is none."""
    resolv_conf: str | None = "/etc/resolv.conf"
    hosts: str | None = "/etc/hosts"
    """The node's files, for containers on its network; None for one that it does not have."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that one container's runtime spec depends on."""

    spec: ContainerSpec
    image: ImageConfig
    container_id: str
    namespace: str
    """The containerd namespace; part of the cgroup's path."""
    node: NodeFacts
    user: User
    mounts: tuple[ResolvedMount, ...] = ()
    devices: tuple[HostDevice, ...] = ()
    """The Container's devices, found on the node."""
    seccomp_profile: Mapping[str, Any] | None = None
    """With seccompProfile Localhost: the profile, read by `seccomp.localhost`."""
