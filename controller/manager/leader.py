"""Leader election over a Lease: of all managers one leads, and one that can't prove that it does stops writing at once.

Times are durations by this process's monotonic clock; what other clocks have written into the Lease is only compared for
equality. A candidate takes the Lease over when it has not seen it change for the Lease's duration. The leader gives up before
that: it may write for `renew_deadline` after the last renewal was *sent*, and not a moment longer.

        leader      renew ──────────── renew_deadline ───────────┤ stops
        candidate          sees it ────────────────── duration ──────────────────┤ takes over
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Protocol

from controller import log
from controller.kube import errors

_log = log.get(__name__)
Clock = Callable[[], float]


class NotLeading(errors.KubeError):
    """This process does not lead, or no longer: the request was not sent."""


@dataclass(frozen=True)
class Timing:
    """How long, in seconds."""

    duration: float = 15.0
    """A Lease that did not change for so long may be taken over."""
    renew_deadline: float = 10.0
    """A leader that could not renew for so long leads no more."""
    retry: float = 2.0
    """Between attempts, of the leader to renew as of the others to acquire."""


class LeaseObject(Protocol):
    """The Lease in the API server."""

    async def get(self) -> dict[str, Any]:
        """Read it. Raises NotFound."""

    async def create(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Make it. Raises Conflict when it is there, NotFound when its namespace is not."""

    async def patch(self, version: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Change it, if it still is of this version. Raises Conflict."""


class Leader:
    """One contender for the Lease. `identity` is no other process's, not even an earlier one's of the same name."""

    def __init__(
        self, lease: LeaseObject, identity: str, timing: Timing | None = None, clock: Clock = monotonic
    ) -> None:
        self._lease = lease
        self._identity = identity
        self._timing = timing or Timing()
        self._clock = clock
        self._until = float("-inf")
        self._version = ""
        self._seen: object = None
        self._seen_at = clock()
        self._seen_duration = self._timing.duration
        self._trouble = ""

    def leads(self) -> bool:
        """Whether this process leads now."""
        return self.remaining() > 0

    def remaining(self) -> float:
        """For how long this process may still write, in seconds; not above 0 when it may not."""
        return self._until - self._clock()

    def permit(self) -> float:
        """To be asked before each write: how long it may take.

        Raises:
            NotLeading: this process may not write.
        """
        remaining = self.remaining()
        if remaining <= 0:
            raise NotLeading("this manager does not lead")
        return remaining

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Contend until cancelled; while it leads, `work` runs, and is cancelled when it no longer does.

        Raises:
            Exception: what `work` raised. The Lease is released then, as it is when this is cancelled.
        """
        while True:
            await self._acquire()
            _log.info("this manager leads", identity=self._identity)
            try:
                await self._lead(work)
            finally:
                await self._release()
            _log.warning("this manager leads no more", identity=self._identity)
            await asyncio.sleep(self._timing.retry)

    async def _lead(self, work: Callable[[], Awaitable[None]]) -> None:
        working = asyncio.ensure_future(work())
        renewing = asyncio.create_task(self._renew(), name="renew")
        try:
            await asyncio.wait((working, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, renewing):
                task.cancel()
            results = await asyncio.gather(working, renewing, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not _says_not_leading(result):
                raise result

    async def _acquire(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._timing.renew_deadline):
                    if await self._try_to_acquire():
                        return
                self._told("")
            except (errors.KubeError, TimeoutError) as error:
                self._told(str(error) or "the API server does not answer")
            await asyncio.sleep(self._timing.retry)

    def _told(self, trouble: str) -> None:
        """Say once what keeps this process from contending."""
        if trouble and trouble != self._trouble:
            _log.warning("leader election does not work", problem=trouble)
        self._trouble = trouble

    async def _try_to_acquire(self) -> bool:
        since = self._clock()
        try:
            body = await self._lease.get()
        except errors.NotFound:
            body = await self._lease.create(self._claim(transitions=0))
            self._hold(body, since)
            return True
        self._look_at(body)
        if not self._vacant(body):
            return False
        transitions = int((body.get("spec") or {}).get("leaseTransitions") or 0)
        since = self._clock()
        try:
            body = await self._lease.patch(_version(body), self._claim(transitions=transitions + 1))
        except errors.Conflict:
            return False
        self._hold(body, since)
        return True

    def _look_at(self, body: dict[str, Any]) -> None:
        """Note when the Lease was last seen to change."""
        spec = body.get("spec") or {}
        seen = (
            body["metadata"]["uid"],
            spec.get("holderIdentity"),
            spec.get("renewTime"),
            spec.get("leaseTransitions"),
        )
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._clock()
            self._seen_duration = float(spec.get("leaseDurationSeconds") or self._timing.duration)

    def _vacant(self, body: dict[str, Any]) -> bool:
        """Whether nobody holds the Lease, or its holder did not renew it for its duration.

        No other process has our identity: if the Lease names it, the answer to an earlier attempt was lost.
        """
        holder = (body.get("spec") or {}).get("holderIdentity")
        return not holder or holder == self._identity or self._clock() - self._seen_at >= self._seen_duration

    async def _renew(self) -> None:
        """Renew until that is no longer possible."""
        while self.leads():
            await asyncio.sleep(min(self._timing.retry, max(self.remaining(), 0)))
            since = self._clock()
            try:
                async with asyncio.timeout(max(self.remaining(), 0)):
                    body = await self._lease.patch(self._version, {"renewTime": _now()})
            except (errors.Conflict, errors.NotFound) as error:
                if not await self._still_ours():
                    self._until = float("-inf")
                    _log.warning("the Lease was taken away", error=str(error))
            except (errors.KubeError, TimeoutError) as error:
                _log.warning(
                    "the Lease could not be renewed", seconds_left=round(self.remaining(), 1), error=str(error)
                )
            else:
                self._hold(body, since)

    async def _still_ours(self) -> bool:
        """After a conflict: whether the Lease still names us, changed by somebody else or by a renewal whose answer was lost."""
        try:
            async with asyncio.timeout(max(self.remaining(), 0)):
                body = await self._lease.get()
        except errors.NotFound:
            return False
        except (errors.KubeError, TimeoutError):
            return True
        self._version = _version(body)
        return bool((body.get("spec") or {}).get("holderIdentity") == self._identity)

    async def _release(self) -> None:
        """Let others lead at once, if we still do. What fails here expires by itself."""
        remaining, self._until = self.remaining(), float("-inf")
        if remaining <= 0:
            return
        try:
            async with asyncio.timeout(min(remaining, self._timing.retry)):
                await self._lease.patch(self._version, {"holderIdentity": None, "renewTime": _now()})
        except (errors.KubeError, TimeoutError) as error:
            _log.warning("the Lease could not be released; it expires", error=str(error))

    def _hold(self, body: dict[str, Any], since: float) -> None:
        self._version = _version(body)
        self._until = since + self._timing.renew_deadline

    def _claim(self, *, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._timing.duration),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }


def _says_not_leading(error: Exception) -> bool:
    """Whether it tells of nothing but the end of a term."""
    if isinstance(error, ExceptionGroup):
        return error.split(NotLeading)[1] is None
    return isinstance(error, NotLeading)


def _version(body: dict[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])


def _now() -> str:
    """As Kubernetes writes a time to the microsecond; nobody reckons with it."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
