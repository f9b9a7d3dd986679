"""What the user of a `Container` declares: one model for the schema, the defaults, the types of the code and the docs.

Rules that span several fields live in `rules`. The docstring of each field is what `kubectl explain` and docs/container.md
show. Pure: no input or output.
"""

# ruff: noqa: RUF012 -- pydantic copies a default for each instance
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from controller.api.healthcheck import HealthCheck
from controller.api.lifecycle import Dependency, RestartPolicy
from controller.api.model import DISTINCT, PINNED, Change, Model, keyed_by
from controller.api.placement import NodeSelector, ReschedulePolicy, Toleration
from controller.api.scalars import (
    AbsolutePath,
    CapabilityName,
    DevicePermissions,
    EnvName,
    Flag,
    HostName,
    ImageName,
    Integer,
    NodeName,
    NumericID,
    Quantity,
    RelativePath,
    RuntimeName,
    Signal,
    SysctlValue,
    Text,
    UserName,
)


class DesiredState(StrEnum):
    """What the user wants the container to be."""

    RUNNING = "Running"
    PAUSED = "Paused"
    STOPPED = "Stopped"


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


UlimitName = Literal[
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
]
# NB: Kubernetes keeps the bounds of a schema as floats, and a larger one would come back changed from `kubectl apply`.
UlimitValue = Annotated[Integer, Field(ge=-1, le=2**53)]


class LoggingDriver(StrEnum):
    """Where the output of a container goes."""

    CRI = "cri"
    FILE = "file"
    NONE = "none"


class EnvVar(Model):
    """One environment variable."""

    name: EnvName
    """Name of the variable; not empty, without `=`."""
    value: Text = ""
    """Value, taken literally: `$(NAME)` is not expanded. Default: empty."""


class ResourceAmounts(Model):
    """Amounts of compute resources."""

    cpu: Quantity | None = None
    """Cores: `1`, `"0.5"` or `500m`; at least `1m`."""
    memory: Quantity | None = None
    """Bytes, with an optional suffix: `256Mi`, `1G`."""


class ResourceLimits(ResourceAmounts):
    """Upper bounds, enforced by the kernel."""

    memory: Quantity | None = None
    """Bytes, with an optional suffix: `256Mi`, `1G`; at least `6Mi`."""
    pids: Annotated[Integer, Field(ge=1, le=4194304)] | None = None
    """Most processes and threads that may exist in the container at once."""


class Resources(Model):
    """What the container may use at most (limits), and its share when the node is busy (requests)."""

    limits: ResourceLimits = ResourceLimits()
    """Upper bounds, enforced by the kernel. An absent one means no limit of the container's own."""
    requests: ResourceAmounts = ResourceAmounts()
    """What the container is entitled to when the node is busy; the cpu request sets its weight. Not above the limits."""


class Ulimit(Model):
    """A resource limit of the container's processes, as of setrlimit(2)."""

    name: UlimitName
    """Name of the limit in lower case, without `RLIMIT_`."""
    soft: UlimitValue
    """The limit in force, not above `hard`; -1 means unlimited."""
    hard: UlimitValue
    """The ceiling up to which a process may raise its soft limit; -1 means unlimited."""


class Device(Model):
    """A device of the node made available in the container."""

    host_path: AbsolutePath
    """Path of the device on the node."""
    container_path: AbsolutePath | None = None
    """Path in the container. Default: the same as on the node."""
    permissions: DevicePermissions = "rwm"
    """What the device cgroup allows: any of `r` (read), `w` (write), `m` (mknod), in this order."""


class Capabilities(Model):
    """Changes to the default set of Linux capabilities."""

    add: Annotated[list[CapabilityName], Field(max_length=64, json_schema_extra=DISTINCT)] = []
    """Capabilities to add, with or without `CAP_`; `ALL` adds every one."""
    drop: Annotated[list[CapabilityName], Field(max_length=64, json_schema_extra=DISTINCT)] = []
    """Capabilities to drop, with or without `CAP_`; `ALL` drops every one, before `add` applies."""


class SeccompProfile(Model):
    """The filter of system calls."""

    type: SeccompProfileType = SeccompProfileType.RUNTIME_DEFAULT
    """RuntimeDefault, Unconfined, or Localhost with `localhostProfile`."""
    localhost_profile: Annotated[RelativePath, Field(min_length=1)] | None = None
    """With type Localhost only: the profile's file, relative to the agent's directory of seccomp profiles, without `..`."""


class SecurityContext(Model):
    """Who the container's process is and what it may do."""

    user: UserName | None = None
    """User, and optionally group, as name or number: `app`, `1000`, `app:staff`, `1000:1000`. Names are looked up in the image. Default: the image's."""
    run_as_user: NumericID | None = None
    """Numeric user id; excludes `user`. Default: the image's user."""
    run_as_group: NumericID | None = None
    """Numeric primary group id; excludes a group in `user`. Default: the user's group in the image."""
    supplemental_groups: Annotated[list[NumericID], Field(max_length=256, json_schema_extra=DISTINCT)] = []
    """Further groups, added to those that the image's /etc/group gives the user."""
    privileged: Flag = False
    """Every capability, every device, no masked paths and no seccomp filter: root on the node in all but name."""
    read_only_root_filesystem: Flag = False
    """Mount the root filesystem read-only."""
    allow_privilege_escalation: Flag = False
    """Whether a process may gain more privileges than its parent (setuid binaries). False sets no_new_privs; it can't be written together with `privileged` or an added SYS_ADMIN."""
    capabilities: Capabilities = Capabilities()
    """Changes to the default set of Linux capabilities."""
    seccomp_profile: SeccompProfile = SeccompProfile()
    """The filter of system calls."""


class Network(Model):
    """How the container is connected."""

    mode: NetworkMode = NetworkMode.NONE
    """`none`: a network namespace of its own with a loopback interface only; `host`: the node's network."""


class HostPathSource(Model):
    """A file or directory of the node."""

    path: AbsolutePath
    """Absolute path on the node, without `..`."""
    type: HostPathType = HostPathType.UNCHECKED
    """What must be there: Directory, File, Socket, CharDevice, BlockDevice, or made when missing (DirectoryOrCreate, FileOrCreate). Default: empty, which means no check."""


class Mount(Model, json_schema_extra={"oneOf": [{"required": ["hostPath"]}]}):
    """Something mounted into the container: a Kubernetes volumeMount with its source inline. Exactly one source each."""

    mount_path: AbsolutePath
    """Absolute path in the container, without `..`; not `/`, and not in `/proc`."""
    host_path: HostPathSource | None = None
    """Source: a file or directory of the node."""
    read_only: Flag = False
    """Mount read-only, recursively where the kernel can."""
    sub_path: RelativePath = ""
    """Path beneath the source to mount instead of the source itself; relative, without `..`. Symbolic links are resolved beneath the source and can't lead out."""
    mount_propagation: MountPropagation = MountPropagation.NONE
    """Whether mounts made later on one side appear on the other: None, HostToContainer, or Bidirectional (privileged containers only)."""


class Logging(Model):
    """Where the output goes, and how much of it is kept."""

    driver: LoggingDriver = LoggingDriver.CRI
    """`cri`: a log on the node with time stamps, in the format of Kubernetes' runtimes, rotated; `file`: a file with the bytes as they are, not rotated; `none`: nothing is kept."""
    max_size: Annotated[Quantity, Change.IN_PLACE] = "10Mi"
    """Driver `cri`: bytes after which a new file is begun, with an optional suffix; at least `64Ki`."""
    max_files: Annotated[Integer, Field(ge=1, le=100), Change.IN_PLACE] = 3
    """Driver `cri`: most files that are kept of one run, the present one included."""


class ContainerSpec(Model):
    """What the user declares."""

    node_name: Annotated[NodeName | None, Change.IMMUTABLE] = None
    """The node that runs the container. Immutable once set; bound by the cluster when absent."""
    node_selector: Annotated[NodeSelector, Change.IN_PLACE] = {}
    """Labels that a node must have for the container to be bound to it, by key: `disk: ssd`."""
    tolerations: Annotated[list[Toleration], Field(max_length=64), Change.IN_PLACE] = []
    """Taints of nodes that do not keep the container away."""
    reschedule: Annotated[ReschedulePolicy, Change.IN_PLACE] = ReschedulePolicy.NEVER
    """Whether the container is bound to another node when its own is gone for good: Never or WhenNodeGone. Its writable layer does not come along."""
    desired_state: Annotated[DesiredState, Change.IN_PLACE] = DesiredState.RUNNING
    """Running, Paused (processes frozen) or Stopped (the container and its writable layer are kept)."""
    image: ImageName
    """Image reference by tag or digest: `registry.example.com/shop/web:1.4`."""
    image_pull_policy: Annotated[ImagePullPolicy | None, Change.IN_PLACE] = None
    """Always, IfNotPresent or Never. Default: Always for the tag `latest` (or none), else IfNotPresent."""
    command: Annotated[list[Text], Field(max_length=4096)] | None = None
    """Replaces the image's entrypoint; then the image's command is not used either. Default: the image's entrypoint."""
    args: Annotated[list[Text], Field(max_length=4096)] | None = None
    """Replaces the image's command. Default: the image's command, unless `command` is set."""
    working_dir: AbsolutePath | None = None
    """Working directory, absolute. Default: the image's, else `/`."""
    env: Annotated[list[EnvVar], Field(max_length=1024, json_schema_extra=keyed_by("name"))] = []
    """Environment variables, added to the image's and replacing those of the same name."""
    tty: Flag = False
    """Give the process a terminal."""
    init: Flag = False
    """Run a minimal init as process 1 that forwards signals and reaps zombies."""
    stop_signal: Annotated[Signal | None, Change.IN_PLACE] = None
    """Signal that asks the container to stop: `SIGTERM`, `TERM` or `15`. Default: the image's, else SIGTERM."""
    termination_grace_period_seconds: Annotated[Integer, Field(ge=0, le=86400), Change.IN_PLACE] = 10
    """Seconds between the stop signal and SIGKILL."""
    hostname: HostName | None = None
    """Host name in the container. Default: the first 12 characters of the container's id, or the node's on the host network."""
    runtime_name: RuntimeName | None = None
    """OCI runtime: a name that the agent was given (`runc`, `crun`). Default: the agent's default runtime."""
    restart_policy: Annotated[RestartPolicy, Change.IN_PLACE] = RestartPolicy()
    """Whether and when the process is started again after it has ended."""
    auto_remove: Annotated[Flag, Change.IN_PLACE] = False
    """Delete the object, and with it the container, once the process has ended or could not be started. Excludes a restart policy other than Never."""
    depends_on: Annotated[
        list[Dependency], Field(max_length=64, json_schema_extra=keyed_by("name")), Change.IN_PLACE
    ] = []
    """Other containers that must have come to something before this one is started, each time that it is started."""
    health_check: Annotated[HealthCheck | None, Change.IN_PLACE] = None
    """How the agent finds out whether the process is well, and what it does when it is not. One that the image declares is not used."""
    resources: Annotated[Resources, Change.IN_PLACE] = Resources()
    """What the container may use at most (limits), and its share when the node is busy (requests)."""
    ulimits: Annotated[list[Ulimit], Field(max_length=16, json_schema_extra=keyed_by("name"))] = []
    """Resource limits of the processes, as of setrlimit(2)."""
    devices: Annotated[list[Device], Field(max_length=64, json_schema_extra=keyed_by("hostPath"))] = []
    """Devices of the node made available in the container."""
    sysctls: Annotated[dict[str, SysctlValue], Field(max_length=64)] = {}
    """Kernel parameters of the container's own namespaces, by name: `net.core.somaxconn: "1024"`."""
    security_context: SecurityContext = SecurityContext()
    """Who the process is and what it may do."""
    network: Annotated[Network, Field(json_schema_extra=PINNED)] = Network()
    """How the container is connected."""
    mounts: Annotated[list[Mount], Field(max_length=256, json_schema_extra=keyed_by("mountPath"))] = []
    """What is mounted into the container."""
    logging: Logging = Logging()
    """Where the output goes, and how much of it is kept."""
