"""The node's heartbeat: a Lease that is renewed for as long as the agent is well, and by whose silence the cluster knows a lost node.

A blind agent is as good as none: one that does not see containerd or the API server's objects as they are renews nothing. Decides
nothing about containers, and no failure here ends the agent.
"""

import asyncio
import random
import time
from collections.abc import Callable
from time import monotonic

from controller import log, metrics
from controller.api.node import LEASE_DURATION_SECONDS, LEASE_RENEWALS, lease_name
from controller.kube.errors import Conflict, KubeError, NotFound, Unavailable
from controller.kube.leases import Claim, Leases, Owner

RETRY_SECONDS = 2.0
"""Pause after a renewal that failed, and between looks at an agent that is not well: several fit into a lease's duration."""
REQUEST_PART = 0.2
"""A request that takes longer than this part of the lease's duration is given up, so that another one is in time."""
_log = log.get(__name__)


class Heartbeat:
    """Renews the Lease of one node."""

    def __init__(
        self,
        leases: Leases,
        node: str,
        well: Callable[[], bool],
        clock: Callable[[], float] = monotonic,
        *,
        duration: int = LEASE_DURATION_SECONDS,
    ) -> None:
        self._clock = clock
        self._duration = duration
        self._interval = duration / LEASE_RENEWALS
        self._retry = min(RETRY_SECONDS, self._interval)
        self._leases = leases
        self._node = node
        self._well = well
        self._owner: Owner | None = None
        self._due = asyncio.Event()
        self._renewed_at: float | None = None
        self._unheard = False
        """Whether nobody listens: the API server keeps no nodes, or there is no place for their Leases."""
        self._problem = ""

    def goes_with(self, owner: Owner | None) -> None:
        """Renew the Lease for this object, soon; without one the Lease is left to expire."""
        if owner != self._owner:
            self._owner = owner
            self._unheard = False
            self._due.set()

    def falls_silent(self) -> None:
        """The API server keeps no nodes, so nobody listens."""
        self._owner, self._unheard = None, True

    def heard(self) -> bool:
        """Whether the cluster can't take this node for lost: the Lease is in force, or nobody listens to it.

        While it is not so, what the cluster wrote about a lost node is left as it is, or the two would contradict each other.
        """
        in_force = self._renewed_at is not None and self._clock() - self._renewed_at < self._duration
        return in_force or self._unheard

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            self._due.clear()
            try:
                pause = await self._beat()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the Lease must not end the agent
                self._tell(f"{type(error).__name__}: {error}")
                pause = self._retry
            await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        """Wait until the next beat, or until there is another owner."""
        try:
            async with asyncio.timeout(seconds * random.uniform(0.9, 1.1)):  # noqa: S311 - jitter, not secrecy
                await self._due.wait()
        except TimeoutError:
            pass

    async def _beat(self) -> float:
        """Renew the Lease once if it is to be; returns the seconds until the next beat."""
        owner = self._owner
        if owner is None or not self._well():
            return self._retry
        try:
            await self._renew(Claim(lease_name(self._node), self._node, self._duration, owner))
        except Unavailable as error:
            self._tell(str(error))
            return self._retry
        except KubeError as error:
            self._unheard = isinstance(error, NotFound)
            self._tell(str(error))
            return self._interval
        self._renewed_at, self._unheard = self._clock(), False
        metrics.lease_renewed(time.time())
        self._tell("")
        return self._interval

    async def _renew(self, claim: Claim) -> None:
        seconds = self._duration * REQUEST_PART
        try:
            async with asyncio.timeout(seconds):
                try:
                    await self._leases.renew(claim)
                except NotFound:
                    await self._leases.make(claim)
        except TimeoutError as error:
            raise Unavailable(f"the API server does not answer within {seconds:g} s") from error
        except Conflict as error:
            raise Unavailable(f"somebody else made the Lease just now: {error}") from error

    def _tell(self, problem: str) -> None:
        """Log each problem once, and its end."""
        if problem == self._problem:
            return
        if problem:
            _log.warning(
                "the node's Lease can't be renewed; containers run on, but a manager will take the node for lost",
                namespace=self._leases.namespace,
                lease=lease_name(self._node),
                problem=problem,
            )
        elif self._problem:
            _log.info("the node's Lease is renewed again", lease=lease_name(self._node))
        self._problem = problem
