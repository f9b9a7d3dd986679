"""What the agent says of its node: facts become the status of the ContainerNode, and when that is worth a write. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from controller.api.conditions import Condition, ConditionStatus, ConditionType, merged
from controller.api.container import ContainerState
from controller.api.node import (
    ARCHITECTURE_LABEL,
    HOSTNAME_LABEL,
    OPERATING_SYSTEM_LABEL,
    ContainerNodeStatus,
    NodeResources,
    NodeRuntime,
    counted,
)
from controller.api.reasons import Reason

SPACING_SECONDS = 10.0
"""How far apart writes are, unless Ready has changed."""
REFRESH_SECONDS = 300.0
"""A status that says nothing new is written so often nevertheless, to show that it is not an old one."""


@dataclass(frozen=True)
class Machine:
    """The machine under the node, which does not change while the agent runs."""

    kernel: str
    architecture: str
    operating_system: str
    os_image: str
    cpus: Decimal
    memory_bytes: Decimal


@dataclass(frozen=True)
class Room:
    """What containers may use of the node."""

    max_containers: int
    reserved_cpu: Decimal = Decimal(0)
    reserved_memory: Decimal = Decimal(0)


@dataclass(frozen=True)
class NodeReport:
    """Everything that a status is made from."""

    agent_version: str
    containerd_version: str
    machine: Machine
    boot_id: str
    room: Room
    features: tuple[str, ...] = ()
    runtimes: tuple[NodeRuntime, ...] = ()
    states: tuple[ContainerState | None, ...] = ()
    """Of each Container that is bound to the node."""
    out_of_step: tuple[str, ...] = ()
    """What the agent does not see as it is; none when it is well."""


def summarize(report: NodeReport, before: ContainerNodeStatus, generation: int, now: datetime) -> ContainerNodeStatus:
    """The status that says what the report found, given the one before."""
    machine, room = report.machine, report.room
    at = now.replace(microsecond=0)
    return ContainerNodeStatus(
        agent_version=report.agent_version,
        containerd_version=report.containerd_version or None,
        kernel_version=machine.kernel,
        architecture=machine.architecture,
        operating_system=machine.operating_system,
        os_image=machine.os_image or None,
        boot_id=report.boot_id,
        runtimes=list(report.runtimes),
        features=sorted(report.features),
        capacity=_resources(machine.cpus, machine.memory_bytes, room.max_containers),
        allocatable=_resources(
            max(machine.cpus - room.reserved_cpu, Decimal(0)),
            max(machine.memory_bytes - room.reserved_memory, Decimal(0)),
            room.max_containers,
        ),
        containers=counted(report.states),
        last_heartbeat_time=at,
        conditions=merged([_ready(report.out_of_step, generation)], before.conditions, at),
    )


def _ready(out_of_step: Iterable[str], generation: int) -> Condition:
    unseen = ", ".join(sorted(out_of_step))
    if not unseen:
        return Condition(
            type=ConditionType.READY,
            status=ConditionStatus.TRUE,
            reason=Reason.AGENT_READY,
            observed_generation=generation,
        )
    return Condition(
        type=ConditionType.READY,
        status=ConditionStatus.FALSE,
        reason=Reason.AGENT_NOT_READY,
        message=f"the agent does not see as it is: {unseen}; its /readyz and its log say more",
        observed_generation=generation,
    )


def _resources(cpus: Decimal, memory_bytes: Decimal, containers: int) -> NodeResources:
    return NodeResources(cpu=_cores(cpus), memory=_memory(memory_bytes), containers=containers)


def _cores(cpus: Decimal) -> str:
    """As Kubernetes writes it: whole cores, else thousandths."""
    return f"{cpus:f}" if cpus == cpus.to_integral_value() else f"{int(cpus * 1000)}m"


def _memory(memory_bytes: Decimal) -> str:
    """As Kubernetes writes it: in Ki where that is exact."""
    whole = int(memory_bytes)
    return f"{whole // 1024}Ki" if whole % 1024 == 0 else str(whole)


def labels(node: str, machine: Machine, given: Mapping[str, str]) -> dict[str, str]:
    """The labels of the node's object: those that Kubernetes gives its Nodes, and those that the agent was given."""
    own = {
        HOSTNAME_LABEL: node,
        ARCHITECTURE_LABEL: machine.architecture,
        OPERATING_SYSTEM_LABEL: machine.operating_system,
    }
    return {**given, **own}


def ready(status: ContainerNodeStatus) -> Condition | None:
    """The condition that the node is judged by."""
    return next((one for one in status.conditions if one.type is ConditionType.READY), None)


def says_lost(status: ContainerNodeStatus) -> bool:
    """Whether the manager has written that this node is not heard of."""
    condition = ready(status)
    return condition is not None and condition.reason == Reason.NODE_LOST


def wait_before_write(before: ContainerNodeStatus, after: ContainerNodeStatus, since_written: float | None) -> float:
    """The seconds until the status is worth a write; 0 or less when it is now.

    `since_written` is how long ago this agent wrote it last; None when it has not yet.
    """
    if since_written is None or _verdict(before) != _verdict(after):
        return 0.0
    spacing = SPACING_SECONDS if _without_time(before) != _without_time(after) else REFRESH_SECONDS
    return spacing - since_written


def _verdict(status: ContainerNodeStatus) -> tuple[str, str] | None:
    condition = ready(status)
    return None if condition is None else (condition.status, condition.reason)


def _without_time(status: ContainerNodeStatus) -> ContainerNodeStatus:
    return status.model_copy(update={"last_heartbeat_time": None})
