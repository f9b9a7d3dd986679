"""The safety net under the watches."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from controller.kube import errors
from controller.kube.versions import Name, Version
from controller.manager.comparison import FIRST_SECONDS, LATER_SECONDS, Comparison, Source
from controller.manager.store import Store
from tests.unit.agent.virtual_time import now, run
from tests.unit.manager.api_server import Server
from tests.unit.manager.objects import container

WEB = ("shop", "web")


class World:
    """A server, a store, and what compares them."""

    def __init__(self) -> None:
        self.server = Server()
        self.store = Store()
        self.in_step: list[float] = []
        self.faults: list[tuple[str, str]] = []
        self.read: list[Name] = []
        self.cached: list[bool] = []
        self.stale: list[dict[str, Any]] | None = None
        """What the server's cache has; None when that is all there is."""
        source = Source(
            name="containers",
            listed=self._list,
            read=self._read,
            names=self.store.container_names,
            known=self.store.container_version,
            put=self.store.put_container,
            drop=self.store.drop_container,
        )
        self.comparison = Comparison(source, lambda _name: self.in_step.append(now()), self._fault)

    def _fault(self, source: str, problem: str) -> None:
        self.faults.append((source, problem))

    async def _list(self, cached: bool) -> Mapping[Name, Version]:
        self.cached.append(cached)
        listed = {}
        for body in self.stale if cached and self.stale is not None else self.server.containers():
            metadata = body["metadata"]
            listed[metadata["namespace"], metadata["name"]] = (metadata["uid"], metadata["resourceVersion"])
        await asyncio.sleep(0.01)
        return listed

    async def _read(self, name: Name) -> Mapping[str, Any]:
        self.read.append(name)
        found = [body for body in self.server.containers() if body["metadata"]["name"] == name[1]]
        if not found:
            raise errors.NotFound(name[1])
        return found[0]

    def apply(self, **changes: Any) -> dict[str, Any]:
        return self.server.put(container(**changes))


def test_what_is_known_is_in_step_at_once() -> None:
    async def main() -> None:
        world = World()
        world.store.put_container(world.apply())
        await world.comparison.catch_up()
        assert (world.read, len(world.in_step), now() < 1) == ([], 1, True)

    run(main())


def test_the_watch_is_waited_for() -> None:
    async def main() -> None:
        world = World()
        body = world.apply()
        asyncio.get_running_loop().call_later(30, world.store.put_container, body)
        await world.comparison.catch_up()
        assert (world.read, len(world.in_step), round(now())) == ([], 1, 30)

    run(main())


def test_what_the_watch_does_not_bring_is_read() -> None:
    async def main() -> None:
        world = World()
        world.store.put_container(world.apply(labels={"a": "old"}))
        world.apply(labels={"a": "new"})
        await world.comparison.catch_up()
        assert (world.read, world.in_step, round(now())) == ([WEB], [], FIRST_SECONDS)
        assert world.faults == [("containers", "the watch has missed changes (1 of them at the last look)")]
        assert world.store.container_version(WEB) == ("uid-web", str(world.server.version))
        await world.comparison.catch_up()
        assert (len(world.in_step), len(world.faults)) == (1, 1)
        world.apply(name="other")
        since = now()
        await world.comparison.catch_up()
        assert round(now() - since) == LATER_SECONDS

    run(main())


def test_a_deletion_that_the_watch_does_not_bring_is_found() -> None:
    async def main() -> None:
        world = World()
        body = world.apply()
        world.store.put_container(body)
        world.server.remove("/apis/tallyman.dev/v1alpha1/namespaces/shop/containers/web")
        await world.comparison.catch_up()
        assert (world.read, world.in_step, len(world.store), len(world.faults)) == ([WEB], [], 0, 1)

    run(main())


@pytest.mark.parametrize("came", [True, False], ids=["it came after the list", "it went after the list"])
def test_what_changes_after_the_list_is_no_fault_of_the_watch(came: bool) -> None:
    async def main() -> None:
        world = World()
        if not came:
            world.apply()
        listing = asyncio.create_task(world.comparison.catch_up())
        await asyncio.sleep(0.001)
        if came:
            world.store.put_container(world.apply())
        else:
            world.server.remove("/apis/tallyman.dev/v1alpha1/namespaces/shop/containers/web")
        await listing
        assert (len(world.in_step), world.faults) == (1, [])

    run(main())


def test_a_list_that_fails_is_made_again() -> None:
    async def main() -> None:
        world = World()
        world.store.put_container(world.apply())
        faults, listed = iter([True, True]), world._list

        async def fail_twice(cached: bool) -> Mapping[Name, Version]:
            if next(faults, False):
                raise errors.Unavailable("away")
            return await listed(cached)

        object.__setattr__(world.comparison._source, "listed", fail_twice)
        task = asyncio.create_task(world.comparison.run(60))
        await asyncio.sleep(119)
        assert world.in_step == []
        await asyncio.sleep(2)
        assert len(world.in_step) == 1
        task.cancel()

    run(main())


def test_only_a_new_leader_asks_for_more_than_the_server_remembers() -> None:
    async def main() -> None:
        world = World()
        task = asyncio.create_task(world.comparison.run(60))
        await asyncio.sleep(119)
        task.cancel()
        await world.comparison.catch_up()
        assert world.cached == [True, True, False]

    run(main())


def test_a_cache_that_is_behind_the_watch_is_no_miss() -> None:
    async def main() -> None:
        world = World()
        world.store.put_container(world.apply())
        world.stale = world.server.containers()
        world.store.put_container(world.apply())
        await world.comparison.catch_up(cached=True)
        assert (world.read, len(world.in_step)) == ([], 1)

    run(main())


def test_a_cache_that_does_not_know_of_a_new_object_is_no_miss() -> None:
    async def main() -> None:
        world = World()
        world.stale = []
        world.store.put_container(world.apply())
        await world.comparison.catch_up(cached=True)
        assert (world.read, len(world.in_step)) == ([WEB], 1)

    run(main())


def test_a_cache_that_does_not_know_of_a_deletion_is_no_miss() -> None:
    async def main() -> None:
        world = World()
        body = world.apply()
        world.stale = world.server.containers()
        world.store.put_container(body)
        world.server.remove("/apis/tallyman.dev/v1alpha1/namespaces/shop/containers/web")
        world.store.drop_container(WEB, body["metadata"]["uid"])
        await world.comparison.catch_up(cached=True)
        assert (world.read, len(world.in_step)) == ([WEB], 1)

    run(main())
