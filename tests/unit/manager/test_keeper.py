"""What the manager does about lost and gone nodes, on an API server in memory. In virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from controller.api.container import FINALIZER, NODE_LABEL
from controller.kube import errors
from tests.unit.agent.virtual_time import now, run
from tests.unit.manager.api_server import Server, path_of
from tests.unit.manager.objects import bound, container, node, running, taint
from tests.unit.manager.world import LEASE_SECONDS, RELEASE_AFTER, Manager, settle

FENCED = taint("node.kubernetes.io/out-of-service")
SILENCE = LEASE_SECONDS + 10.0


def _server(*bodies: dict[str, Any]) -> Server:
    server = Server()
    for body in (node("node-a"), node("node-b"), *bodies):
        server.put(body)
    return server


async def _leading(server: Server, *alive: str) -> Manager:
    """A leader that has heard of these nodes just now."""
    manager = Manager(server)
    manager.start()
    manager.hear(*(alive or ("node-a", "node-b")))
    await settle(0.5)
    return manager


def _ready(body: dict[str, Any]) -> tuple[str, str]:
    ready = next(one for one in body["status"]["conditions"] if one["type"] == "Ready")
    return ready["status"], ready["reason"]


def _home(body: dict[str, Any]) -> tuple[str | None, str | None]:
    return body["spec"].get("nodeName"), body["metadata"]["labels"].get(NODE_LABEL)


@pytest.mark.feature("K2")
def test_containers_of_a_lost_node_are_unknown_and_stay_where_they_are() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a", reschedule="WhenNodeGone"), bound("api", "node-b"))
        manager = await _leading(server)
        await manager.hear_for(LEASE_SECONDS - 10, "node-b")
        assert server.writes == []
        await manager.hear_for(20, "node-b")
        await manager.hear_for(3600, "node-b")
        web = server.get("web")
        assert (web["status"]["state"], _ready(web)) == ("Unknown", ("Unknown", "NodeLost"))
        assert (_home(web), web["status"]["pid"]) == (("node-a", "node-a"), 17)
        assert _ready(server.node("node-a")) == ("Unknown", "NodeLost")
        assert _ready(server.get("api")) == ("True", "Running")
        assert manager.reasons("web") == ["NodeLost"]
        assert len(server.writes) == 2
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_node_that_is_back_is_left_to_its_agent() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a"))
        manager = await _leading(server)
        await manager.hear_for(SILENCE, "node-b")
        manager.hear("node-a", "node-b")
        await settle()
        server.put(node("node-a"))
        server.put(bound("web", "node-a"))
        writes = len(server.writes)
        await manager.hear_for(600, "node-a", "node-b")
        assert len(server.writes) == writes
        await manager.hear_for(SILENCE, "node-b")
        assert _ready(server.get("web")) == ("Unknown", "NodeLost")
        assert manager.reasons("web") == ["NodeLost", "NodeLost"]
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_node_that_came_back_since_the_last_list_is_left_to_its_agent() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a"), bound("late", "node-a", reschedule="WhenNodeGone"))
        manager = await _leading(server)
        await manager.hear_for(SILENCE, "node-b")
        manager.renew("node-a")
        server.put(node("node-a"))
        server.put(bound("web", "node-a"))
        writes = len(server.writes)
        server.remove(path_of(node("node-a")))
        await settle(3)
        assert len(server.writes) == writes
        assert _home(server.get("late")) == ("node-a", "node-a")
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_node_that_came_back_keeps_its_containers_though_object_and_lease_are_deleted_before_the_next_list() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a", reschedule="WhenNodeGone"), bound("old", "node-a", deleting=True))
        manager = await _leading(server)
        await manager.hear_for(SILENCE, "node-b")
        manager.renew("node-a")
        server.put(node("node-a"))
        server.put(bound("web", "node-a", reschedule="WhenNodeGone"))
        writes = len(server.writes)
        server.remove(path_of(node("node-a")))
        del manager.leases["node-a"]
        await settle(3)
        await manager.hear_for(LEASE_SECONDS - 5, "node-b")
        assert len(server.writes) == writes
        server.put(node("node-a"))
        await manager.hear_for(600, "node-a", "node-b")
        assert len(server.writes) == writes
        assert _home(server.get("web")) == ("node-a", "node-a")
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_node_whose_object_and_lease_are_deleted_is_gone_a_duration_later() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a", reschedule="WhenNodeGone"))
        manager = await _leading(server)
        await manager.hear_for(SILENCE, "node-b")
        server.remove(path_of(node("node-a")))
        del manager.leases["node-a"]
        await manager.hear_for(LEASE_SECONDS + 10, "node-b")
        await settle()
        assert _home(server.get("web")) == ("node-b", "node-b")
        await manager.stop()

    run(main())


def test_who_writes_statuses_is_not_contradicted_even_without_a_heartbeat() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a"))
        manager = await _leading(server)
        await manager.hear_for(SILENCE, "node-b")
        server.put(bound("web", "node-a"))
        writes = len(server.writes)
        await manager.hear_for(600, "node-b")
        assert len(server.writes) == writes
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_statuses_are_written_at_a_bounded_rate() -> None:
    async def main() -> None:
        server = _server(*(bound(f"c-{number}", "node-a") for number in range(100)))
        manager = await _leading(server)
        await manager.hear_for(LEASE_SECONDS - 1, "node-b")
        manager.hear("node-b")
        since, before = now(), len(server.writes)
        await manager.hear_for(5, "node-b")
        assert len(server.writes) - before <= 10 * (now() - since) + 3
        await manager.hear_for(10, "node-b")
        assert len(server.writes) == 101
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_nobody_is_lost_when_nobody_could_be_heard() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a"))
        manager = await _leading(server)
        await asyncio.sleep(3600)
        manager.hear()
        await settle()
        await manager.hear_for(LEASE_SECONDS - 10, "node-a", "node-b")
        assert server.writes == []
        await manager.stop()

    run(main())


def _delete_node(server: Server) -> None:
    server.remove(path_of(node("node-a")))


def _fence_node(server: Server) -> None:
    server.put(node("node-a", taints=(FENCED,)))


GONE = pytest.mark.parametrize("go", [_delete_node, _fence_node], ids=["its object is deleted", "it is fenced"])


@pytest.mark.feature("K2")
@GONE
def test_only_what_wants_to_be_moved_is_moved_and_not_before_its_node_is_gone(go: Callable[[Server], None]) -> None:
    async def main() -> None:
        server = _server(
            bound("mover", "node-a", reschedule="WhenNodeGone"),
            bound("stayer", "node-a"),
            bound("done", "node-a", reschedule="WhenNodeGone", status=running("node-a", state="Exited", exitCode=0)),
            bound("other", "node-b", reschedule="WhenNodeGone"),
        )
        manager = await _leading(server)
        await manager.hear_for(600, "node-b")
        assert {_home(server.get(name)) for name in ("mover", "stayer", "done")} == {("node-a", "node-a")}
        go(server)
        await manager.hear_for(10, "node-b")
        mover = server.get("mover")
        assert _home(mover) == ("node-b", "node-b")
        assert mover["status"].keys() == {"observedGeneration", "state", "conditions"}
        assert (mover["status"]["state"], _ready(mover)) == ("Pending", ("False", "Rescheduled"))
        assert {_home(server.get(name)) for name in ("stayer", "done")} == {("node-a", "node-a")}
        assert _home(server.get("other")) == ("node-b", "node-b")
        assert manager.reasons("mover") == ["NodeLost", "Rescheduled", "Bound"]
        assert manager.told[-1][2] == "bound to node-b; node-a is gone"
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_what_names_a_node_that_never_was_is_moved_past_the_door_too() -> None:
    """Nothing ever ran, so there is no status that could have been taken back; the webhook must know the move all the same."""

    async def main() -> None:
        server = _server(container("web", node="ghost", reschedule="WhenNodeGone"))
        manager = await _leading(server)
        await manager.hear_for(LEASE_SECONDS + 20, "node-a", "node-b")
        assert _home(server.get("web"))[0] in {"node-a", "node-b"}
        assert manager.reasons("web") == ["Bound", "Rescheduled", "Bound"]
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_what_is_to_be_moved_and_fits_nowhere_is_moved_when_there_is_room() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a", reschedule="WhenNodeGone", nodeSelector={"disk": "ssd"}))
        manager = await _leading(server)
        _delete_node(server)
        await manager.hear_for(LEASE_SECONDS + 20, "node-b")
        assert _ready(server.get("web")) == ("False", "Unbindable")
        server.put(node("node-b", labels={"disk": "ssd"}))
        await manager.hear_for(10, "node-b")
        assert _home(server.get("web")) == ("node-b", "node-b")
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
@GONE
def test_a_node_that_is_heard_of_is_not_gone(go: Callable[[Server], None]) -> None:
    async def main() -> None:
        server = _server(bound("mover", "node-a", reschedule="WhenNodeGone"))
        manager = await _leading(server)
        go(server)
        await manager.hear_for(600, "node-a", "node-b")
        assert _home(server.get("mover")) == ("node-a", "node-a")
        assert server.writes == []
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_an_object_that_is_made_anew_in_time_keeps_its_containers() -> None:
    async def main() -> None:
        server = _server(bound("mover", "node-a", reschedule="WhenNodeGone"))
        manager = await _leading(server)
        _delete_node(server)
        await manager.hear_for(LEASE_SECONDS - 10, "node-b")
        server.put(node("node-a", uid="new"))
        await manager.hear_for(600, "node-a", "node-b")
        assert _home(server.get("mover")) == ("node-a", "node-a")
        assert server.writes == []
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_what_was_to_be_moved_and_fits_nowhere_says_so_and_waits() -> None:
    async def main() -> None:
        server = _server(bound("mover", "node-a", reschedule="WhenNodeGone", nodeSelector={"disk": "ssd"}))
        manager = await _leading(server)
        _delete_node(server)
        await manager.hear_for(SILENCE + 20, "node-b")
        mover = server.get("mover")
        assert (_home(mover), _ready(mover)) == (("node-a", "node-a"), ("False", "Unbindable"))
        server.put(node("node-b", labels={"disk": "ssd"}))
        await settle()
        assert _home(server.get("mover")) == ("node-b", "node-b")
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_node_that_comes_back_keeps_what_was_not_moved_yet() -> None:
    async def main() -> None:
        server = _server(bound("mover", "node-a", reschedule="WhenNodeGone", nodeSelector={"disk": "ssd"}))
        manager = await _leading(server)
        _delete_node(server)
        await manager.hear_for(SILENCE + 20, "node-b")
        server.put(node("node-a", uid="new"))
        server.put(bound("mover", "node-a", reschedule="WhenNodeGone", nodeSelector={"disk": "ssd"}))
        manager.hear("node-a", "node-b")
        await settle()
        server.put(node("node-b", labels={"disk": "ssd"}))
        await manager.hear_for(600, "node-a", "node-b")
        assert _home(server.get("mover")) == ("node-a", "node-a")
        await manager.stop()

    run(main())


@pytest.mark.feature("K2", "D6")
@pytest.mark.parametrize(
    ("prepare", "within"),
    [
        pytest.param(lambda _server: None, SILENCE + RELEASE_AFTER + 20, id="its node is lost"),
        pytest.param(_delete_node, SILENCE + 20, id="its node is gone"),
        pytest.param(_fence_node, SILENCE + 20, id="its node is fenced"),
    ],
)
def test_the_deletion_of_a_container_of_a_dead_node_ends(prepare: Callable[[Server], None], within: float) -> None:
    async def main() -> None:
        server = _server(
            bound("web", "node-a", deleting=True), bound("held", "node-a", deleting=True, finalizers=(FINALIZER, "x"))
        )
        manager = await _leading(server)
        prepare(server)
        await manager.hear_for(LEASE_SECONDS - 10, "node-b")
        assert server.get("web")["metadata"]["finalizers"] == [FINALIZER]
        await manager.hear_for(within, "node-b")
        assert [body["metadata"]["name"] for body in server.containers()] == ["held"]
        assert server.get("held")["metadata"]["finalizers"] == ["x"]
        assert manager.reasons("web")[-1] == "FinalizerRemoved"
        assert manager.store.get(("shop", "web")) is None
        await manager.stop()

    run(main())


@pytest.mark.feature("K2", "D6")
def test_a_lost_node_keeps_what_is_deleted_for_a_while() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a", deleting=True))
        manager = await _leading(server)
        await manager.hear_for(LEASE_SECONDS + RELEASE_AFTER - 10, "node-b")
        assert server.get("web")["metadata"]["finalizers"] == [FINALIZER]
        assert manager.reasons("web") == ["NodeLost"]
        await manager.stop()

    run(main())


@pytest.mark.feature("D6")
def test_a_deleted_container_that_no_node_has_is_let_go_at_once() -> None:
    async def main() -> None:
        server = _server(container(finalizers=(FINALIZER,)))
        manager = await _leading(server)
        body = container(finalizers=(FINALIZER,), deleting=True)
        server.put({**server.get("web"), "metadata": {**body["metadata"], "labels": {}}, "spec": {"image": "x"}})
        await manager.hear_for(5, "node-a", "node-b")
        assert server.containers() == []
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
def test_a_container_for_a_node_that_was_never_seen_says_so() -> None:
    async def main() -> None:
        server = _server(container(node="node-z"))
        manager = await _leading(server)
        await manager.hear_for(SILENCE, "node-a", "node-b")
        ready = server.get("web")["status"]["conditions"][0]
        assert ready["message"] == "there is no ContainerNode node-z, and no agent of that name is heard of"
        await manager.stop()

    run(main())


def test_what_can_not_be_written_is_tried_again() -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a"), bound("mover", "node-a", reschedule="WhenNodeGone"))
        manager = await _leading(server)
        _delete_node(server)
        faults = iter(range(4))

        def fail(verb: str, _path: str) -> None:
            if verb == "PATCH" and next(faults, None) is not None:
                raise errors.Unavailable("away")

        server.before = fail
        await manager.hear_for(SILENCE + 30, "node-b")
        assert _ready(server.get("web")) == ("Unknown", "NodeLost")
        assert _home(server.get("mover")) == ("node-b", "node-b")
        await manager.stop()

    run(main())


@pytest.mark.parametrize("path", ["/containers/web", "/containernodes/node-a"])
def test_a_node_that_comes_back_between_decision_and_write_is_left_alone(path: str) -> None:
    async def main() -> None:
        server = _server(bound("web", "node-a"))
        manager = await _leading(server)
        writes: list[str] = []

        def come_back(verb: str, asked: str) -> None:
            if verb == "GET" and asked.endswith(path):
                manager.hear("node-a", "node-b")
            if verb == "PATCH" and path in asked:
                writes.append(asked)

        server.before = come_back
        await manager.hear_for(LEASE_SECONDS, "node-b")
        await settle(2)
        assert writes == []
        await manager.stop()

    run(main())


@pytest.mark.feature("K2")
@pytest.mark.parametrize("killed_after", range(1, 40, 3))
def test_another_leader_goes_on_wherever_the_first_one_was_killed(killed_after: int) -> None:
    async def main() -> None:
        server = _server(
            *(bound(f"mover-{number}", "node-a", reschedule="WhenNodeGone") for number in range(4)),
            bound("stayer", "node-a"),
            bound("deleted", "node-a", deleting=True),
        )
        first = await _leading(server)
        _delete_node(server)
        killed, seen = asyncio.Event(), iter(range(1, 10_000))

        def count(_verb: str, _path: str) -> None:
            if next(seen) >= killed_after:
                killed.set()

        server.before = server.after = count
        hearing = asyncio.create_task(first.hear_for(SILENCE + 60, "node-b"))
        await asyncio.wait((asyncio.create_task(killed.wait()), hearing), return_when=asyncio.FIRST_COMPLETED)
        await first.stop()
        hearing.cancel()
        server.before = server.after = lambda _verb, _path: None
        second = await _leading(server, "node-b")
        await second.hear_for(SILENCE + 60, "node-b")
        await second.stop()
        assert {_home(server.get(f"mover-{number}")) for number in range(4)} == {("node-b", "node-b")}
        assert (_home(server.get("stayer")), _ready(server.get("stayer"))) == (
            ("node-a", "node-a"),
            ("Unknown", "NodeLost"),
        )
        assert "deleted" not in {body["metadata"]["name"] for body in server.containers()}
        for number in range(4):
            # One write to reset it and one to bind it, and one to mark it at most: a leader that was killed did nothing twice.
            assert sum(f"/containers/mover-{number}" in path for _, path in server.writes) <= 3

    run(main())
