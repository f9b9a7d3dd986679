"""The binder: one write for each Container, nothing twice, nothing forgotten, whatever the API server answers."""

import asyncio
from typing import Any

import pytest

from controller.api.container import NODE_LABEL
from controller.kube import errors
from controller.manager.leader import NotLeading
from tests.unit.agent.virtual_time import run
from tests.unit.manager.api_server import Server, path_of
from tests.unit.manager.objects import asks, bound, container, node, running
from tests.unit.manager.world import Manager, settle


def _server(*bodies: dict[str, Any], nodes: int = 2) -> Server:
    server = Server()
    for number in range(nodes):
        server.put(node(f"node-{'abcdefgh'[number]}"))
    for body in bodies:
        server.put(body)
    return server


def _where(body: dict[str, Any]) -> tuple[str | None, str | None]:
    return body["spec"].get("nodeName"), body["metadata"]["labels"].get(NODE_LABEL)


def _writes(server: Server, name: str) -> int:
    return sum(path.endswith(f"/containers/{name}") for _, path in server.writes)


async def _led(server: Server, seconds: float = 1.0, **settings: Any) -> Manager:
    """What a leader has done in this time."""
    manager = Manager(server, **settings)
    manager.start()
    await settle(seconds)
    await manager.stop()
    return manager


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("body", "ends_at", "writes"),
    [
        pytest.param(container(), ("node-a", "node-a"), 1, id="nobody has bound it"),
        pytest.param(container(node="node-z"), ("node-z", "node-z"), 1, id="its user names a node: it gets the label"),
        pytest.param(bound("web", "node-b"), ("node-b", "node-b"), 0, id="it is bound"),
        pytest.param(container(label="node-b"), (None, "node-b"), 0, id="it is labelled: its agent's work"),
        pytest.param(
            container(node="node-a", label="node-b"), ("node-a", "node-b"), 0, id="it is labelled for another"
        ),
        pytest.param(container(deleting=True, finalizers=("x",)), (None, None), 0, id="it is deleted"),
        pytest.param(
            container(status=running("node-b")), ("node-b", "node-b"), 1, id="it runs, and somebody took its node out"
        ),
        pytest.param(
            bound("web", "node-b", label="node-a"),
            ("node-b", "node-b"),
            1,
            id="it runs, and somebody changed its label",
        ),
        pytest.param(
            container(label="node-b", status=running("node-b")),
            ("node-b", "node-b"),
            1,
            id="it runs, and somebody took its node out but not its label",
        ),
        pytest.param(
            container(node="node-a", label="node-b", status=running("node-b")),
            ("node-a", "node-b"),
            0,
            id="it runs, and somebody wants it elsewhere: its agent says no",
        ),
    ],
)
def test_what_is_written(body: dict[str, Any], ends_at: tuple[str, str], writes: int) -> None:
    async def main() -> None:
        server = _server(body)
        await _led(server)
        assert (_where(server.get("web")), _writes(server, "web")) == (ends_at, writes)

    run(main())


@pytest.mark.feature("K2")
def test_what_is_bound_is_told() -> None:
    async def main() -> None:
        manager = await _led(_server(container()))
        assert manager.told == [("web", "Bound", "bound to node-a")]
        assert (manager.binder.pending(), manager.binder.refusals()) == (0, 0)

    run(main())


@pytest.mark.feature("K2")
def test_a_binding_that_is_refused_is_told_and_tried_again_when_the_object_changes() -> None:
    async def main() -> None:
        server = _server(container())

        def refuse(verb: str, _path: str) -> None:
            if verb == "PATCH":
                raise errors.Refused("no more today (HTTP 422)")

        server.before = refuse
        manager = Manager(server)
        manager.start()
        await settle(20)
        assert manager.told == [("web", "BindError", "could not be bound to node-a: no more today (HTTP 422)")]
        server.before = lambda _verb, _path: None
        server.put(server.get("web"))
        await settle(1)
        assert _where(server.get("web")) == ("node-a", "node-a")
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_node_that_is_not_there_is_told_with_the_way_out() -> None:
    async def main() -> None:
        [(_, reason, message)] = (await _led(_server(container(node="node-z")))).told
        assert (reason, message.split(",")[0]) == ("Bound", "bound to node-z")
        assert "no ContainerNode of that name" in message
        assert "kubectl get containernodes" in message

    run(main())


@pytest.mark.feature("K2")
def test_many_are_bound_within_what_their_nodes_have() -> None:
    async def main() -> None:
        server = _server(*(container(f"c-{number}", resources=asks("1")) for number in range(20)), nodes=3)
        manager = await _led(server, at_once=16)
        homes = [_where(body)[0] for body in server.containers()]
        assert [homes.count(name) for name in ("node-a", "node-b", "node-c")] == [4, 4, 4]
        assert manager.binder.refusals() == 8

    run(main())


@pytest.mark.feature("K2")
def test_why_it_fits_nowhere_is_written_once_and_told() -> None:
    async def main() -> None:
        server = _server(container(resources=asks("8")))
        manager = await _led(server, 30)
        ready = server.get("web")["status"]["conditions"][0]
        said = "0/2 nodes fit: node-a: too little cpu (8 asked for, 4 of 4 free); node-b: too little cpu (8 asked for, 4 of 4 free)"
        assert (ready["status"], ready["reason"], ready["message"]) == ("False", "Unbindable", said)
        assert manager.told == [("web", "Unbindable", said)]
        assert len(server.writes) == 1

    run(main())


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda server: server.put(node("node-c", cpu="16")), id="a node comes"),
        pytest.param(lambda server: server.put(node("node-a", cpu="16")), id="a node grows"),
        pytest.param(lambda server: server.remove(path_of(bound("big", "node-a"))), id="a container goes"),
        pytest.param(lambda server: server.put(container(resources=asks("1"))), id="it asks for less"),
    ],
)
def test_what_fits_nowhere_is_tried_again_when_something_changes(change: Any) -> None:
    async def main() -> None:
        server = _server(
            bound("big", "node-a", resources=asks("3")),
            bound("large", "node-b", resources=asks("3")),
            container(resources=asks("4")),
        )
        manager = Manager(server)
        manager.start()
        await settle(20)
        assert (manager.binder.pending(), manager.binder.refusals()) == (1, 1)
        change(server)
        await settle()
        assert _where(server.get("web"))[0] is not None
        assert manager.reasons("web") == ["Unbindable", "Bound"]
        assert (manager.binder.pending(), manager.binder.refusals()) == (0, 0)
        await manager.stop()

    run(main())


def test_the_status_of_what_fits_nowhere_is_not_written_with_every_change() -> None:
    async def main() -> None:
        server = _server(container(resources=asks("8")))
        manager = Manager(server)
        manager.start()
        for number in range(100):
            server.put(node("node-a", cpu=f"{100 + number}m"))
            await settle(0.5)
        await settle(12)
        assert 4 <= len(server.writes) <= 7
        assert "199m of 199m free" in server.get("web")["status"]["conditions"][0]["message"]
        await manager.stop()

    run(main())


def test_statuses_of_what_fits_nowhere_are_written_at_a_bounded_rate() -> None:
    async def main() -> None:
        server = _server(*(container(f"c-{number}", nodeSelector={"no": str(number)}) for number in range(200)))
        manager = Manager(server)
        manager.start()
        await settle(10)
        assert 90 <= len(server.writes) <= 102
        await settle(15)
        assert len(server.writes) == 200
        await manager.stop()

    run(main())


@pytest.mark.parametrize("when", ["before", "after"], ids=["the request is lost", "the answer is lost"])
def test_a_write_that_fails_is_made_again(when: str) -> None:
    async def main() -> None:
        server = _server(*(container(f"c-{number}") for number in range(6)))
        faults = iter(range(4))

        def fail(verb: str, _path: str) -> None:
            if verb == "PATCH" and next(faults, None) is not None:
                raise errors.Unavailable("away")

        setattr(server, when, fail)
        manager = await _led(server, 10)
        homes = [_where(body)[0] for body in server.containers()]
        assert (homes.count("node-a"), homes.count("node-b")) == (3, 3)
        assert [load.containers for _, load in manager.store.offers()] == [3, 3]

    run(main())


def test_an_object_that_changed_meanwhile_is_decided_about_anew() -> None:
    async def main() -> None:
        server = _server(container())
        once = iter([True])

        def change(verb: str, _path: str) -> None:
            if verb == "PATCH" and next(once, False):
                server.put(container(nodeSelector={"kubernetes.io/hostname": "node-b"}))

        server.before = change
        manager = await _led(server)
        assert _where(server.get("web")) == ("node-b", "node-b")
        assert _writes(server, "web") == 1
        assert manager.reasons("web") == ["Bound"]

    run(main())


def test_an_object_that_is_known_too_late_to_have_changed_waits_for_the_watch() -> None:
    async def main() -> None:
        server = _server(container())
        manager = Manager(server)
        server.watchers.clear()
        seen = server.put(container(labels={"a": "b"}))
        manager.start()
        await settle(30)
        assert server.writes == []
        manager.store.put_container(seen)
        await settle()
        assert _where(server.get("web")) == ("node-a", "node-a")
        await manager.stop()

    run(main())


def test_an_object_that_is_gone_is_forgotten() -> None:
    async def main() -> None:
        server = _server(container(), container("other"))

        def vanish(verb: str, path: str) -> None:
            if verb == "PATCH" and path.endswith("/web") and path in server.objects:
                server.remove(path)

        server.before = vanish
        manager = await _led(server)
        assert manager.binder.pending() == 0
        assert _where(server.get("other")) == ("node-b", "node-b")

    run(main())


def test_who_may_write_no_more_stops_and_counts_nothing_as_bound() -> None:
    async def main() -> None:
        server = _server(*(container(f"c-{number}") for number in range(6)))
        permits = iter(range(2))
        manager = Manager(server, at_once=1)

        def permit() -> float:
            if next(permits, None) is None:
                raise NotLeading("no")
            return 1.0

        manager.client._permit = permit
        with pytest.raises(ExceptionGroup) as ended:
            await manager.binder.run()
        assert ended.value.split(NotLeading)[1] is None
        assert len(server.writes) == 2
        assert sum(load.containers for _, load in manager.store.offers()) == 2
        manager.client._permit = None
        manager.start()
        await settle()
        await manager.stop()
        assert len(server.writes) == 6
        assert sum(load.containers for _, load in manager.store.offers()) == 6

    run(main())


@pytest.mark.feature("K2")
@pytest.mark.parametrize("killed_after", range(0, 26, 2))
def test_another_leader_goes_on_wherever_the_first_one_was_killed(killed_after: int) -> None:
    async def main() -> None:
        server = _server(*(container(f"c-{number}", resources=asks("1")) for number in range(10)), nodes=3)
        first, second = Manager(server, at_once=3), Manager(server, at_once=3)
        killed = asyncio.Event()
        seen = iter(range(1, 1000))

        def count(_verb: str, _path: str) -> None:
            if next(seen) >= killed_after:
                killed.set()

        server.before, server.after = count, count
        first.start()
        await asyncio.wait([asyncio.create_task(killed.wait())], timeout=5)
        await first.stop()
        server.before = server.after = lambda _verb, _path: None
        second.start()
        await settle(5)
        await second.stop()
        assert all(_writes(server, f"c-{number}") == 1 for number in range(10))
        homes = [_where(body)[0] for body in server.containers()]
        assert sorted(homes.count(name) for name in ("node-a", "node-b", "node-c")) == [3, 3, 4]

    run(main())


@pytest.mark.feature("K2")
def test_two_that_both_take_themselves_for_the_leader_bind_nothing_twice() -> None:
    async def main() -> None:
        server = _server(*(container(f"c-{number}") for number in range(40)), nodes=3)
        both = [Manager(server, at_once=5), Manager(server, at_once=3)]
        for manager in both:
            manager.start()
        await settle(10)
        for manager in both:
            await manager.stop()
        assert all(_writes(server, f"c-{number}") == 1 for number in range(40))
        assert all(_where(body)[0] == _where(body)[1] for body in server.containers())

    run(main())
