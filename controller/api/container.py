"""The `Container` kind: what its user declares (spec) and what its agent observed (status).

One model gives the schema, the defaults, the validation and the types of the code. Rules that span several fields, and rules
that the schema of the API server can't state, live in `validation`. Pure: no input or output.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field

from controller.api import quantity
from controller.api.conditions import Condition
from controller.api.model import Model

GROUP: Final = "tallyman.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "Container"
PLURAL: Final = "containers"
SINGULAR: Final = "container"
NODE_LABEL: Final = "tallyman.dev/node"
FINALIZER: Final = "tallyman.dev/container"


class DesiredState(StrEnum):
    """What the user wants the container to be."""

    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"


class ContainerState(StrEnum):
    """What the engine sees, in one word."""

    PENDING = "Pending"
    CREATED = "Created"
    RUNNING = "Running"
    PAUSED = "Paused"
    RESTARTING = "Restarting"
    EXITED = "Exited"
    REMOVING = "Removing"
    UNKNOWN = "Unknown"


class ImagePullPolicy(StrEnum):
    """When the registry is asked."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class NetworkMode(StrEnum):
    """How the container is connected."""

    HOST = "host"
    NONE = "none"


class MountPropagation(StrEnum):
    """Whether mounts made beneath a bind appear on the other side; the names are those of a Kubernetes volumeMount."""

    NONE = "None"
    HOST_TO_CONTAINER = "HostToContainer"
    BIDIRECTIONAL = "Bidirectional"


class HostPathType(StrEnum):
    """What a host path must be, as in a Kubernetes hostPath volume. Empty means: no check."""

    UNCHECKED = ""
    DIRECTORY_OR_CREATE = "DirectoryOrCreate"
    DIRECTORY = "Directory"
    FILE_OR_CREATE = "FileOrCreate"
    FILE = "File"
    SOCKET = "Socket"
    CHAR_DEVICE = "CharDevice"
    BLOCK_DEVICE = "BlockDevice"


class SeccompProfileType(StrEnum):
    """Which system calls are allowed."""

    RUNTIME_DEFAULT = "RuntimeDefault"
    UNCONFINED = "Unconfined"
    LOCALHOST = "Localhost"


Quantity = Annotated[
    str | int,
    Field(
        union_mode="left_to_right",
        json_schema_extra={"x-kubernetes-int-or-string": True, "pattern": quantity.PATTERN},
    ),
]
AbsolutePath = Annotated[str, Field(pattern=r"^/", max_length=4096)]
NumericID = Annotated[int, Field(ge=0, le=2**32 - 2)]


class EnvVar(Model):
    """One environment variable."""

    name: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^=\x00]+$")]
    """Name of the variable; not empty, without `=`."""
    value: Annotated[str, Field(max_length=131072)] = ""
    """Value, taken literally: `$(NAME)` is not expanded."""


class ResourceAmounts(Model):
    """Amounts of compute resources."""

    cpu: Quantity | None = None
    """Cores: `1`, `0.5` or `500m`."""
    memory: Quantity | None = None
    """Bytes, with an optional suffix: `256Mi`, `1G`."""


class ResourceLimits(ResourceAmounts):
    """Upper bounds, enforced by the kernel."""

    pids: Annotated[int, Field(ge=1, le=4194304)] | None = None
    """Most processes and threads that may exist in the container at once."""


class Resources(Model):
    """What the container may use at most (limits), and its share when the node is busy (requests)."""

    limits: ResourceLimits = ResourceLimits()
    """Upper bounds. An absent one means no limit of the container's own."""
    requests: ResourceAmounts = ResourceAmounts()
    """What the container is entitled to when the node is busy; the cpu request sets its weight."""


class Ulimit(Model):
    """A resource limit of the container's processes, as of setrlimit(2)."""

    name: Annotated[
        Literal[
            "as",
            "core",
            "cpu",
            "data",
            "fsize",
            "locks",
            "memlock",
            "msgqueue",
            "nice",
            "nofile",
            "nproc",
            "rss",
            "rtprio",
            "rttime",
            "sigpending",
            "stack",
        ],
        Field(),
    ]
    """Name of the limit in lower case, without `RLIMIT_`."""
    soft: Annotated[int, Field(ge=-1)]
    """The limit in force; -1 means unlimited."""
    hard: Annotated[int, Field(ge=-1)]
    """The ceiling up to which a process may raise its soft limit; -1 means unlimited."""


class Device(Model):
    """A device of the node made available in the container."""

    host_path: AbsolutePath
    """Path of the device on the node."""
    container_path: AbsolutePath | None = None
    """Path in the container; the same as on the node when absent."""
    permissions: Annotated[str, Field(pattern=r"^(r?w?m?)$", min_length=1, max_length=3)] = "rwm"
    """What the device cgroup allows: any of `r` (read), `w` (write), `m` (mknod), in this order."""


class Capabilities(Model):
    """Changes to the default set of Linux capabilities."""

    add: Annotated[list[str], Field(max_length=64)] = []
    """Capabilities to add, with or without `CAP_`; `ALL` adds every one."""
    drop: Annotated[list[str], Field(max_length=64)] = []
    """Capabilities to drop, with or without `CAP_`; `ALL` drops every one, before `add` applies."""


class SeccompProfile(Model):
    """The filter of system calls."""

    type: SeccompProfileType = SeccompProfileType.RUNTIME_DEFAULT
    """RuntimeDefault, Unconfined, or Localhost with `localhostProfile`."""
    localhost_profile: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """With type Localhost: the profile's file, relative to the agent's directory of seccomp profiles."""


class SecurityContext(Model):
    """Who the container's process is and what it may do."""

    user: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """User, and optionally group, as name or number: `app`, `1000`, `app:staff`, `1000:1000`. Names are looked up in the image. Default: the image's."""
    run_as_user: NumericID | None = None
    """Numeric user id; excludes `user`."""
    run_as_group: NumericID | None = None
    """Numeric primary group id; excludes a group in `user`."""
    supplemental_groups: Annotated[list[NumericID], Field(max_length=256)] = []
    """Further groups, added to those that the image's /etc/group gives the user."""
    privileged: bool = False
    """Every capability, every device, no masked paths and no seccomp filter: root on the node in all but name."""
    read_only_root_filesystem: bool = False
    """Mount the root filesystem read-only."""
    allow_privilege_escalation: bool = False
    """Whether a process may gain more privileges than its parent (setuid binaries). False sets no_new_privs."""
    capabilities: Capabilities = Capabilities()
    """Changes to the default capabilities."""
    seccomp_profile: SeccompProfile = SeccompProfile()
    """The filter of system calls."""


class Network(Model):
    """How the container is connected."""

    mode: NetworkMode = NetworkMode.NONE
    """`none`: a network namespace of its own with a loopback interface only; `host`: the node's network."""


class HostPathSource(Model):
    """A file or directory of the node."""

    path: AbsolutePath
    """Path on the node."""
    type: HostPathType = HostPathType.UNCHECKED
    """What must be there: Directory, File, Socket, CharDevice, BlockDevice, or made when missing (DirectoryOrCreate, FileOrCreate). Empty: no check."""


class Mount(Model):
    """Something mounted into the container: a Kubernetes volumeMount with its source inline."""

    mount_path: AbsolutePath
    """Absolute path in the container, not `/`."""
    host_path: HostPathSource | None = None
    """Source: a file or directory of the node."""
    read_only: bool = False
    """Mount read-only, recursively where the kernel can."""
    sub_path: Annotated[str, Field(max_length=4096)] = ""
    """Path beneath the source to mount instead of the source itself; relative, without `..`. Symbolic links are resolved beneath the source and can't lead out."""
    mount_propagation: MountPropagation = MountPropagation.NONE
    """Whether mounts made later on one side appear on the other."""


class ContainerSpec(Model):
    """What the user declares."""

    node_name: Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] | None = None
    """The node that runs the container. Immutable once set; bound by the cluster when absent."""
    desired_state: DesiredState = DesiredState.RUNNING
    """Running, Paused (processes frozen) or Stopped (the container and its writable layer are kept)."""
    image: Annotated[str, Field(min_length=1, max_length=1024)]
    """Image reference by tag or digest: `registry.example.com/shop/web:1.4`."""
    image_pull_policy: ImagePullPolicy | None = None
    """Always, IfNotPresent or Never. Default: Always for the tag `latest` (or none), else IfNotPresent."""
    command: Annotated[list[str], Field(max_length=4096)] | None = None
    """Replaces the image's entrypoint; then the image's command is not used either."""
    args: Annotated[list[str], Field(max_length=4096)] | None = None
    """Replaces the image's command."""
    working_dir: AbsolutePath | None = None
    """Working directory, absolute. Default: the image's, else `/`."""
    env: Annotated[list[EnvVar], Field(max_length=1024)] = []
    """Environment variables, added to the image's and replacing those of the same name."""
    tty: bool = False
    """Give the process a terminal."""
    init: bool = False
    """Run a minimal init as process 1 that forwards signals and reaps zombies."""
    stop_signal: Annotated[str, Field(max_length=16)] | None = None
    """Signal that asks the container to stop: `SIGTERM`, `TERM` or `15`. Default: the image's, else SIGTERM."""
    termination_grace_period_seconds: Annotated[int, Field(ge=0, le=86400)] = 10
    """Seconds between the stop signal and SIGKILL."""
    hostname: Annotated[str, Field(max_length=63, pattern=r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$")] | None = None
    """Host name in the container. Default: the first 12 characters of the container's id, or the node's on the host network."""
    runtime_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """OCI runtime: a name that the agent was given (`runc`, `crun`). Default: the agent's default runtime."""
    resources: Resources = Resources()
    """Limits and requests of compute resources."""
    ulimits: Annotated[list[Ulimit], Field(max_length=16)] = []
    """Resource limits of the processes."""
    devices: Annotated[list[Device], Field(max_length=64)] = []
    """Devices of the node."""
    sysctls: Annotated[dict[str, str], Field(max_length=64)] = {}
    """Kernel parameters of the container's own namespaces, by name."""
    security_context: SecurityContext = SecurityContext()
    """Who the process is and what it may do."""
    network: Network = Network()
    """How the container is connected."""
    mounts: Annotated[list[Mount], Field(max_length=256)] = []
    """What is mounted into the container."""


class PullProgress(Model):
    """How far the pull of the image has come."""

    received_bytes: int = 0
    """Bytes received so far."""
    total_bytes: int = 0
    """Bytes of all layers that must be fetched; 0 while not known."""
    started_at: datetime | None = None
    """When the pull began."""


class ContainerStatus(Model):
    """What the agent observed. Written by the agent alone, and only when it changes."""

    observed_generation: int | None = None
    """The generation of the spec that this status speaks of."""
    state: ContainerState = ContainerState.PENDING
    """What the engine sees, in one word: Pending, Created, Running, Paused, Restarting, Exited, Removing or Unknown."""
    container_id: str | None = None
    """Id of the container in containerd (64 hex digits); present only while containerd has it."""
    image_id: str | None = None
    """Digest of the image's configuration that the container was made from."""
    node_name: str | None = None
    """The node that runs the container."""
    pid: int | None = None
    """Process id of the container's first process, in the node's process namespace."""
    runtime_name: str | None = None
    """The OCI runtime that the container was made with."""
    created_at: datetime | None = None
    """When the container was made."""
    started_at: datetime | None = None
    """When its process was started last."""
    finished_at: datetime | None = None
    """When its process ended last."""
    exit_code: int | None = None
    """Exit code of the last process: 128 + n when signal n ended it; 127, 126 or 128 when it could not be started."""
    signal: int | None = None
    """Number of the signal that ended the last process."""
    oom_killed: bool | None = None
    """Whether the kernel killed it for want of memory."""
    restart_count: int | None = None
    """How often the container was started again."""
    stopped_by_user: bool | None = None
    """Whether the user asked for the stop; then no restart policy undoes it."""
    spec_hash: str | None = None
    """Hash of the part of the spec that the container was made from."""
    pull: PullProgress | None = None
    """Progress of the pull, while there is one."""
    conditions: list[Condition] = []
    """Ready, Reconciling, Stalled, Accepted, ImageReady, each with reason and message."""
