"""What was tried on a container that is there, and failed: remembered until it succeeds, so that the status can tell and the next try waits.

The making and starting of containers is `failures`' concern. A transient error of containerd says nothing about the container: it is for
the queue.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.agent.actions import (
    Action,
    FreeProcess,
    KillContainer,
    PauseContainer,
    RemoveContainer,
    RemoveFinalizer,
    ResumeContainer,
    SignalStop,
    UpdateResources,
)
from controller.agent.declared import Declared
from controller.agent.identity import Key
from controller.agent.observation import Trouble
from controller.agent.removal import TearDownError
from controller.api.reasons import Reason
from controller.containerd.errors import ContainerdError
from controller.oci import start_errors

FIRST_BACKOFF = timedelta(milliseconds=200)
LAST_BACKOFF = timedelta(minutes=1)
_DOUBLINGS = 16
_WHAT: dict[type[Action], tuple[Reason, str]] = {
    PauseContainer: (Reason.PAUSE_ERROR, "the processes could not be frozen"),
    ResumeContainer: (Reason.RESUME_ERROR, "the processes could not be thawed"),
    UpdateResources: (Reason.UPDATE_ERROR, "the new resources could not be applied; the former ones stay in force"),
    SignalStop: (Reason.STOP_ERROR, "the stop signal could not be sent"),
    KillContainer: (Reason.STOP_ERROR, "SIGKILL could not be sent"),
    FreeProcess: (Reason.REMOVE_ERROR, "what the ended process held could not be released"),
    RemoveContainer: (Reason.REMOVE_ERROR, "the container could not be removed"),
}


class TroubleBook:
    """The troubles of each object that has any."""

    def __init__(self) -> None:
        self._troubles: dict[Key, dict[Action, Trouble]] = {}

    def of(self, key: Key) -> tuple[Trouble, ...]:
        """What failed last time, and has not succeeded since."""
        return tuple(self._troubles.get(key, {}).values())

    def note(self, declared: Declared, action: Action, error: Exception, now: datetime) -> Trouble | None:
        """Take down that an action failed; None when that says nothing about the container, and is for the queue."""
        what = _WHAT.get(type(action))
        text = _detail(error)
        if what is None or text is None:
            return None
        before = self._troubles.get(declared.key, {}).get(action)
        if before is None or before.generation != declared.generation:
            before = Trouble(action, declared.generation, *what, since=now, retry_at=now)
        count = before.count + 1
        wait = min(FIRST_BACKOFF * (1 << min(count - 1, _DOUBLINGS)), LAST_BACKOFF)
        noted = replace(_explained(before, what, text), count=count, retry_at=now + wait)
        self._troubles.setdefault(declared.key, {})[action] = noted
        return noted

    def succeeded(self, key: Key, action: Action) -> None:
        """An action was done: it is no trouble any more. With the last one, nothing is."""
        if isinstance(action, RemoveFinalizer):
            self.forget(key)
        troubles = self._troubles.get(key)
        if troubles is not None and troubles.pop(action, None) is not None and not troubles:
            del self._troubles[key]

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._troubles.pop(key, None)


def _detail(error: Exception) -> str | None:
    match error:
        case TearDownError(problems=problems) if not all(problem.transient for problem in problems):
            return "; ".join(problem.detail for problem in problems)
        case ContainerdError(transient=False):
            return error.detail
        case _:
            return None


def _explained(trouble: Trouble, what: tuple[Reason, str], text: str) -> Trouble:
    """The trouble with what the runtime said about it, in words for people where it is known."""
    reason, told = what
    runtime = start_errors.missing_runtime(text)
    if runtime is not None:
        gone = f"{told}: OCI runtime {runtime} is not on this node; install it again"
        return replace(trouble, reason=Reason.RUNTIME_MISSING, message=gone)
    known = start_errors.explain(text)
    if reason is Reason.UPDATE_ERROR and known.reason is Reason.LIMIT_NOT_PERMITTED:
        return replace(trouble, reason=known.reason, message=f"{told}: {known.message}")
    return replace(trouble, reason=reason, message=f"{told}: {start_errors.plain(text)}")
