"""The heartbeat: renewed in time while the agent is well, and by no failure brought to an end."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import cast

import pytest
from structlog.testing import capture_logs

from controller.agent.heartbeat import RETRY_SECONDS, Heartbeat
from controller.api.node import LEASE_DURATION_SECONDS
from controller.kube import errors
from controller.kube.leases import Claim, Leases, Owner
from tests.unit.agent import virtual_time

pytestmark = pytest.mark.feature("K2")

OWNER = Owner("tallyman.dev/v1alpha1", "ContainerNode", "node-a", "11111111-aaaa")
OTHER = Owner("tallyman.dev/v1alpha1", "ContainerNode", "node-a", "22222222-bbbb")


class FakeLeases:
    """The API server's Leases, and when each request came."""

    namespace = "tallyman-system"

    def __init__(self) -> None:
        self.there = False
        self.error: Exception | None = None
        self.hangs = False
        self.made: list[float] = []
        self.renewed: list[float] = []
        self.claims: list[Claim] = []

    async def renew(self, claim: Claim) -> object:
        await self._serve(claim)
        if not self.there:
            raise errors.NotFound("no lease")
        self.renewed.append(virtual_time.now())
        return {}

    async def make(self, claim: Claim) -> object:
        await self._serve(claim)
        self.there = True
        self.made.append(virtual_time.now())
        return {}

    async def _serve(self, claim: Claim) -> None:
        self.claims.append(claim)
        if self.hangs:
            await asyncio.sleep(3600)
        if self.error is not None:
            raise self.error


class Bench:
    """A heartbeat and its surroundings."""

    def __init__(self, duration: int) -> None:
        self.leases = FakeLeases()
        self.well = True
        self.heartbeat = Heartbeat(
            cast(Leases, self.leases), "node-a", lambda: self.well, virtual_time.now, duration=duration
        )


def beat(script: Callable[[Bench], Awaitable[None]], duration: int = LEASE_DURATION_SECONDS) -> Bench:
    """Let a heartbeat go on while the script does what it does."""

    async def main() -> Bench:
        bench = Bench(duration)
        running = asyncio.create_task(bench.heartbeat.run())
        await script(bench)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return bench

    return virtual_time.run(main())


async def _registered(bench: Bench) -> None:
    bench.heartbeat.goes_with(OWNER)
    await asyncio.sleep(0.1)


def test_the_lease_is_made_and_renewed_several_times_within_its_duration() -> None:
    async def script(bench: Bench) -> None:
        await _registered(bench)
        assert bench.heartbeat.heard()
        await asyncio.sleep(600)

    bench = beat(script)

    assert len(bench.leases.made) == 1
    times = [*bench.leases.made, *bench.leases.renewed]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert 9 <= min(gaps) <= max(gaps) <= 11
    claim = bench.leases.claims[0]
    assert (claim.name, claim.holder, claim.duration_seconds) == ("tallyman-node-node-a", "node-a", 40)
    assert claim.owner == OWNER


def test_a_shorter_duration_is_claimed_and_renewed_as_often_within_it() -> None:
    async def script(bench: Bench) -> None:
        await _registered(bench)
        await asyncio.sleep(60)
        assert bench.heartbeat.heard()
        bench.leases.hangs = True
        await asyncio.sleep(8)
        assert not bench.heartbeat.heard()

    bench = beat(script, duration=8)

    gaps = [later - earlier for earlier, later in pairwise([*bench.leases.made, *bench.leases.renewed])]
    assert 1.8 <= min(gaps) <= max(gaps) <= 2.2
    assert {claim.duration_seconds for claim in bench.leases.claims} == {8}


def test_without_an_object_of_the_node_nothing_is_renewed() -> None:
    async def script(bench: Bench) -> None:
        await asyncio.sleep(100)
        assert not bench.heartbeat.heard()
        await _registered(bench)
        bench.heartbeat.goes_with(None)
        await asyncio.sleep(100)

    bench = beat(script)

    assert bench.leases.renewed == []


def test_another_object_of_the_node_gets_the_lease_at_once() -> None:
    async def script(bench: Bench) -> None:
        await _registered(bench)
        bench.heartbeat.goes_with(OTHER)
        await asyncio.sleep(0.1)

    assert [claim.owner for claim in beat(script).leases.claims[-1:]] == [OTHER]


def test_a_blind_agent_renews_nothing_and_goes_on_when_it_sees_again() -> None:
    async def script(bench: Bench) -> None:
        await _registered(bench)
        bench.well = False
        await asyncio.sleep(LEASE_DURATION_SECONDS + 15)
        assert len(bench.leases.renewed) <= 1
        assert not bench.heartbeat.heard()
        bench.well = True
        await asyncio.sleep(2 * RETRY_SECONDS)
        assert bench.heartbeat.heard()

    beat(script)


@pytest.mark.parametrize(
    "error",
    [errors.Unavailable("no answer"), errors.Forbidden("may not"), errors.Refused("no"), ValueError("a defect")],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_told_once_and_does_not_end_it(error: Exception) -> None:
    async def script(bench: Bench) -> None:
        bench.leases.error = error
        with capture_logs() as entries:
            await _registered(bench)
            await asyncio.sleep(100)
            assert not bench.heartbeat.heard()
            bench.leases.error = None
            await asyncio.sleep(30)
        assert bench.heartbeat.heard()
        assert [one["log_level"] for one in entries] == ["warning", "info"]

    beat(script)


def test_where_no_namespace_is_nobody_listens() -> None:
    async def script(bench: Bench) -> None:
        bench.leases.error = errors.NotFound('namespaces "tallyman-system" not found')
        await _registered(bench)
        assert bench.heartbeat.heard()

    beat(script)


def test_where_the_cluster_keeps_no_nodes_nobody_listens() -> None:
    async def script(bench: Bench) -> None:
        bench.heartbeat.falls_silent()
        assert bench.heartbeat.heard()
        bench.heartbeat.goes_with(OWNER)
        assert not bench.heartbeat.heard(), "now somebody does"
        await asyncio.sleep(0.1)
        assert bench.heartbeat.heard()

    beat(script)


def test_a_server_that_hangs_is_asked_again_in_time() -> None:
    async def script(bench: Bench) -> None:
        await _registered(bench)
        bench.leases.hangs = True
        await asyncio.sleep(15)
        bench.leases.hangs = False
        await asyncio.sleep(15)
        assert bench.heartbeat.heard()
        assert bench.leases.renewed[-1] - bench.leases.made[0] < LEASE_DURATION_SECONDS

    beat(script)


def test_a_lease_that_somebody_else_makes_at_the_same_moment_is_renewed() -> None:
    async def script(bench: Bench) -> None:
        bench.leases.error = errors.Conflict("it exists")
        await _registered(bench)
        bench.leases.error, bench.leases.there = None, True
        await asyncio.sleep(2 * RETRY_SECONDS)
        assert bench.heartbeat.heard()

    assert beat(script).leases.made == []
