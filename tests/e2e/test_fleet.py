"""A fleet of real parts: a manager and three nodes, each with a containerd and an agent of its own."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e import members, waiting
from tests.e2e.cluster import NODE_LABEL, Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.manager_process import ManagerProcess, only_manager
from tests.e2e.members import LEASE_SECONDS, Member
from tests.e2e.objects import condition, is_running, life, status
from tests.e2e.pages import value
from tests.e2e.simulated import because, is_bound, node_of

MANY = 300
LOST = "Unknown Unknown NodeLost"
BOUNDED_SECONDS = LEASE_SECONDS + 12.0
"""By then the statuses of a dead node's few containers say so, on a machine that is busy with other things."""
FENCED = {"key": "node.kubernetes.io/out-of-service", "effect": "NoSchedule"}
HOSTNAME = "kubernetes.io/hostname"
Members = dict[str, Member]
SETTINGS = {
    "a": {"TALLYMAN_NODE_LABELS": "disk=ssd", "TALLYMAN_RUNTIMES": "runc sandboxed=runc"},
    "b": {"TALLYMAN_RUNTIMES": "runc"},
    "c": {"TALLYMAN_RUNTIMES": "runc", "TALLYMAN_RESERVED_CPU": "1500m"},
}


@pytest.fixture(scope="module")
def manager(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    cluster.delete_nodes()
    with only_manager(cluster, tmp_path_factory.mktemp("manager")) as made:
        yield made


@pytest.fixture(scope="module")
def fleet(
    cluster: Cluster, manager: ManagerProcess, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Members]:
    with ExitStack() as stack:
        yield {
            letter: stack.enter_context(
                members.member(cluster, f"fleet-{letter}", tmp_path_factory.mktemp(f"fleet-{letter}"), settings)
            )
            for letter, settings in SETTINGS.items()
        }


@pytest.fixture
def namespace(cluster: Cluster, images: Images, fleet: Members, manager: ManagerProcess) -> Iterator[Namespace]:
    """A namespace of the test's own; when the test is over the whole fleet is as it was."""
    made = cluster.namespace(images.busybox)
    yield made
    cluster.plane.start()
    manager.start()
    for one in fleet.values():
        one.agent.start()
        one.wait_ready()
        cluster.patch_node(one.name, {"spec": {"taints": None, "unschedulable": None}})
    try:
        made.delete_all(seconds=120)
        for one in fleet.values():
            one.node.wait_clean()
    finally:
        made.strip_finalizers()


def _on(one: Member) -> dict[str, Any]:
    return {"nodeSelector": {HOSTNAME: one.name}}


def _runs_on(*nodes: Member) -> Any:
    names = {one.name for one in nodes}
    return lambda body: is_running(body) and status(body)["nodeName"] in names


@pytest.mark.feature("K2")
def test_containers_run_where_all_that_they_ask_for_is(namespace: Namespace, fleet: Members, cluster: Cluster) -> None:
    a, b, c = fleet.values()
    cluster.patch_node(b.name, {"spec": {"taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    wanted: dict[str, tuple[Member, dict[str, Any]]] = {
        "by-label": (a, {"nodeSelector": {"disk": "ssd"}}),
        "by-runtime": (a, {"runtimeName": "sandboxed"}),
        "by-cpu": (a, {"resources": {"requests": {"cpu": 1}}}),
        "by-taint": (b, {**_on(b), "tolerations": [{"key": "gpu", "operator": "Exists"}]}),
        "by-spread": (c, {}),
    }
    for name, (_node, spec) in wanted.items():
        namespace.sleeper(name, metadata={"labels": {"app.kubernetes.io/name": name[:4]}}, **spec)
        namespace.wait(name, is_bound)
    bodies = namespace.wait_all(wanted, is_running)
    expected = {name: one.name for name, (one, _spec) in wanted.items()}
    expected["by-spread"] = node_of(bodies["by-spread"])[0] or ""
    assert {name: status(body)["nodeName"] for name, body in bodies.items()} == expected
    assert expected["by-spread"] != b.name, "whose taint it does not tolerate"
    for one in fleet.values():
        assert one.objects(namespace.name) == sorted(name for name, node in expected.items() if node == one.name)


@pytest.mark.feature("K2", "D7")
def test_what_fits_nowhere_says_why_and_is_bound_when_a_node_comes(namespace: Namespace, fleet: Members) -> None:
    a, b, c = fleet.values()
    c.leave()
    namespace.sleeper("web", nodeSelector={HOSTNAME: c.name}, runtimeName="runc")
    asked = f"labels differ ({HOSTNAME}={c.name} is asked for)"
    said = f"0/2 nodes fit: {a.name}: {asked}; {b.name}: {asked}"
    namespace.wait("web", lambda body: condition(body, "Ready")["message"] == said, "says why")
    waiting.until(lambda: [one.message for one in namespace.events("web", "Unbindable")] == [said], "the event")
    c.agent.start()
    namespace.wait("web", _runs_on(c), f"runs on {c.name}")


@pytest.mark.feature("K2")
def test_an_agent_that_is_killed_and_comes_back_finds_all_as_it_was(
    namespace: Namespace, fleet: Members, manager: ManagerProcess
) -> None:
    a, b, _c = fleet.values()
    namespace.sleeper("web", **_on(a), reschedule="WhenNodeGone")
    namespace.sleeper("api", **_on(b))
    before = namespace.wait_all(["web", "api"], is_running)
    a.agent.kill()
    tasks = a.node.tasks()
    namespace.wait("web", lambda body: because(body) == LOST, "is unknown", seconds=BOUNDED_SECONDS)
    waiting.until(lambda: a.ready() == "Unknown NodeLost", "the node is lost", seen=a.ready)
    waiting.until(lambda: namespace.events("web", "NodeLost"), "the event")
    assert life(namespace.get("api")) == life(before["api"])
    assert a.node.tasks() == tasks
    a.agent.start()
    assert life(namespace.running("web")) == life(before["web"])
    a.wait_ready()
    assert a.node.tasks() == tasks
    assert node_of(namespace.get("web")) == (a.name, a.name)


def _deleted(cluster: Cluster, one: Member) -> None:
    cluster.delete_node(one.name)
    # NB: what a cluster's garbage collector does; there is none here.
    cluster.delete_lease(f"tallyman-node-{one.name}")


def _fenced(cluster: Cluster, one: Member) -> None:
    cluster.patch_node(one.name, {"spec": {"taints": [FENCED]}})


@pytest.mark.feature("K2", "D6")
@pytest.mark.parametrize("go", [_deleted, _fenced], ids=["its object is deleted", "it is fenced"])
def test_containers_of_a_node_that_is_gone_move_if_they_want_to_and_what_comes_back_is_removed(
    namespace: Namespace, fleet: Members, cluster: Cluster, manager: ManagerProcess, go: Any
) -> None:
    a, b, c = fleet.values()
    names = ["deleted", "mover", "stayer"]
    for name in names:
        namespace.sleeper(name, nodeName=a.name, reschedule="WhenNodeGone" if name == "mover" else "Never")
    before = namespace.wait_all(names, is_running)
    a.agent.kill()
    namespace.delete("deleted")
    namespace.wait_gone("deleted", seconds=BOUNDED_SECONDS)
    waiting.until(lambda: namespace.events("deleted", "FinalizerRemoved"), "the event")
    namespace.wait_all(["mover", "stayer"], lambda body: because(body) == LOST, "unknown", seconds=BOUNDED_SECONDS)
    assert value(manager, "tallyman_manager_node_steps_total", step="Release") >= 1
    # The deleted one was let go for its node's being lost; by then the mover could have been moved, too.
    assert node_of(namespace.get("mover")) == (a.name, a.name)

    go(cluster, a)
    there = namespace.wait("mover", _runs_on(b, c), "runs on another node")
    assert node_of(namespace.get("stayer")) == (a.name, a.name)
    assert because(namespace.get("stayer")) == LOST
    assert a.objects(namespace.name) == names, "nobody has asked the dead node"
    told = {"NodeLost", "Rescheduled", "Bound"}
    waiting.until(lambda: told <= {one.reason for one in namespace.events("mover")}, "told as events")

    if go is _fenced:
        cluster.patch_node(a.name, {"spec": {"taints": None}})
    a.agent.start()
    waiting.until(lambda: a.objects(namespace.name) == ["stayer"], "what has left is removed", seen=a.node.containers)
    assert life(namespace.running("stayer")) == life(before["stayer"])
    assert life(namespace.wait("mover", _runs_on(b, c))) == life(there)
    waiting.until(lambda: namespace.events("mover", "Moved"), "told as an event")
    a.wait_ready()


@pytest.mark.feature("K2", "D5")
@pytest.mark.parametrize("label", [False, True], ids=["nodeName", "nodeName and label"])
def test_a_container_is_not_moved_by_hand(namespace: Namespace, fleet: Members, *, label: bool) -> None:
    a, b, _c = fleet.values()

    def send_to(one: Member) -> None:
        labels = {"labels": {NODE_LABEL: one.name}} if label else {}
        namespace.patch("web", {"metadata": labels, "spec": {"nodeName": one.name}})

    namespace.sleeper("web", **_on(a))
    before = namespace.running("web")
    send_to(b)
    body = namespace.wait("web", lambda now: condition(now, "Accepted")["reason"] == "NodeChanged", "is refused")
    assert f"must stay '{a.name}'" in condition(body, "Accepted")["message"]
    assert (life(body), b.objects(namespace.name)) == (life(before), [])
    send_to(a)
    assert life(namespace.running("web")) == life(before)


@pytest.mark.feature("K2")
def test_an_outage_of_the_api_server_that_outlasts_the_leases_loses_nobody(
    namespace: Namespace, fleet: Members, cluster: Cluster, manager: ManagerProcess
) -> None:
    for letter, one in fleet.items():
        namespace.sleeper(letter, **_on(one))
    before = namespace.wait_all(fleet, is_running)
    steps = value(manager, "tallyman_manager_node_steps_total")
    cluster.plane.kill_apiserver()
    waiting.until(
        lambda: all(time.time() - one.renewed_at() > LEASE_SECONDS + 3 for one in fleet.values()), "all have expired"
    )
    assert not manager.leads()
    cluster.plane.start_apiserver()
    since = time.time()
    namespace.sleeper("after")
    namespace.running("after")
    # From the third renewal on the manager has seen each Lease change.
    waiting.until(lambda: all(one.renewed_at() > since + LEASE_SECONDS for one in fleet.values()), "all are heard")
    assert {name: life(body) for name, body in namespace.listed().items() if name in fleet} == {
        name: life(body) for name, body in before.items()
    }
    assert value(manager, "tallyman_manager_node_steps_total") == steps
    assert {one.ready() for one in fleet.values()} == {"True AgentReady"}
    assert not [name for name in fleet if namespace.events(name, "NodeLost")]


@pytest.mark.feature("K1", "K2")
def test_many_containers_are_spread_evenly_and_no_agent_is_sent_what_is_not_its_own(
    namespace: Namespace, fleet: Members
) -> None:
    names = [f"c-{number}" for number in range(MANY)]
    for name in names:
        namespace.sleeper(name)
    bodies = namespace.wait_all(names, is_running, "all run", seconds=240)
    homes = {name: node_of(body)[0] for name, body in bodies.items()}
    assert Counter(homes.values()) == {one.name: MANY // len(fleet) for one in fleet.values()}
    for one in fleet.values():
        own = {(namespace.name, name) for name, home in homes.items() if home == one.name}
        assert one.objects(namespace.name) == sorted(name for _, name in own)
        assert {key for key in one.proxy.watched if key[0] == namespace.name} == own
        # NB: those that were bound since the last periodic list were in none yet.
        assert {key for key in one.proxy.listed if key[0] == namespace.name} <= own
