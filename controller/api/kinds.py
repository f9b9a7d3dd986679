"""The kinds that there are: of each its names, its models and the columns that `kubectl get` prints. Pure.

`crd` makes the CustomResourceDefinitions from here.
"""

from dataclasses import dataclass
from typing import Final

from controller.api import container, node
from controller.api.container import ContainerSpec, ContainerStatus
from controller.api.model import Model
from controller.api.node import ContainerNodeSpec, ContainerNodeStatus

GROUP: Final = container.GROUP
VERSION: Final = container.VERSION

_READY: Final = '.status.conditions[?(@.type=="Ready")]'


@dataclass(frozen=True)
class Column:
    """What `kubectl get` prints of an object."""

    name: str
    type: str
    path: str
    description: str


_AGE: Final = Column("Age", "date", ".metadata.creationTimestamp", "Time since the object was created.")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object."""

    name: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    description: str
    namespaced: bool
    spec: type[Model]
    status: type[Model]
    needs_spec: bool
    """Whether an object without a spec is refused."""
    columns: tuple[Column, ...]
    wide_columns: tuple[Column, ...]
    """Those that `-o wide` adds."""

    @property
    def resource(self) -> str:
        """Name of the resource with its group, as RBAC and CRDs write it."""
        return f"{self.plural}.{GROUP}"


CONTAINER: Final = Kind(
    name=container.KIND,
    plural=container.PLURAL,
    singular=container.SINGULAR,
    short_names=container.SHORT_NAMES,
    categories=container.CATEGORIES,
    description="One container on one node: declared in spec, run by the node's agent through containerd, observed in status.",
    namespaced=True,
    spec=ContainerSpec,
    status=ContainerStatus,
    needs_spec=True,
    columns=(
        Column("State", "string", ".status.state", "What the engine sees."),
        Column("Ready", "string", f"{_READY}.status", "Whether the container is as declared."),
        Column("Restarts", "integer", ".status.restartCount", "How often it was started again."),
        Column("Node", "string", ".spec.nodeName", "The node that runs it."),
        _AGE,
    ),
    wide_columns=(
        Column("Image", "string", ".spec.image", "The image as declared."),
        Column("Health", "string", ".status.health.status", "What the health check has found."),
        Column("Exit", "integer", ".status.exitCode", "Exit code of the last process."),
        Column("Reason", "string", f"{_READY}.reason", "Why it is ready or is not."),
        Column("ID", "string", ".status.containerID", "Id in containerd."),
    ),
)

CONTAINER_NODE: Final = Kind(
    name=node.NODE_KIND,
    plural=node.NODE_PLURAL,
    singular=node.NODE_SINGULAR,
    short_names=node.NODE_SHORT_NAMES,
    categories=node.NODE_CATEGORIES,
    description="One node that runs containers: made and reported on by its agent, cordoned and tainted by its operator.",
    namespaced=False,
    spec=ContainerNodeSpec,
    status=ContainerNodeStatus,
    needs_spec=False,
    columns=(
        Column("Ready", "string", f"{_READY}.status", "Whether its agent is well."),
        Column("Cordoned", "boolean", ".spec.unschedulable", "Whether nothing more is bound to it."),
        Column("Running", "integer", ".status.containers.running", "Containers whose process runs."),
        Column("Agent", "string", ".status.agentVersion", "Version of the agent."),
        Column("Containerd", "string", ".status.containerdVersion", "Version of containerd."),
        _AGE,
    ),
    wide_columns=(
        Column("Runtime", "string", ".status.runtimes[0].name", "The OCI runtime of Containers that ask for none."),
        Column("CPU", "string", ".status.allocatable.cpu", "Cores for containers."),
        Column("Memory", "string", ".status.allocatable.memory", "Memory for containers."),
        Column("Kernel", "string", ".status.kernelVersion", "Release of the kernel."),
        Column("Heartbeat", "date", ".status.lastHeartbeatTime", "Time since the status was written."),
        Column("Reason", "string", f"{_READY}.reason", "Why it is ready or is not."),
    ),
)

KINDS: Final = (CONTAINER, CONTAINER_NODE)
