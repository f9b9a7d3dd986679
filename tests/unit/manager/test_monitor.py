"""How the nodes' heartbeats are listened to."""

import asyncio
from typing import Any

import pytest

from controller.kube import errors
from controller.manager.monitor import Monitor
from controller.manager.store import LOST, Store
from tests.unit.agent.virtual_time import now, run
from tests.unit.manager.objects import bound, lease, node


class FakeLeases:
    """Lists of Leases."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.away = False

    async def list(self, name: str = "") -> list[dict[str, Any]]:
        if self.away:
            raise errors.Unavailable("the API server is away")
        return [one for one in self.items if name in ("", one["metadata"]["name"])]


def _monitor(leases: FakeLeases, store: Store, listed: list[float]) -> Monitor:
    return Monitor(leases.list, store, 5, lambda: listed.append(now()), clock=now)


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    "renewed",
    [
        pytest.param(lambda at: f"2026-11-22T10:00:{at:09.6f}Z", id="a clock that is right"),
        pytest.param(lambda at: f"2026-11-22T09:00:{at:09.6f}Z", id="a clock that is an hour behind"),
        pytest.param(lambda at: f"2026-11-22T11:00:{at:09.6f}Z", id="a clock that is an hour ahead"),
        pytest.param(lambda at: f"2026-11-22T10:00:{1000 - at:011.6f}Z", id="a clock that runs backwards"),
    ],
)
def test_a_node_lives_while_its_lease_changes_whatever_its_clock_says(renewed: Any) -> None:
    async def main() -> None:
        leases, store, listed = FakeLeases(), Store(), list[float]()
        store.put_node(node())
        monitor = _monitor(leases, store, listed)
        task = asyncio.create_task(monitor.run())
        while now() < 300:
            leases.items = [lease("node-a", renewed(now())), {"metadata": {"name": "tallyman-manager", "uid": "x"}}]
            await asyncio.sleep(10)
            assert monitor.heartbeats.silent() == frozenset()
        await asyncio.sleep(40)
        assert monitor.heartbeats.silent() == {"node-a"}
        assert [candidate.not_ready for candidate, _ in store.offers()] == [LOST]
        task.cancel()

    run(main())


def test_nodes_without_a_lease_are_listened_for_too() -> None:
    async def main() -> None:
        store, listed = Store(), list[float]()
        store.put_node(node())
        store.put_container(bound("web", "node-z"))
        monitor = _monitor(FakeLeases(), store, listed)
        task = asyncio.create_task(monitor.run())
        await asyncio.sleep(46)
        assert monitor.heartbeats.silent() == {"node-a", "node-z"}
        task.cancel()

    run(main())


def test_an_outage_of_the_api_server_makes_nobody_lost() -> None:
    async def main() -> None:
        leases, store, listed = FakeLeases(), Store(), list[float]()
        store.put_node(node())
        leases.items = [lease("node-a", "then")]
        monitor = _monitor(leases, store, listed)
        task = asyncio.create_task(monitor.run())
        await asyncio.sleep(30)
        leases.away, before = True, len(listed)
        await asyncio.sleep(600)
        assert len(listed) == before
        leases.away = False
        await asyncio.sleep(35)
        assert monitor.heartbeats.silent() == frozenset()
        await asyncio.sleep(15)
        assert monitor.heartbeats.silent() == {"node-a"}
        task.cancel()

    run(main())


@pytest.mark.feature("K2")
def test_who_was_renewed_since_the_last_list_is_heard_when_asked_for() -> None:
    async def main() -> None:
        leases, store = FakeLeases(), Store()
        store.put_node(node())
        leases.items = [lease("node-a", "then"), lease("node-b", "then")]
        monitor = _monitor(leases, store, [])
        task = asyncio.create_task(monitor.run())
        await asyncio.sleep(50.5)
        assert monitor.heartbeats.silent() == {"node-a", "node-b"}
        await monitor.ask("node-a")
        assert monitor.heartbeats.silent() == {"node-a", "node-b"}, "nothing has changed"
        leases.items = [lease("node-a", "now"), lease("node-b", "now")]
        await monitor.ask("node-a")
        assert monitor.heartbeats.silent() == {"node-b"}
        await monitor.ask("node-z")
        assert monitor.heartbeats.silent() == {"node-b"}
        task.cancel()

    run(main())
