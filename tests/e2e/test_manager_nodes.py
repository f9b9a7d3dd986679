"""What becomes of Containers whose node dies. The nodes are objects only, and fall silent when a test says so."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.e2e import simulated, waiting
from tests.e2e.audit import Audit
from tests.e2e.cluster import FINALIZER, Cluster, Namespace
from tests.e2e.manager_process import ManagerProcess, only_manager
from tests.e2e.objects import Body, condition, status
from tests.e2e.pages import value
from tests.e2e.simulated import Fleet, SimulatedNode, because, is_bound, node_of

IMAGE = "registry.invalid/box:1"
FENCED = {"key": "node.kubernetes.io/out-of-service", "effect": "NoSchedule"}
LOST = "Unknown Unknown NodeLost"
MOVES: dict[str, Any] = {"reschedule": "WhenNodeGone"}
LISTS = 6
"""So many lists of the Leases are some rest: what was to happen by then has begun."""


@pytest.fixture(scope="module", autouse=True)
def _no_other_nodes(cluster: Cluster) -> None:
    cluster.delete_nodes()


@pytest.fixture(scope="module")
def manager(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    with only_manager(cluster, tmp_path_factory.mktemp("manager")) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def for_nowhere(cluster: Cluster, manager: ManagerProcess) -> Iterator[Namespace]:
    """A Container for a node that nobody has heard of. It is there from the beginning, for it takes its time."""
    made = cluster.namespace(IMAGE)
    made.create("web", nodeName="nowhere")
    yield made
    made.delete("web")
    made.strip_finalizers()


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Fleet]:
    with simulated.fleet(cluster) as made:
        yield made


@pytest.fixture
def dying(nodes: Fleet) -> SimulatedNode:
    """A node that is to die. The container to live on it asks for it by its label."""
    made = SimulatedNode("dying", labels={"disk": "ssd"})
    nodes.add(made)
    return made


@pytest.fixture
def other(nodes: Fleet, dying: SimulatedNode) -> SimulatedNode:
    """A node that stays."""
    made = SimulatedNode("other")
    nodes.add(made)
    return made


@pytest.fixture
def namespace(cluster: Cluster, manager: ManagerProcess, nodes: Fleet) -> Iterator[Namespace]:
    made = cluster.namespace(IMAGE)
    yield made
    for name in made.listed():
        made.delete(name)
    made.strip_finalizers()


def _live(namespace: Namespace, name: str, node: SimulatedNode, **spec: Any) -> Body:
    """A Container that runs on a node."""
    namespace.create(name, nodeName=node.name, **spec)
    namespace.wait(name, is_bound)
    return simulated.run(namespace, name, node.name)


def _lists(manager: ManagerProcess) -> float:
    """How often the manager has asked the API server for something, the Leases above all."""
    return value(manager, "tallyman_api_requests_total", verb="GET", outcome="ok")


def _rest(manager: ManagerProcess) -> None:
    """Wait until the manager has listed the Leases a few times."""
    before = _lists(manager)
    waiting.until(lambda: _lists(manager) >= before + LISTS, "some lists")


@pytest.mark.feature("K2")
def test_containers_of_a_lost_node_are_unknown_and_untouched_when_it_comes_back(
    namespace: Namespace,
    nodes: Fleet,
    dying: SimulatedNode,
    other: SimulatedNode,
    manager: ManagerProcess,
    audit: Audit,
) -> None:
    before = _live(namespace, "web", dying, **MOVES)
    _live(namespace, "api", other)
    nodes.lost(dying)
    body = namespace.wait("web", lambda now: because(now) == LOST, "is unknown")
    assert node_of(body) == ("dying", "dying")
    kept = {name: said for name, said in status(before).items() if name not in {"state", "conditions"}}
    assert kept.items() <= status(body).items()
    assert (condition(body, "Accepted")["status"], because(namespace.get("api"))) == ("True", "Running True Running")
    waiting.until(lambda: namespace.events("web", "NodeLost"), "the event")
    assert value(manager, "tallyman_manager_nodes", phase="Lost") == 1

    writes = audit.to_containers(namespace.name)
    nodes.back(dying)
    simulated.run(namespace, "web", "dying")
    waiting.until(lambda: value(manager, "tallyman_manager_nodes", phase="Lost") == 0, "it is heard again")
    _rest(manager)
    assert because(namespace.get("web")) == "Running True Running"
    assert nodes.ready(dying) == "True AgentReady"
    assert audit.to_containers(namespace.name) == writes


@pytest.mark.feature("K2")
@pytest.mark.parametrize("hours", [-1, 1], ids=["an hour behind", "an hour ahead"])
def test_the_clock_of_a_node_does_not_matter(
    namespace: Namespace, nodes: Fleet, dying: SimulatedNode, manager: ManagerProcess, hours: int
) -> None:
    _live(namespace, "web", dying)
    dying.clock = timedelta(hours=hours)
    for _ in range(3):
        _rest(manager)
        assert nodes.ready(dying) == "True AgentReady"
    assert because(namespace.get("web")) == "Running True Running"
    nodes.lost(dying)
    namespace.wait("web", lambda now: because(now) == LOST, "is unknown")


@pytest.mark.feature("K2")
def test_nothing_is_bound_to_a_node_that_is_lost(namespace: Namespace, nodes: Fleet, dying: SimulatedNode) -> None:
    nodes.lost(dying)
    namespace.create("web")
    body = namespace.wait("web", lambda now: condition(now, "Ready")["reason"] == "Unbindable")
    assert "dying: not ready" in condition(body, "Ready")["message"]
    nodes.back(dying)
    namespace.wait("web", is_bound)


def _deleted(cluster: Cluster, node: SimulatedNode) -> None:
    cluster.delete_node(node.name)
    # NB: what a cluster's garbage collector does; there is none here.
    cluster.delete_lease(f"tallyman-node-{node.name}")


def _fenced(cluster: Cluster, node: SimulatedNode) -> None:
    cluster.patch_node(node.name, {"spec": {"taints": [FENCED]}})


GONE = pytest.mark.parametrize("go", [_deleted, _fenced], ids=["its object is deleted", "it is fenced"])


@pytest.mark.feature("K2")
@GONE
def test_a_container_is_moved_only_when_it_wants_to_and_its_node_is_gone(
    namespace: Namespace,
    nodes: Fleet,
    dying: SimulatedNode,
    other: SimulatedNode,
    cluster: Cluster,
    manager: ManagerProcess,
    go: object,
) -> None:
    _live(namespace, "mover", dying, **MOVES)
    _live(namespace, "stayer", dying)
    nodes.lost(dying)
    namespace.wait_all(("mover", "stayer"), lambda now: because(now) == LOST, "unknown")
    _rest(manager)
    assert node_of(namespace.get("mover")) == ("dying", "dying")
    assert callable(go)
    go(cluster, dying)
    body = namespace.wait("mover", lambda now: node_of(now) == ("other", "other"), "is moved")
    assert because(body) == "Pending False Rescheduled"
    assert not {"nodeName", "containerID", "pid", "startedAt"} & status(body).keys()
    assert FINALIZER in body["metadata"]["finalizers"]
    for reason in ("NodeLost", "Rescheduled", "Bound"):
        waiting.until(lambda: namespace.events("mover", reason), f"the event {reason}")  # noqa: B023 - asked at once
    _rest(manager)
    assert (node_of(namespace.get("stayer")), because(namespace.get("stayer"))) == (("dying", "dying"), LOST)


@pytest.mark.feature("K2")
@GONE
def test_nothing_is_moved_while_the_node_is_heard_of(
    namespace: Namespace,
    dying: SimulatedNode,
    other: SimulatedNode,
    cluster: Cluster,
    manager: ManagerProcess,
    go: object,
) -> None:
    _live(namespace, "mover", dying, **MOVES)
    waiting.until(lambda: value(manager, "tallyman_manager_nodes", phase="Alive") == 2, "both are heard of")
    assert callable(go)
    go(cluster, dying)
    for _ in range(2):
        _rest(manager)
    body = namespace.get("mover")
    assert (node_of(body), because(body)) == (("dying", "dying"), "Running True Running")


@pytest.mark.feature("K2", "D6")
@pytest.mark.parametrize(
    "go", [None, _deleted, _fenced], ids=["it stays lost", "its object is deleted", "it is fenced"]
)
def test_the_deletion_of_a_container_of_a_dead_node_ends(
    namespace: Namespace, nodes: Fleet, dying: SimulatedNode, cluster: Cluster, go: object
) -> None:
    _live(namespace, "web", dying)
    namespace.delete("web")
    assert FINALIZER in namespace.get("web")["metadata"]["finalizers"]
    nodes.lost(dying)
    if callable(go):
        go(cluster, dying)
    namespace.wait_gone("web")
    event = waiting.until(lambda: namespace.events("web", "FinalizerRemoved"), "the event")[0]
    assert "dying is" in event.message


@pytest.mark.feature("K2")
def test_a_container_for_a_node_that_does_not_exist_says_so(for_nowhere: Namespace) -> None:
    # NB: without a Lease that says otherwise, the usual duration counts.
    body = for_nowhere.wait("web", lambda now: because(now) == LOST, "says so", seconds=90)
    assert "there is no ContainerNode nowhere" in condition(body, "Ready")["message"]


@pytest.mark.feature("K2")
def test_a_manager_killed_in_the_middle_goes_on_when_it_is_back(
    namespace: Namespace,
    nodes: Fleet,
    dying: SimulatedNode,
    other: SimulatedNode,
    cluster: Cluster,
    manager: ManagerProcess,
) -> None:
    names = [f"mover-{number}" for number in range(30)]
    for name in names:
        namespace.create(name, nodeName="dying", **MOVES)
    namespace.wait_all(names, is_bound)
    for name in names:
        simulated.run(namespace, name, "dying")
    dying.silent = True
    # NB: its Lease stays: the next manager knows of it how long to wait.
    cluster.delete_node(dying.name)
    waiting.until(
        lambda: any(node_of(body)[0] == "other" for body in namespace.listed().values()), "the first is moved"
    )
    manager.kill()
    assert {because(body) for body in namespace.listed().values()} > {"Pending False Rescheduled"}
    manager.start()
    bodies = namespace.wait_all(names, lambda now: node_of(now) == ("other", "other"), "all are moved", seconds=60)
    assert {because(body) for body in bodies.values()} == {"Pending False Rescheduled"}
