"""What follows from an error while a container is made or started: the one place where errors become reasons and consequences.

A transient error of containerd is not a failure of the container: it is raised on, and the queue backs off.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from controller.agent.declared import Declared
from controller.agent.hostpaths import SourceExchanged
from controller.agent.identity import Key
from controller.agent.observation import Checked, Failure
from controller.agent.removal import TearDownError
from controller.agent.rootfs import RootfsError
from controller.api.reasons import Reason
from controller.containerd.errors import ContainerdError
from controller.oci.errors import OCIError
from controller.oci.start_errors import StartFailure

NODE_BACKOFF = timedelta(seconds=30)
FIRST_BACKOFF = timedelta(seconds=1)
LAST_BACKOFF = timedelta(minutes=5)
NODES_FAULT = frozenset(
    {Reason.NODE_UNFIT, Reason.MOUNT_SOURCE_MISSING, Reason.RUNTIME_MISSING, Reason.POLICY_FORBIDDEN}
)
"""Reasons that may pass without a change of the spec, when somebody mends the node."""


class StartFailed(Exception):
    """The process could not be started; what the runtime said about it is explained."""

    def __init__(self, failure: StartFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class FailureBook:
    """The last failure of each object that has one."""

    def __init__(self) -> None:
        self._failures: dict[Key, Failure] = {}
        self._counts: dict[Key, int] = {}
        self._checked: dict[Key, Checked] = {}

    def of(self, key: Key) -> Failure | None:
        """The last failed attempt, if none has succeeded since."""
        return self._failures.get(key)

    def forget(self, key: Key) -> None:
        """An attempt succeeded, or nothing is attempted any more."""
        self._failures.pop(key, None)
        self._counts.pop(key, None)
        self._checked.pop(key, None)

    def passed(self, declared: Declared, now: datetime) -> None:
        """A container could be made of this spec."""
        self.forget(declared.key)
        self._checked[declared.key] = Checked(declared.spec_hash, now)

    def checked(self, key: Key) -> Checked | None:
        """The spec that was found to be good last, and when."""
        return self._checked.get(key)

    def forget_reason(self, reason: Reason) -> None:
        """What failed for this reason may succeed now."""
        for key in [key for key, failure in self._failures.items() if failure.reason is reason]:
            self.forget(key)

    def note(self, declared: Declared, error: Exception, now: datetime) -> Failure:
        """Take down a failed attempt.

        Raises:
            Exception: `error` itself, when it says nothing about this container.
        """
        failure = replace(self._failure(declared, error, now), restarted_at=declared.restarted_at)
        self._failures[declared.key] = failure
        return failure

    def _failure(self, declared: Declared, error: Exception, now: datetime) -> Failure:
        match error:
            case StartFailed(failure=failed):
                # One that is the container's own fault is an end like any other: see `endings.is_for_policy`.
                retry = now + NODE_BACKOFF if failed.reason in NODES_FAULT else None
                return Failure(
                    declared.uid, declared.spec_hash, failed.reason, failed.message, now, failed.exit_code, retry
                )
            case OCIError(reason=reason):
                mendable = reason in NODES_FAULT or isinstance(error, SourceExchanged)
                retry = now + NODE_BACKOFF if mendable else None
                return Failure(declared.uid, declared.spec_hash, reason, str(error), now, None, retry)
            case ContainerdError(transient=False):
                return self._retried(declared, Reason.CREATE_ERROR, error, now)
            case TearDownError() | RootfsError():
                return self._retried(declared, Reason.CREATE_ERROR, error, now)
            case _:
                raise error

    def _backoff(self, key: Key) -> timedelta:
        count = self._counts[key] = self._counts.get(key, 0) + 1
        return min(FIRST_BACKOFF * (1 << min(count - 1, 16)), LAST_BACKOFF)

    def _retried(self, declared: Declared, reason: Reason, error: Exception, now: datetime) -> Failure:
        return Failure(
            declared.uid, declared.spec_hash, reason, str(error), now, None, now + self._backoff(declared.key)
        )
