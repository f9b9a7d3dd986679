"""The `ContainerNode` kind: one node that runs containers, as its agent reports it and as its operator wants it used.

Its names in Kubernetes, its two halves, and what goes with it: the Lease that is the agent's heartbeat. Pure: no input or output.
"""

# ruff: noqa: RUF012 -- pydantic copies a default for each instance
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from controller.api.conditions import Condition
from controller.api.container import ContainerState
from controller.api.model import DISTINCT, Model, keyed_by
from controller.api.placement import Taint
from controller.api.scalars import Flag

NODE_KIND: Final = "ContainerNode"
NODE_PLURAL: Final = "containernodes"
NODE_SINGULAR: Final = "containernode"
NODE_SHORT_NAMES: Final = ("ctrnode",)
NODE_CATEGORIES: Final = ("tally",)

HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
OPERATING_SYSTEM_LABEL: Final = "kubernetes.io/os"
OWN_LABELS: Final = frozenset({HOSTNAME_LABEL, ARCHITECTURE_LABEL, OPERATING_SYSTEM_LABEL})
"""Labels of a ContainerNode that its agent sets by itself."""

OUT_OF_SERVICE_TAINT: Final = "node.kubernetes.io/out-of-service"
"""By this taint the operator vouches that nothing runs on the node any more; Kubernetes has the same word for it."""

DEFAULT_LEASE_NAMESPACE: Final = "tallyman-system"
LEASE_DURATION_SECONDS: Final = 40
"""A node whose Lease was not renewed for so long counts as lost."""
LEASE_RENEWALS: Final = 4
"""So many renewals are due within the duration of a Lease."""
DEFAULT_MAX_CONTAINERS: Final = 250


def lease_name(node: str) -> str:
    """The name of a node's Lease."""
    return f"tallyman-node-{node}"


class ContainerNodeSpec(Model):
    """What the operator wants of the node. The agent writes it only when it makes the object."""

    unschedulable: Flag = False
    """Whether the node is cordoned: no further containers are bound to it. What is bound to it already goes on."""
    taints: Annotated[list[Taint], Field(max_length=64, json_schema_extra=keyed_by("key", "effect"))] = []
    """Keep away containers that do not tolerate them."""


class NodeRuntime(Model):
    """An OCI runtime that the agent was given."""

    name: str
    """Name that a Container gives as `runtimeName`. The first one of the list is the default."""
    binary: str | None = None
    """Program that is run; absent for a containerd runtime type."""
    available: bool = False
    """Whether it is on the node."""


class NodeResources(Model):
    """Amounts of what containers use of a node."""

    cpu: str | None = None
    """Cores."""
    memory: str | None = None
    """Bytes."""
    containers: int | None = None
    """Number of Containers."""


class ContainerCounts(Model):
    """How many Containers are bound to the node, in all and by `status.state`."""

    total: int = 0
    """All of them."""
    pending: int = 0
    """Those that wait for something, such as their image."""
    created: int = 0
    """Those that are made and were not started."""
    running: int = 0
    """Those whose process runs."""
    paused: int = 0
    """Those whose processes are frozen."""
    restarting: int = 0
    """Those that have ended and will be started again."""
    exited: int = 0
    """Those that have ended."""
    removing: int = 0
    """Those that are being removed."""
    unknown: int = 0
    """Those of which containerd can't tell."""


class ContainerNodeStatus(Model):
    """What the agent reports of its node. Written when it changes, and every five minutes; by the manager when the agent is lost."""

    agent_version: str | None = None
    """Version of the agent."""
    containerd_version: str | None = None
    """Version of the node's containerd."""
    kernel_version: str | None = None
    """Release of the node's kernel, as `uname -r` prints it."""
    architecture: str | None = None
    """Processor architecture, in the words of image indexes: amd64, arm64."""
    operating_system: str | None = None
    """Operating system: linux."""
    os_image: str | None = None
    """Name of the distribution, from its os-release file."""
    boot_id: str | None = None
    """Id of the node's present boot."""
    runtimes: Annotated[list[NodeRuntime], Field(json_schema_extra=keyed_by("name"))] = []
    """The OCI runtimes that the agent was given, the default first."""
    features: Annotated[list[str], Field(json_schema_extra=DISTINCT)] = []
    """What the node's kernel offers to containers, such as `freezer`, `seccomp` and `swapAccounting`."""
    capacity: NodeResources | None = None
    """What the node has."""
    allocatable: NodeResources | None = None
    """What of it is for containers: the capacity less what was reserved for everything else."""
    containers: ContainerCounts | None = None
    """How many Containers are bound to the node, in all and by `status.state`."""
    last_heartbeat_time: datetime | None = None
    """When this status was written last. The agent's heartbeat is the Lease, which is renewed more often."""
    conditions: Annotated[list[Condition], Field(json_schema_extra=keyed_by("type"))] = []
    """Ready, with reason and message."""


def counted(states: Iterable[ContainerState | None]) -> ContainerCounts:
    """The counts of Containers in these states; what has no state yet is pending."""
    found = Counter(state or ContainerState.PENDING for state in states)
    return ContainerCounts(total=found.total(), **{state.lower(): number for state, number in found.items()})
