"""What of a written status a node may take for its own memory of a container. Pure.

A status is history that must survive an agent: that a start failed, when a process began. But others write into it too: the agent of a
node that the container was bound to before, and the manager, which says of a lost node's containers that nobody knows how they are.
"""

from dataclasses import dataclass

from controller.api.conditions import Condition, ConditionStatus, ConditionType
from controller.api.container import ContainerState, ContainerStatus
from controller.api.reasons import Reason


@dataclass(frozen=True)
class _Why:
    reason: str
    message: str = ""


def recalled(written: ContainerStatus, node: str) -> ContainerStatus:
    """The status without what another node has written, and as it was before the node was taken for lost."""
    if written.node_name not in (None, node):
        return ContainerStatus(history=written.history, conditions=written.conditions)
    if says_lost(written) and written.state is ContainerState.UNKNOWN and _had_settled(written):
        return _ended(written)
    return written


def says_lost(status: ContainerStatus) -> bool:
    """Whether the status is what the cluster says of the containers of a node that it does not hear of."""
    ready = _condition(status, ConditionType.READY)
    return ready is not None and ready.reason == Reason.NODE_LOST


def _had_settled(status: ContainerStatus) -> bool:
    """Whether the process had ended, and that was to stay so."""
    reconciling = _condition(status, ConditionType.RECONCILING)
    waited = reconciling is not None and reconciling.status is ConditionStatus.TRUE
    return status.exit_code is not None and status.finished_at is not None and not waited


def _ended(status: ContainerStatus) -> ContainerStatus:
    """How it had ended is what Ready said, and what else still says so."""
    why = _why_ended(status)
    conditions = [
        one.model_copy(update={"reason": why.reason, "message": why.message})
        if one.type is ConditionType.READY
        else one
        for one in status.conditions
    ]
    return status.model_copy(update={"state": ContainerState.EXITED, "conditions": conditions})


def _why_ended(status: ContainerStatus) -> _Why:
    stalled = _condition(status, ConditionType.STALLED)
    if stalled is not None and stalled.status is ConditionStatus.TRUE:
        return _Why(stalled.reason, stalled.message)
    last = status.history[0] if status.history else None
    if last is not None and last.finished_at == status.finished_at:
        return _Why(last.reason, last.message or "")
    return _Why(Reason.COMPLETED if status.exit_code == 0 else Reason.ERROR)


def _condition(status: ContainerStatus, kind: ConditionType) -> Condition | None:
    return next((one for one in status.conditions if one.type is kind), None)
