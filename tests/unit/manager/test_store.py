"""The store: what it takes in, and that its sums are right whatever comes in whatever order."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.manager import store as module
from controller.manager.binding import Load
from controller.manager.store import LOST, Store
from tests.unit.manager.objects import asks, bound, container, node, taint

KEY = ("shop", "web")


def _load(store: Store, name: str = "node-a") -> Load:
    return next((load for candidate, load in store.offers() if candidate.name == name), Load())


@pytest.fixture
def store() -> Store:
    made = Store()
    made.put_node(node())
    return made


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [
        pytest.param(bound("web", "node-a", version=11), True, id="later"),
        pytest.param(bound("web", "node-a", version=10), False, id="the same"),
        pytest.param(bound("web", "node-a", version=9), False, id="earlier"),
        pytest.param(bound("web", "node-a", version=12, uid="another"), True, id="another one of its name"),
        pytest.param(bound("web", "node-a", version=8, uid="another"), False, id="an earlier one of its name"),
    ],
)
def test_only_what_is_newer_is_taken_in(store: Store, body: dict[str, Any], is_taken: bool) -> None:
    store.put_container(bound("web", "node-a", version=10))
    assert (store.put_container(body) is not None) == is_taken


def test_versions_that_are_no_numbers_count_as_newer_unless_they_are_the_same(store: Store) -> None:
    body = container()
    body["metadata"]["resourceVersion"] = "first"
    assert store.put_container(body) is not None
    assert store.put_container(body) is None
    assert store.put_container(container()) is not None


def test_an_answer_that_comes_after_the_deletion_does_not_bring_the_object_back(store: Store) -> None:
    store.put_container(container(version=1))
    store.drop_container(KEY, "uid-web")
    assert store.put_container(container(version=2)) is None
    assert store.put_container(container(version=3, uid="another")) is not None


def test_what_is_known_of_deletions_is_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED_DELETIONS", 2)
    for number in range(4):
        store.drop_container(("shop", f"gone-{number}"), f"uid-{number}")
    assert store.put_container(container(uid="uid-0")) is not None


def test_the_deletion_of_an_earlier_object_leaves_the_present_one(store: Store) -> None:
    store.put_container(container(version=5, uid="second"))
    store.drop_container(KEY, "first")
    assert store.get(KEY) is not None
    store.put_node(node(version=5, uid="second"))
    store.drop_node("node-a", "first")
    assert store.node("node-a") is not None


@pytest.mark.feature("K2")
def test_what_is_bound_counts_until_it_is_gone(store: Store) -> None:
    store.put_container(bound("web", "node-a", resources=asks("1", "64Mi")))
    store.put_container(bound("done", "node-a", resources=asks("500m"), status={"state": "Exited"}))
    assert (_load(store).cpu, _load(store).containers) == (1500, 2)
    store.drop_container(("shop", "done"))
    assert (_load(store).cpu, _load(store).containers) == (1000, 1)
    assert {record.key for record in store.members("node-a")} == {KEY}


def test_what_is_being_written_counts_at_once_and_only_once(store: Store) -> None:
    store.put_container(container(version=1, resources=asks("1")))
    store.assume(KEY, "node-a")
    assert _load(store).cpu == 1000
    store.put_container(container(version=2, resources=asks("1"), labels={"a": "b"}))
    assert _load(store).cpu == 1000
    room = store.room
    store.put_container(bound("web", "node-a", version=3, resources=asks("1")))
    store.settle(KEY)
    assert (_load(store).cpu, _load(store).containers, store.room) == (1000, 1, room)


def test_a_write_that_failed_counts_no_more(store: Store) -> None:
    store.put_container(container(resources=asks("1")))
    store.assume(KEY, "node-a")
    room = store.room
    store.settle(KEY)
    assert _load(store) == Load()
    assert store.room > room


def test_an_assumption_is_about_one_object_and_not_about_its_name(store: Store) -> None:
    store.put_container(container(version=1))
    store.assume(KEY, "node-a")
    store.drop_container(KEY)
    store.put_container(container(version=3, uid="another"))
    assert _load(store) == Load()
    store.settle(KEY)
    assert _load(store) == Load()


@pytest.mark.parametrize(
    ("change", "makes_room"),
    [
        pytest.param(lambda store: store.drop_container(KEY), True, id="a container goes"),
        pytest.param(
            lambda store: store.put_container(bound("web", "node-a", version=2, resources=asks("500m"))),
            True,
            id="a container asks for less",
        ),
        pytest.param(
            lambda store: store.put_container(bound("web", "node-a", version=2, resources=asks("1"), status={})),
            False,
            id="a container's state changes",
        ),
        pytest.param(lambda store: store.put_container(bound("other", "node-a")), False, id="a container is bound"),
        pytest.param(lambda store: store.put_node(node("node-b")), True, id="a node comes"),
        pytest.param(lambda store: store.put_node(node(version=2, cpu="8")), True, id="a node has grown"),
        pytest.param(lambda store: store.put_node(node(version=2)), False, id="a node reports nothing new"),
        pytest.param(lambda store: store.set_lost(frozenset({"node-a"})), True, id="a node is lost, or back"),
        pytest.param(lambda store: store.set_lost(frozenset()), False, id="no node is lost that was not"),
    ],
)
def test_when_there_may_be_more_room(store: Store, change: Callable[[Store], object], makes_room: bool) -> None:
    store.put_container(bound("web", "node-a", resources=asks("1")))
    before = store.room
    change(store)
    assert (store.room > before) == makes_room


def test_a_lost_node_has_nothing_to_offer_whatever_its_status_says(store: Store) -> None:
    store.set_lost(frozenset({"node-a"}))
    assert [candidate.not_ready for candidate, _ in store.offers()] == [LOST]
    store.set_lost(frozenset())
    assert [candidate.not_ready for candidate, _ in store.offers()] == [None]


def test_offers_follow_the_nodes(store: Store) -> None:
    store.put_node(node("node-b", taints=(taint("gpu"),)))
    assert [candidate.name for candidate, _ in store.offers()] == ["node-a", "node-b"]
    store.drop_node("node-a")
    assert [len(candidate.taints) for candidate, _ in store.offers()] == [1]


def test_every_change_is_told(store: Store) -> None:
    told: list[Any] = []
    store.subscribe(
        lambda before, after: told.append((before and before.version, after and after.version)), told.append
    )
    store.put_container(container(version=1))
    store.put_container(container(version=1))
    store.put_container(container(version=2))
    store.drop_container(KEY)
    store.put_node(node("node-b"))
    store.set_lost(frozenset({"node-b"}))
    store.drop_node("node-b")
    assert told == [(None, "1"), ("1", "2"), ("2", None), "node-b", "node-b", "node-b"]


def test_what_is_known_can_be_compared_with_a_list(store: Store) -> None:
    store.put_container(container(version=4))
    assert store.container_names() == [KEY]
    assert store.container_version(KEY) == ("uid-web", "4")
    assert store.container_version(("shop", "other")) is None
    assert store.node_names() == [("", "node-a")]
    assert store.node_version(("", "node-a")) == ("uid-node-a", "1")


names = st.sampled_from("abc")
homes = st.sampled_from([None, "node-a", "node-b", "nowhere"])
cpus = st.sampled_from(["100m", "1", None])
steps = st.one_of(
    st.tuples(st.just("put"), names, homes, cpus),
    st.tuples(st.just("drop"), names),
    st.tuples(st.just("assume"), names, st.sampled_from(["node-a", "node-b"])),
    st.tuples(st.just("settle"), names),
    st.tuples(st.just("node"), st.sampled_from(["node-a", "node-b"])),
    st.tuples(st.just("no node"), st.sampled_from(["node-a", "node-b"])),
)


@given(st.lists(steps, max_size=40))
def test_the_sums_are_those_of_what_there_is(taken: list[tuple[Any, ...]]) -> None:
    store, assumed = Store(), dict[str, tuple[str, str]]()
    for version, step in enumerate(taken, start=1):
        match step:
            case ("put", name, home, cpu):
                uid = f"{name}-{store.container_version(('shop', name)) is None and version}"
                known = store.get(("shop", name))
                body = container(name, node=home, version=version, uid=known.uid if known else uid, resources=asks(cpu))
                store.put_container(body)
            case ("drop", name):
                store.drop_container(("shop", name))
            case ("assume", name, home) if (record := store.get(("shop", name))) is not None:
                store.assume(record.key, home)
                assumed[name] = (record.uid, home)
            case ("settle", name):
                store.settle(("shop", name))
                assumed.pop(name, None)
            case ("node", name):
                store.put_node(node(name, version=version))
            case ("no node", name):
                store.drop_node(name)
    for candidate, load in store.offers():
        expected, members = Load(), []
        for record in store.containers():
            uid, home = assumed.get(record.key[1], ("", ""))
            if (home if uid == record.uid else record.home) == candidate.name:
                expected.add(record.demand)
            if record.home == candidate.name:
                members.append(record.key)
        assert load == expected
        assert sorted(record.key for record in store.members(candidate.name)) == sorted(members)
