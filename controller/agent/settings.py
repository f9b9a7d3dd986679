"""What an agent is told when it starts. Plain values, checked by the command line that makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from controller.api.node import DEFAULT_LEASE_NAMESPACE, DEFAULT_MAX_CONTAINERS, LEASE_DURATION_SECONDS


@dataclass(frozen=True)
class Settings:
    """The settings of one agent; each is an option of `tallyman agent` and an environment variable."""

    node_name: str
    containerd_address: str = "/run/containerd/containerd.sock"
    containerd_namespace: str = "tallyman"
    snapshotter: str = "overlayfs"
    standalone: bool = False
    """Bind containers without a node to this one; for a cluster of one, without a manager."""
    registry_config_dir: Path = Path("/etc/containerd/certs.d")
    """Where the node's registry configuration (`hosts.toml`) lives."""
    seccomp_dir: Path = Path("/var/lib/tallyman/seccomp")
    """Where seccomp profiles of type Localhost are looked up."""
    policy_file: Path | None = None
    """What the operator lets Containers do on this node; without it, nothing that reaches out of them."""
    host_root: Path = Path("/")
    """Where the node's root filesystem is mounted, when the agent itself runs in a container."""
    run_dir: Path = Path("/run/tallyman")
    """The agent's own directory for what need not survive a reboot."""
    boot_id_file: Path = Path("/proc/sys/kernel/random/boot_id")
    """Where the id of the node's present boot is read; another one means that no process of before is left."""
    log_dir: Path = Path("/var/log/tallyman/containers")
    """Where the output of containers is kept; the same path for the agent and for the node."""
    init_path: Path | None = None
    """A static init on the node, for containers that ask for one."""
    runtimes: dict[str, str] = field(default_factory=lambda: {"runc": "runc", "crun": "crun"})
    """OCI runtimes by name, with the binary that containerd's shim starts."""
    default_runtime: str = "runc"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9464
    container_metrics: bool = True
    """Whether there are metrics about single containers, which name them."""
    workers: int = 8
    """How many objects are worked on at once."""
    parallel_pulls: int = 3
    """How many images are pulled at once."""
    list_seconds: float = 30.0
    """How often everything is compared with a list of containerd's and of the API server's."""
    stale_seconds: float = 120.0
    """How old the last list may be before the agent calls itself unwell."""
    agent_version: str = ""
    node_labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the node's ContainerNode, besides those that the agent finds out by itself."""
    max_containers: int = DEFAULT_MAX_CONTAINERS
    """How many Containers are to be bound to the node at most; whoever binds them heeds it."""
    reserved_cpu: Decimal = Decimal(0)
    """Cores that are not for containers."""
    reserved_memory: Decimal = Decimal(0)
    """Bytes that are not for containers."""
    lease_namespace: str = DEFAULT_LEASE_NAMESPACE
    """Namespace of the Lease that is the node's heartbeat."""
    lease_duration_seconds: int = LEASE_DURATION_SECONDS
    """For how long the node lives, as far as others know, when its Lease is not renewed."""
