"""The safety net: what a list shows and the watch does not bring is read, and counts against the watch."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from controller.agent.compare import SOURCES, Comparison
from controller.agent.declared import DeclaredStore
from controller.agent.identity import Key
from controller.agent.observed import ObservedStore
from controller.containerd.errors import Unavailable
from controller.kube import errors as kube_errors
from controller.kube.containers import Containers
from controller.probes import Freshness
from tests.unit.agent import virtual_time
from tests.unit.agent.objects import KEY, NODE, OTHER_UID, UID, body

SECONDS = 30.0


class FakeAPI:
    """The API server: its objects, and the lists that it makes of them."""

    def __init__(self) -> None:
        self.objects: dict[Key, Mapping[str, Any]] = {}
        self.error: Exception | None = None
        self.read_error: Exception | None = None
        self.reads: list[Key] = []

    async def versions(self, node: str) -> dict[Key, tuple[str, str]]:
        if self.error is not None:
            raise self.error
        metadata = {key: one["metadata"] for key, one in self.objects.items()}
        return {
            key: (meta["uid"], meta["resourceVersion"])
            for key, meta in metadata.items()
            if node in meta.get("labels", {}).values()
        }

    async def get(self, namespace: str, name: str) -> Mapping[str, Any]:
        if self.read_error is not None:
            raise self.read_error
        self.reads.append((namespace, name))
        found = self.objects.get((namespace, name))
        if found is None:
            raise kube_errors.NotFound("gone")
        return found


class FakeObserved:
    """containerd's lists, as the store reports them."""

    tasks_listed: frozenset[str] = frozenset()

    def all(self) -> tuple[()]:
        return ()

    def keys(self) -> set[Key]:
        return self.has

    def __init__(self) -> None:
        self.changed: set[Key] = set()
        self.has: set[Key] = set()
        self.error: Exception | None = None

    async def list(self) -> set[Key]:
        if self.error is not None:
            raise self.error
        changed, self.changed = self.changed, set()
        return changed


class Bench:
    """A comparison with its surroundings."""

    def __init__(self) -> None:
        self.api = FakeAPI()
        self.observed = FakeObserved()
        self.declared = DeclaredStore(NODE)
        self.woken: list[Key] = []
        self.freshness = Freshness(SOURCES, stale_seconds=2.5 * SECONDS, clock=virtual_time.now)
        self.comparison = Comparison(
            api=cast(Containers, self.api),
            declared=self.declared,
            observed=cast(ObservedStore, self.observed),
            wake=self.woken.append,
            node=NODE,
            freshness=self.freshness,
            lost_shims=lambda _known: [],
            look_for_runtimes=self.look_for_runtimes,
        )
        self.runtimes_looked_for = 0

    async def look_for_runtimes(self) -> None:
        self.runtimes_looked_for += 1

    async def compare(self, times: int = 1) -> None:
        for _ in range(times):
            await self.comparison._with_containerd()
            await self.comparison._with_api()

    def watched(self, **changes: Any) -> None:
        """Both the server and the watch have this."""
        self.api.objects[KEY] = body(**changes)
        self.declared.put(body(**changes))


@pytest.fixture
def bench() -> Any:
    """Made within the virtual loop by each test."""
    return Bench


def test_a_watch_in_step_is_fresh_and_nobody_is_woken(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.watched()
        await it.compare(times=3)
        assert it.freshness.unready() == []
        assert it.woken == []
        assert it.api.reads == []
        assert it.runtimes_looked_for == 3

    virtual_time.run(test())


def test_being_late_once_is_no_fault(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.api.objects[KEY] = body()
        await it.compare()
        assert it.api.reads == []
        assert it.freshness.unready() == []
        it.watched()
        await it.compare()
        assert it.api.reads == []

    virtual_time.run(test())


@pytest.mark.parametrize("later", [{}, {"version": "300"}, {"uid": OTHER_UID}], ids=["new", "changed", "replaced"])
def test_what_the_watch_is_late_with_twice_is_read(bench: type[Bench], later: dict[str, Any]) -> None:
    async def test() -> None:
        it = bench()
        if later:
            it.declared.put(body())
        it.api.objects[KEY] = body(**later)
        await it.compare()
        noted = it.freshness.problems()
        await asyncio.sleep(4 * SECONDS)
        await it.compare()
        assert it.api.reads == [KEY]
        assert it.woken == [KEY]
        known = it.declared.get(KEY)
        assert known is not None
        assert known.uid == later.get("uid", UID)
        assert noted == []
        assert [problem.split(":")[0] for problem in it.freshness.problems()] == ["watch"], "not fresh while it is late"
        await it.compare()
        assert it.freshness.problems() == []

    virtual_time.run(test())


def test_an_object_that_changes_all_the_time_is_not_overdue(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        for version in range(200, 210):
            it.api.objects[KEY] = body(version=str(version))
            await it.compare()
        assert it.api.reads == []
        assert it.freshness.problems() == []

    virtual_time.run(test())


def test_a_watch_that_is_ahead_of_the_servers_cache_is_not_late(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.api.objects[KEY] = body(version="100")
        it.declared.put(body(version="101"))
        await it.compare(times=3)
        assert it.api.reads == []

    virtual_time.run(test())


@pytest.mark.feature("D6")
def test_a_deletion_that_the_watch_missed_is_found(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.declared.put(body())
        await it.compare(times=2)
        assert it.declared.get(KEY) is None
        assert it.woken == [KEY]

    virtual_time.run(test())


def test_an_object_without_its_label_is_asked_for_and_is_no_fault_of_the_watch(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        bare = body()
        bare["metadata"]["labels"] = {}
        it.declared.put(bare)
        it.api.objects[KEY] = bare
        await it.compare(times=4)
        assert it.api.reads == [KEY] * 4
        assert it.woken == []
        assert it.freshness.unready() == []
        del it.api.objects[KEY]
        await it.compare()
        assert it.declared.get(KEY) is None
        assert it.woken == [KEY]

    virtual_time.run(test())


@pytest.mark.feature("K4")
def test_lists_that_fail_are_not_fresh(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.watched()
        it.api.error = kube_errors.Unavailable("no answer")
        it.observed.error = Unavailable("Containers.List", "no answer")
        await it.compare()
        assert it.freshness.unready() == ["containerd: not seen yet", "watch: not seen yet"]
        it.api.error = it.observed.error = None
        await it.compare()
        assert it.freshness.unready() == []

    virtual_time.run(test())


def test_what_a_list_of_containerd_shows_is_looked_at(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.observed.changed = {KEY}
        await it.compare(times=2)
        assert it.woken == [KEY]

    virtual_time.run(test())


@pytest.mark.feature("K4")
def test_it_goes_on_comparing_whatever_fails(bench: type[Bench]) -> None:
    async def test() -> None:
        it = bench()
        it.observed.error = Unavailable("Containers.List", "no answer")
        it.api.error = kube_errors.Unavailable("no answer")
        work = asyncio.create_task(it.comparison.run(SECONDS))
        await asyncio.sleep(4 * SECONDS)
        assert len(it.freshness.problems()) == 2
        it.observed.error = it.api.error = None
        await asyncio.sleep(2 * SECONDS)
        assert it.freshness.unready() == []
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    virtual_time.run(test())


@pytest.mark.feature("K2")
def test_every_object_that_this_node_has_something_of_can_be_read_anew() -> None:
    """One that it has a container of, and that it knows nothing of; one that it takes for its own, and that was bound elsewhere."""
    pending = {**body(), "metadata": {**body()["metadata"], "name": "pending"}}

    async def script() -> Bench:
        bench = Bench()
        bench.observed.has = {KEY}
        bench.api.objects[KEY] = body()
        bench.declared.put(pending)
        bench.api.objects["shop", "pending"] = {**pending, "spec": {**pending["spec"], "nodeName": "node-b"}}
        bench.api.objects["shop", "pending"]["metadata"].pop("labels")
        await bench.comparison.own_objects()
        return bench

    bench = virtual_time.run(script())

    assert sorted(bench.api.reads) == [("shop", "pending"), KEY]
    assert [one.key for one in bench.declared] == [KEY]
    assert {KEY, ("shop", "pending")} <= set(bench.woken)


@pytest.mark.feature("K2")
def test_when_one_can_not_be_read_nothing_is_taken_for_compared() -> None:
    async def script() -> None:
        bench = Bench()
        bench.observed.has = {KEY}
        bench.api.read_error = kube_errors.Unavailable("no answer")
        with pytest.raises(kube_errors.Unavailable):
            await bench.comparison.own_objects()

    virtual_time.run(script())
