"""Containers that depend on others, with the real plan, the real status and the real keeper; only the node is made up."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import news
from controller.agent.actions import (
    AddFinalizer,
    Announcement,
    CreateContainer,
    EnsureImage,
    FreeProcess,
    LookAtDependencies,
    RemoveContainer,
    RemoveFinalizer,
    SignalStop,
    StartContainer,
)
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.dependencies import DependencyKeeper, _agrees
from controller.agent.facts import Facts
from controller.agent.identity import Key, StopCause, container_id
from controller.agent.observation import Observation, ObservedContainer
from controller.agent.observed import ObservedStore
from controller.agent.plan import plan
from controller.agent.standing import Dependencies, Dependent, Outcome, Standing, judge
from controller.agent.status import summarize
from controller.api.container import ContainerState, ContainerStatus, Dependency
from controller.api.reasons import Reason
from controller.kube.containers import Containers
from controller.kube.errors import NotFound
from tests.unit.agent.objects import (
    BASE,
    NODE,
    NOW,
    PAUSED,
    RUNNING,
    ago,
    ahead,
    body,
    container,
    declared,
    ended,
    ending,
    mark,
    present,
)

pytestmark = pytest.mark.feature("L13")
NAMESPACE = "shop"


# --- the plan -----------------------------------------------------------------------------------------------------------

DEPENDENT = declared(dependsOn=[{"name": "db"}])
ID = container_id(DEPENDENT.uid, DEPENDENT.spec_hash)
WANTED = DEPENDENT.depends_on


def known(outcome: Outcome, *, cycle: tuple[str, ...] = (), since: float = 5, again: float = 2) -> Dependencies:
    wanted = WANTED[0]
    fact = replace(judge(wanted, None), outcome=outcome, message=f"db is {outcome}")
    return Dependencies(WANTED, (fact,), cycle, ago(since), ahead(again))


def test_it_is_looked_at_before_anything_is_made() -> None:
    expired = known(Outcome.SATISFIED, again=0)
    other = replace(known(Outcome.SATISFIED), wanted=(Dependency(name="other"),))

    for dependencies in (None, expired, other):
        decided = plan(DEPENDENT, Observation(image=present(DEPENDENT), dependencies=dependencies), NOW)
        assert decided.actions == (LookAtDependencies(),)


def test_the_image_is_had_meanwhile() -> None:
    decided = plan(DEPENDENT, Observation(dependencies=known(Outcome.WAITING)), NOW)

    assert decided.actions == (EnsureImage(),)


def test_it_starts_once_all_have_come_to_it() -> None:
    decided = plan(DEPENDENT, Observation(image=present(DEPENDENT), dependencies=known(Outcome.SATISFIED)), NOW)

    assert decided.actions == (CreateContainer(), StartContainer(ID))


@pytest.mark.parametrize(
    ("dependencies", "reason", "stuck"),
    [
        (known(Outcome.WAITING), Reason.DEPENDENCY_WAITING, False),
        (known(Outcome.MISSING), Reason.DEPENDENCY_MISSING, False),
        (known(Outcome.FAILED), Reason.DEPENDENCY_FAILED, True),
        (known(Outcome.WAITING, cycle=("web", "db", "web")), Reason.DEPENDENCY_CYCLE, True),
        (known(Outcome.SATISFIED, cycle=("web", "db", "web")), Reason.DEPENDENCY_CYCLE, True),
    ],
)
@pytest.mark.parametrize(
    ("containers", "state"),
    [
        ((), ContainerState.PENDING),
        ((container(DEPENDENT, task=None),), ContainerState.CREATED),
    ],
)
def test_it_says_what_it_waits_for(
    dependencies: Dependencies,
    reason: Reason,
    stuck: bool,
    containers: tuple[ObservedContainer, ...],
    state: ContainerState,
) -> None:
    decided = plan(DEPENDENT, Observation(containers, present(DEPENDENT), dependencies=dependencies), NOW)

    assert decided.actions == ()
    assert decided.look_again == dependencies.again_at
    assert decided.facts is not None
    assert decided.facts.state is state
    assert decided.facts.why.reason is reason
    assert decided.facts.refused is None
    assert (decided.facts.stalled, decided.facts.progressing) == (
        (decided.facts.why, None) if stuck else (None, decided.facts.why)
    )
    told = "these containers wait for each other: web → db → web" if dependencies.cycle else "db is "
    assert told in decided.facts.why.message


def test_a_short_wait_is_not_worth_a_write() -> None:
    decided = plan(
        DEPENDENT, Observation(image=present(DEPENDENT), dependencies=known(Outcome.WAITING, since=0.25)), NOW
    )

    assert decided.facts is not None
    assert decided.facts.publish_after == ahead(0.75)


def test_a_wait_is_told_once_however_the_others_come_along() -> None:
    def status(given_: Declared, outcome: Outcome, message: str) -> ContainerStatus:
        found = known(outcome)
        found = replace(found, facts=(replace(found.facts[0], message=message),))
        decided = plan(given_, Observation(image=present(DEPENDENT), dependencies=found), NOW)
        assert decided.facts is not None
        return summarize(given_, decided.facts, NODE, NOW)

    first = status(DEPENDENT, Outcome.WAITING, "its state is Pending")
    assert news.of_status(ContainerStatus(), first) == (
        Announcement(Reason.DEPENDENCY_WAITING, "its state is Pending", news.ANY),
    )
    told = replace(DEPENDENT, status=first)
    assert news.of_status(first, status(told, Outcome.WAITING, "its state is Restarting")) == ()
    missing = status(told, Outcome.MISSING, "it does not exist")
    assert [one.reason for one in news.of_status(first, missing)] == [Reason.DEPENDENCY_MISSING]


def test_an_end_that_only_the_status_remembers_counts_for_nothing_when_a_restart_was_held_back() -> None:
    always = declared(dependsOn=[{"name": "db"}], restartPolicy={"name": "Always"})
    down = container(always, task=None, exit=ending(1, Reason.ERROR, at=ago(100)))
    decided = plan(always, Observation((down,), dependencies=known(Outcome.FAILED)), NOW)
    assert decided.facts is not None
    assert decided.facts.state is ContainerState.EXITED
    lost = replace(always, status=summarize(always, decided.facts, NODE, NOW))

    again = plan(lost, Observation((), present(always), dependencies=known(Outcome.SATISFIED)), NOW)

    assert [type(action) for action in again.actions] == [CreateContainer, StartContainer]


def test_a_restart_by_policy_is_postponed() -> None:
    always = declared(dependsOn=[{"name": "db"}], restartPolicy={"name": "Always"})
    down = container(always, task=None, exit=ending(1, Reason.ERROR, at=ago(100)))

    decided = plan(always, Observation((down,), dependencies=known(Outcome.WAITING)), NOW)

    assert decided.actions == ()
    assert decided.facts is not None
    assert decided.facts.state is ContainerState.RESTARTING
    assert decided.facts.why.reason is Reason.DEPENDENCY_WAITING
    assert decided.facts.exit == down.exit


@pytest.mark.parametrize(
    "given_",
    [
        DEPENDENT,
        replace(DEPENDENT, restarted_at="now"),
        declared(dependsOn=[{"name": "db"}], args=["--verbose"], generation=2),
    ],
    ids=["as it is", "a restart is asked for", "its spec has changed"],
)
def test_what_runs_goes_on_when_a_dependency_is_down(given_: Declared) -> None:
    running = container(DEPENDENT)

    decided = plan(given_, Observation((running,), present(given_), dependencies=known(Outcome.WAITING)), NOW)

    assert decided.actions == ()
    assert decided.facts is not None
    assert decided.facts.state is ContainerState.RUNNING


def test_stopping_waits_for_nothing() -> None:
    stopped = declared(dependsOn=[{"name": "db"}], desiredState="Stopped")

    decided = plan(stopped, Observation((container(DEPENDENT),)), NOW)

    assert decided.actions == (SignalStop(ID, 15, StopCause.USER),)


def test_dependents_go_first_but_are_not_waited_for_for_ever() -> None:
    deleted = declared(deleting=True)
    waiting = (Dependent("web", ago(1), ahead(5)), Dependent("late", ago(9), ago(5)))

    decided = plan(deleted, Observation((container(deleted),), dependents=waiting), NOW)
    assert decided.actions == ()
    assert decided.facts is not None
    assert decided.facts.why.message == "waits until what depends on it is gone: web"
    assert decided.look_again == ahead(5)
    assert decided.facts.publish_after == ahead(1)

    late = Observation((container(deleted),), dependents=(Dependent("web", ago(2), NOW),))
    assert plan(deleted, late, NOW).actions == (SignalStop(container(deleted).id, 15, StopCause.REMOVE),)
    begun = Observation((container(deleted, stop=mark(StopCause.REMOVE)),), dependents=waiting)
    assert plan(deleted, begun, NOW).facts != decided.facts
    over = Observation((container(deleted, task=ended()),), dependents=waiting)
    assert [type(action) for action in plan(deleted, over, NOW).actions] == [RemoveContainer]


# --- a made-up node -----------------------------------------------------------------------------------------------------


class FakeApi:
    """Objects of other nodes."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.asked: list[Key] = []

    async def get(self, *key: str) -> Mapping[str, Any]:
        self.asked.append((key[0], key[1]))
        if key not in self.objects:
            raise NotFound("there is none")
        return self.objects[key[0], key[1]]


class FakeNode:
    """Containers that do at once what they are told."""

    def __init__(self) -> None:
        self.containers: dict[Key, ObservedContainer] = {}

    def of(self, key: Key) -> tuple[ObservedContainer, ...]:
        return tuple(one for known, one in self.containers.items() if known == key)


class World:
    """The loop of the agent, without what it does to containerd and to the API server."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.node = FakeNode()
        self.store = DeclaredStore(NODE)
        self.woken: list[Key] = []
        api, node = cast("Containers", self.api), cast("ObservedStore", self.node)
        self.at: datetime | None = None
        self.keeper = DependencyKeeper(api, self.store, node, self.woken.append, self.now)
        self.bodies: dict[Key, dict[str, Any]] = {}
        self.version = 100
        self.started: list[str] = []
        self.removed: list[str] = []

    def now(self) -> datetime:
        """The node's clock; it stands still once a test has set it."""
        return self.at or datetime.now(UTC)

    def put(self, name: str, depends_on: list[str], **more: Any) -> None:
        """Create or change an object of this node."""
        self.version += 1
        wanted = [{"name": one} for one in depends_on]
        made = body(version=str(self.version), uid=f"uid-{name}", dependsOn=wanted, **more)
        made["metadata"]["name"] = name
        made["metadata"]["generation"] = self.version
        made["status"] = self.bodies.get((NAMESPACE, name), {}).get("status", {})
        self._take(made)

    def delete(self, name: str, at: datetime) -> None:
        """Delete an object at this moment of the node's clock; the API server's is an hour ahead."""
        self.at = at
        made = self.bodies[NAMESPACE, name]
        made["metadata"]["deletionTimestamp"] = (at + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._take(made)

    def _take(self, made: dict[str, Any]) -> None:
        self.version += 1
        made["metadata"]["resourceVersion"] = str(self.version)
        self.bodies[NAMESPACE, made["metadata"]["name"]] = made
        self.store.put(made)
        self.woken.append((NAMESPACE, made["metadata"]["name"]))

    async def settle(self, now: datetime | None = None) -> None:
        """Look at whoever was woken until nobody is."""
        for _ in range(2000):
            if not self.woken:
                return
            await self.look(self.woken.pop(0), now)
        raise AssertionError("it does not come to rest")

    async def look(self, key: Key, now: datetime | None = None) -> Facts | None:
        self.at = now or self.at
        for _ in range(16):
            moment, one = self.now(), self.store.get(key)
            if one is None:
                return None
            seen = Observation(
                self.node.of(key),
                present(one),
                dependencies=self.keeper.of(key),
                dependents=self.keeper.dependents(one),
            )
            decided = plan(one, seen, moment)
            if not decided.actions:
                if decided.facts is not None:
                    self._publish(one, decided.facts)
                return decided.facts
            for action in decided.actions:
                await self._act(action, one)
        raise AssertionError("it does not come to rest")

    async def _act(self, action: object, one: Declared) -> None:
        key = one.key
        match action:
            case LookAtDependencies():
                await self.keeper.look(one)
            case CreateContainer():
                self.node.containers[key] = container(one, task=None)
            case StartContainer():
                self.node.containers[key] = replace(self.node.containers[key], task=RUNNING)
                self.keeper.forget(key)
                self.started.append(key[1])
            case SignalStop():
                self.node.containers[key] = replace(self.node.containers[key], task=None)
            case RemoveContainer():
                del self.node.containers[key]
                self.removed.append(key[1])
            case RemoveFinalizer():
                self.store.drop(key)
                del self.bodies[key]
            case AddFinalizer() | FreeProcess():
                pass
            case _:
                raise AssertionError(action)

    def _publish(self, one: Declared, facts: Facts) -> None:
        status = summarize(one, facts, NODE, datetime.now(UTC))
        said = status.model_dump(by_alias=True, exclude_none=True, mode="json")
        made = self.bodies[one.key]
        if said != made["status"]:
            made["status"] = said
            self.version += 1
            made["metadata"]["resourceVersion"] = str(self.version)
            self.store.put(made)

    def why(self, name: str) -> tuple[str, str]:
        ready = next(one for one in self.bodies[NAMESPACE, name]["status"]["conditions"] if one["type"] == "Ready")
        return ready["reason"], ready.get("message", "")


async def test_a_chain_starts_from_its_end_and_each_wakes_the_next() -> None:
    world = World()
    world.put("web", ["app"])
    world.put("app", ["db", "cache"])
    await world.settle()
    assert world.started == []
    assert world.why("web")[0] == "DependencyWaiting"
    assert world.why("app") == ("DependencyMissing", judge(Dependency(name="db"), None).message)

    world.put("cache", [])
    world.put("db", [])
    await world.settle()

    assert world.started == ["cache", "db", "app", "web"]
    assert world.keeper.of((NAMESPACE, "web")) is None


async def test_a_status_of_before_the_reboot_counts_for_nothing() -> None:
    world = World()
    world.put("db", [])
    world.put("web", ["db"])
    await world.settle()
    db, web = (NAMESPACE, "db"), (NAMESPACE, "web")
    for key, one in list(world.node.containers.items()):
        world.node.containers[key] = replace(one, task=None)
    world.started.clear()

    await world.look(web)
    assert world.started == []
    found = world.keeper.of(web)
    assert found is not None
    assert found.facts[0].message == "waits for container db to be Started; its state is Unknown"

    world.node.containers[db] = replace(world.node.containers[db], task=RUNNING, restarts=1)
    await world.look(db)
    await world.settle()
    assert world.started == ["web"]


def test_a_status_counts_while_containerd_agrees() -> None:
    one = container(BASE, restarts=2)
    said = Standing(uid=one.uid, state="Running", container_id=one.id, restarts=2)
    over = Standing(uid=one.uid, state="Exited", reason="Completed")

    assert _agrees(said, (one,))
    assert not _agrees(said, ())
    assert not _agrees(said, (replace(one, task=None),))
    assert not _agrees(said, (replace(one, task=PAUSED),))
    assert not _agrees(said, (replace(one, restarts=3),))
    assert not _agrees(said, (replace(one, uid="another"),))
    assert _agrees(over, ())
    assert _agrees(over, (replace(one, task=ended()),))
    assert not _agrees(over, (one,))
    assert _agrees(Standing(uid=one.uid, state="Pending"), (one,))


async def test_a_cycle_is_named_and_heals() -> None:
    world = World()
    for name, on in {"a": "b", "b": "c", "c": "a", "outside": "a"}.items():
        world.put(name, [on])
    await world.settle()

    assert world.started == []
    assert world.why("a") == ("DependencyCycle", "these containers wait for each other: a → b → c → a")
    assert world.why("b")[1].endswith("b → c → a → b")
    assert world.why("outside")[0] == "DependencyWaiting"
    assert "DependencyCycle" in world.why("outside")[1]

    world.put("c", [])
    await world.settle()
    assert world.started == ["c", "b", "a", "outside"]


async def test_a_container_of_another_node_is_asked_for_politely() -> None:
    world = World()
    world.put("web", ["db"])
    key = (NAMESPACE, "web")
    await world.settle()
    first = world.keeper.of(key)
    assert first is not None
    assert world.api.asked == [(NAMESPACE, "db")]
    one = world.store.get(key)
    assert one is not None
    await world.keeper.look(one)
    assert len(world.api.asked) == 1

    pauses = []
    for _ in range(8):
        asked = world.keeper._asked[NAMESPACE, "db"]
        world.keeper._asked[NAMESPACE, "db"] = replace(asked, at=asked.at - asked.pause)
        await world.keeper.look(one)
        pauses.append(world.keeper._asked[NAMESPACE, "db"].pause.total_seconds())
    assert pauses == [3.0, 4.5, 6.75, 10.125, 15.0, 15.0, 15.0, 15.0]
    last = world.keeper.of(key)
    assert last is not None
    assert last.since == first.since

    elsewhere = body(uid="other", status={"state": "Running", "observedGeneration": 1})
    world.api.objects[NAMESPACE, "db"] = elsewhere
    asked = world.keeper._asked[NAMESPACE, "db"]
    world.keeper._asked[NAMESPACE, "db"] = replace(asked, at=asked.at - asked.pause)
    await world.keeper.look(one)
    await world.look(key)
    assert world.started == ["web"]


async def test_a_cycle_over_another_node_is_found() -> None:
    world = World()
    world.api.objects[NAMESPACE, "b"] = body(uid="other", dependsOn=[{"name": "a"}])
    world.put("a", ["b"])

    await world.settle()

    assert world.why("a") == ("DependencyCycle", "these containers wait for each other: a → b → a")


async def test_the_search_has_a_bound() -> None:
    world = World()
    for number in range(1000):
        made = body(uid=str(number), dependsOn=[{"name": f"n{number + 1}"}])
        world.api.objects[NAMESPACE, f"n{number}"] = made
    world.put("a", ["n0"])

    await world.settle()

    assert len(world.api.asked) == 256
    assert world.why("a")[0] == "DependencyWaiting"


async def test_nothing_is_kept_of_one_that_is_gone() -> None:
    world = World()
    world.put("web", ["db"])
    await world.settle()

    world.store.drop((NAMESPACE, "web"))

    keeper = world.keeper
    assert (keeper._known, keeper._visited, keeper._waiting, keeper._dependents) == ({}, {}, {}, {})


async def test_an_invalid_spec_with_one_name_twice_is_indexed_once() -> None:
    world = World()
    world.put("web", ["db", "db"])
    world.put("web", ["db"])
    world.store.drop((NAMESPACE, "web"))

    assert world.keeper._dependents == {}


async def test_deleting_goes_the_other_way() -> None:
    world = World()
    for name, on in {"db": [], "app": ["db"], "web": ["app"]}.items():
        world.put(name, on)
    await world.settle()
    now = datetime.now(UTC)

    for name in ("db", "app", "web"):
        world.delete(name, now)
    await world.settle(now)

    assert world.removed == ["web", "app", "db"]


async def test_one_that_is_deleted_first_waits_a_moment_for_the_others() -> None:
    world = World()
    world.put("db", [])
    world.put("web", ["db"])
    await world.settle()
    now = datetime.now(UTC).replace(microsecond=0)

    world.delete("db", now)
    await world.settle(now + timedelta(seconds=1))
    assert world.removed == []
    await world.look((NAMESPACE, "db"), now + timedelta(seconds=2))

    assert world.removed == ["db"]
    assert (NAMESPACE, "web") in world.node.containers


async def test_those_of_a_cycle_do_not_wait_for_each_other() -> None:
    world = World()
    world.put("a", [])
    world.put("b", ["a"])
    await world.settle()
    world.put("a", ["b"])
    await world.settle()
    now = datetime.now(UTC)

    for name in ("a", "b"):
        world.delete(name, now)
    await world.settle(now)

    assert sorted(world.removed) == ["a", "b"]


NAMES = [f"n{number}" for number in range(7)]
graphs = st.fixed_dictionaries({name: st.lists(st.sampled_from(NAMES), max_size=3, unique=True) for name in NAMES})


@given(graphs, st.permutations(NAMES))
def test_any_graph_starts_in_order_and_every_cycle_is_named(graph: dict[str, list[str]], order: list[str]) -> None:
    edges = {name: [on for on in to if on != name] for name, to in graph.items()}
    reachable = {name: set(to) for name, to in edges.items()}
    for _ in NAMES:
        for to in reachable.values():
            to |= {further for other in to for further in reachable[other]}
    world = World()

    async def run() -> None:
        for name in order:
            world.put(name, edges[name])
            await world.settle()

    asyncio.run(run())
    for position, name in enumerate(world.started):
        assert set(edges[name]) <= set(world.started[:position])
    on_a_cycle = {name for name in NAMES if name in reachable[name]}
    held = on_a_cycle | {name for name in NAMES if reachable[name] & on_a_cycle}
    assert set(world.started) == set(NAMES) - held
    for name in held:
        reason, message = world.why(name)
        assert (reason == "DependencyCycle") is (name in on_a_cycle), message
        if name in on_a_cycle:
            way = message.removeprefix("these containers wait for each other: ").split(" → ")
            assert way[0] == way[-1] == name


@given(graphs, st.permutations(NAMES))
def test_any_graph_that_is_deleted_goes_completely(graph: dict[str, list[str]], order: list[str]) -> None:
    edges = {name: [on for on in graph[name] if on < name] for name in NAMES}
    world = World()
    now = datetime.now(UTC)

    async def run() -> None:
        for name in NAMES:
            world.put(name, edges[name])
        await world.settle()
        for name in order:
            world.delete(name, now)
        await world.settle(now)

    asyncio.run(run())
    assert sorted(world.removed) == NAMES
    for name, to in edges.items():
        assert all(world.removed.index(name) < world.removed.index(on) for on in to)


def test_the_container_itself_is_no_dependency() -> None:
    itself = declared(dependsOn=[{"name": "db"}, {"name": "web"}])

    assert itself.spec is None
    assert [str(error) for error in itself.errors] == ["spec.dependsOn[1].name: must not be the container itself"]


def test_the_finalizer_is_there_before_anything_is_looked_at() -> None:
    fresh = declared(dependsOn=[{"name": "db"}], finalizers=())

    decided = plan(fresh, Observation(image=present(fresh)), NOW)

    assert decided.actions == (AddFinalizer(), LookAtDependencies())
