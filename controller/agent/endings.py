"""Ends and failed starts, by whoever remembers them: the container's labels, this agent, or only the status. Pure."""

from datetime import datetime, timedelta

from controller.agent import life
from controller.agent.actions import Action, FreeProcess, RecordExit, RecordFailedStart
from controller.agent.decision import Plan, engine_state, is_due
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import ExitRecord
from controller.agent.observation import Failure, Observation, ObservedContainer, TaskState
from controller.api.conditions import ConditionStatus, ConditionType
from controller.api.container import ContainerSpec, ContainerState, ContainerStatus
from controller.api.lifecycle import RestartPolicyName
from controller.api.reasons import Reason
from controller.oci import start_errors

_REFUSED = frozenset({Reason.INVALID_SPEC, Reason.POLICY_FORBIDDEN})
"""Reasons of a failed attempt that speak of the spec itself."""
_HELD = frozenset(
    {
        Reason.POLICY_FORBIDDEN,
        Reason.DEPENDENCY_WAITING,
        Reason.DEPENDENCY_MISSING,
        Reason.DEPENDENCY_FAILED,
        Reason.DEPENDENCY_CYCLE,
    }
)
"""Reasons of a container that had ended, and would have been started again had nothing held it back."""
LONGEST_WAIT = timedelta(minutes=5)
"""No failed attempt waits longer for its next one."""
LAST_OUTPUT = "; last output:\n"
"""What stands between how a process ended and the lines that it printed last."""


def of_attempt(
    declared: Declared, observed: Observation, now: datetime, current: ObservedContainer | None = None
) -> Plan | None:
    """The last attempt failed: wait for its next try, or for another spec.

    Only what is not tried again is Exited: what is, must not be taken for an end by an agent that knows the status only.
    """
    failure = observed.failure
    if failure is None or not concerns(failure, declared):
        return None
    if declared.spec is not None and is_for_policy(declared.spec, failure):
        return None
    if failure.retry_at is not None and is_due(failure.retry_at, LONGEST_WAIT, now):
        return None
    why = Verdict(failure.reason, failure.message)
    ended = current.exit if current is not None else None
    state = engine_state(current)
    # What the policy forbids is a matter of the node too, but nothing that passes by itself.
    stuck = failure.retry_at is None or failure.reason is Reason.POLICY_FORBIDDEN
    if failure.exit_code is not None:
        ended = ExitRecord(failure.exit_code, None, failure.at, False, failure.reason, failure.message)
        state = ContainerState.EXITED if failure.retry_at is None else state
    shown = Facts(
        state,
        why,
        progressing=None if stuck else why,
        stalled=why if stuck else None,
        refused=why if failure.reason in _REFUSED else None,
        container=current,
        exit=ended,
        image=observed.image,
    )
    return Plan(facts=shown, look_again=failure.retry_at)


def concerns(failure: Failure, declared: Declared) -> bool:
    """Whether the attempt was for this object as it is declared now."""
    attempt = (failure.uid, failure.spec_hash, failure.restarted_at)
    return attempt == (declared.uid, declared.spec_hash, declared.restarted_at)


def is_for_policy(spec: ContainerSpec, failure: Failure) -> bool:
    """Whether a start failed as a process may end, by the container's own fault, and there is a policy to say what follows."""
    own_fault = failure.exit_code is not None and failure.retry_at is None
    return own_fault and spec.restart_policy.name is not RestartPolicyName.NEVER


def failed_start(current: ObservedContainer, failure: Failure) -> RecordFailedStart:
    """The failed start as an end. What was never up is a short run."""
    code = failure.exit_code if failure.exit_code is not None else start_errors.OTHER
    return RecordFailedStart(current.id, code, failure.reason, failure.message, failure.at, current.short_runs + 1)


def in_status(declared: Declared, current: ObservedContainer | None = None) -> Plan | None:
    """The status remembers an end that containerd does not, or not any longer: it stays one until the spec changes.

    Of a container that is there this can only be a start that failed, for any other end is remembered by its labels.
    """
    status = declared.status
    if current is not None and not life.is_told(status, current):
        return None
    if status.state is not ContainerState.EXITED or status.spec_hash != declared.spec_hash or status.stopped_by_user:
        return None
    if status.exit_code is None or status.finished_at is None:
        return None
    if declared.restarted_at not in ("", status.restarted_at):
        return None
    ready = next((c for c in status.conditions if c.type is ConditionType.READY), None)
    if ready is not None and ready.reason in _HELD:
        return None
    reason = Reason(ready.reason) if ready is not None and ready.reason in set(Reason) else Reason.ERROR
    message = ready.message if ready is not None else ""
    if reason is Reason.RUNTIME_MISSING:
        # It was why a container was left alone that is no longer there; how its last run ended is in the history.
        reason, message = _last_reason(status), ""
    why = Verdict(reason, message)
    stuck = any(c.type is ConditionType.STALLED and c.status is ConditionStatus.TRUE for c in status.conditions)
    ended = ExitRecord(status.exit_code, status.signal, status.finished_at, bool(status.oom_killed), reason, message)
    shown = Facts(ContainerState.EXITED, why, stalled=why if stuck else None, container=current, exit=ended)
    return Plan(facts=shown)


def _last_reason(status: ContainerStatus) -> Reason:
    """How the last run ended."""
    last = status.history[0] if status.history else None
    known = last is not None and last.finished_at == status.finished_at and last.reason in set(Reason)
    return Reason(last.reason) if last is not None and known else Reason.ERROR


def began(declared: Declared, current: ObservedContainer) -> datetime | None:
    """When the present run began: as this agent saw it, else as the status has it for the same run."""
    return current.started_at or (declared.status.started_at if life.is_told(declared.status, current) else None)


def to_record(declared: Declared, current: ObservedContainer | None) -> tuple[Action, ...]:
    """A process that has ended and still holds its place."""
    if current is None or current.task is None or current.task.state is not TaskState.STOPPED:
        return ()
    if life.is_recorded(current):
        return (FreeProcess(current.id),)
    return (RecordExit(current.id, None, began(declared, current), current.short_runs + 1),)


def facts(current: ObservedContainer, ended: ExitRecord, why: Verdict) -> Facts:
    """The facts of a container that ended and is left at that."""
    return Facts(ContainerState.EXITED, why, container=current, exit=ended)


def with_more(message: str, more: str) -> str:
    """A message about an end with something to add: what the process printed last stays last."""
    said, mark, output = message.partition(LAST_OUTPUT)
    return f"{said}; {more}{mark}{output}"


def without_output(message: str) -> str:
    """A message about an end without what the process printed: that may be anything, and is not for everybody."""
    return message.partition(LAST_OUTPUT)[0]


def text(ended: ExitRecord) -> str:
    """How it ended, in words."""
    how = f"signal {ended.signal}" if ended.signal else f"exit code {ended.code}"
    return f"the process ended with {how}"
