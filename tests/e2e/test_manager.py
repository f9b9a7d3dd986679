"""The manager binds Containers to nodes. The nodes are objects only: no agent runs here."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import simulated, waiting
from tests.e2e.audit import Audit
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.counting_proxy import CountingProxy
from tests.e2e.manager_process import ManagerProcess, only_manager
from tests.e2e.objects import condition, status
from tests.e2e.pages import value
from tests.e2e.simulated import Fleet, SimulatedNode, is_bound, node_of

IMAGE = "registry.invalid/box:1"
MANY = 300


@pytest.fixture(scope="module", autouse=True)
def _no_other_nodes(cluster: Cluster) -> None:
    """Nodes that other modules have left behind would take containers."""
    cluster.delete_nodes()


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Fleet]:
    with simulated.fleet(cluster) as made:
        yield made


@pytest.fixture(scope="module")
def manager(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    with only_manager(cluster, tmp_path_factory.mktemp("manager")) as made:
        yield made


@pytest.fixture
def namespace(cluster: Cluster, manager: ManagerProcess, nodes: Fleet) -> Iterator[Namespace]:
    made = cluster.namespace(IMAGE)
    yield made
    cluster.plane.start()
    manager.start()
    for name in made.listed():
        made.delete(name)
    made.strip_finalizers()


def _homes(namespace: Namespace) -> Counter[str | None]:
    return Counter(node_of(body)[0] for body in namespace.listed().values())


@pytest.mark.feature("K2")
def test_a_container_is_bound_in_one_write_and_told_so(namespace: Namespace, nodes: Fleet, audit: Audit) -> None:
    nodes.add(SimulatedNode("bind-a"))
    namespace.create("web")
    body = namespace.wait("web", is_bound, "is bound")
    assert node_of(body) == ("bind-a", "bind-a")
    assert "status" not in body
    assert "finalizers" not in body["metadata"]
    event = waiting.until(lambda: namespace.events("web", "Bound"), "the event")[0]
    assert (event.type, event.message, event.reporting_instance) == ("Normal", "bound to bind-a", "manager-a")
    assert [(write.verb, write.resource, write.code) for write in audit.to_containers(namespace.name)] == [
        ("patch", "containers", 200)
    ]


@pytest.mark.feature("K2")
def test_containers_are_spread(namespace: Namespace, nodes: Fleet) -> None:
    nodes.add(*(SimulatedNode(f"spread-{letter}") for letter in "abc"))
    for number in range(15):
        for app in ("web", "api"):
            labels = {"app.kubernetes.io/name": app}
            namespace.create(f"{app}-{number}", metadata={"labels": labels}, resources={"requests": {"cpu": "100m"}})
    namespace.wait_all(namespace.listed(), is_bound, "bound")
    assert set(_homes(namespace).values()) == {10}
    for app in ("web", "api"):
        homes = Counter(node_of(body)[0] for name, body in namespace.listed().items() if name.startswith(app))
        assert set(homes.values()) == {5}


@pytest.mark.feature("K2")
def test_what_fits_nowhere_says_of_each_node_why(namespace: Namespace, nodes: Fleet, cluster: Cluster) -> None:
    taint = {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}
    ssd = {"disk": "ssd"}
    nodes.add(
        SimulatedNode("why-a", labels=ssd, spec={"unschedulable": True}),
        SimulatedNode("why-b", labels=ssd, spec={"taints": [taint]}),
        SimulatedNode("why-c"),
        SimulatedNode("why-d", labels=ssd, cpu="500m"),
        SimulatedNode("why-e", labels=ssd, ready="False"),
        SimulatedNode("why-f", labels=ssd, containers=0),
        SimulatedNode("why-g", labels=ssd, runtimes=("crun",)),
    )
    namespace.create("web", nodeSelector=ssd, resources={"requests": {"cpu": 1}}, runtimeName="runc")
    said = (
        "0/7 nodes fit: why-a: cordoned; why-b: tainted (example.com/gpu=yes); why-c: labels differ (disk=ssd is asked for); "
        "why-d: too little cpu (1 asked for, 500m of 500m free); why-e: not ready (AgentNotReady); "
        "why-f: full (0 of 0 containers); why-g: runtime missing (runc)"
    )
    body = namespace.wait("web", lambda now: condition(now, "Ready")["message"] == said, "says why")
    assert (condition(body, "Ready")["status"], condition(body, "Ready")["reason"]) == ("False", "Unbindable")
    assert (status(body)["state"], status(body)["observedGeneration"]) == ("Pending", 1)
    waiting.until(
        lambda: said in [event.message for event in namespace.events("web", "Unbindable")],
        "the event",
        seen=lambda: namespace.events("web"),
    )
    cluster.patch_node("why-a", {"spec": {"unschedulable": False}})
    assert node_of(namespace.wait("web", is_bound, "is bound")) == ("why-a", "why-a")


@pytest.mark.feature("K2")
def test_what_is_tolerated_keeps_nothing_away(namespace: Namespace, nodes: Fleet) -> None:
    nodes.add(SimulatedNode("taint-a", spec={"taints": [{"key": "old", "effect": "NoSchedule"}]}))
    namespace.create("web", tolerations=[{"key": "old", "operator": "Exists"}])
    assert node_of(namespace.wait("web", is_bound)) == ("taint-a", "taint-a")


@pytest.mark.feature("K2")
def test_no_node_gets_more_than_it_has_until_something_goes(namespace: Namespace, nodes: Fleet) -> None:
    nodes.add(SimulatedNode("room-a", cpu="2"), SimulatedNode("room-b", cpu="3"))
    for number in range(7):
        namespace.create(f"c-{number}", resources={"requests": {"cpu": 1}})
    waiting.until(lambda: sum(map(is_bound, namespace.listed().values())) == 5, "five are bound")
    left = [name for name, body in namespace.listed().items() if not is_bound(body)]
    namespace.wait_all(left, lambda now: condition(now, "Ready")["reason"] == "Unbindable", "two say why not")
    assert _homes(namespace) == {"room-a": 2, "room-b": 3, None: 2}
    namespace.delete(next(name for name, body in namespace.listed().items() if node_of(body)[0] == "room-a"))
    waiting.until(lambda: _homes(namespace) == {"room-a": 2, "room-b": 3, None: 1}, "its place is taken")


@pytest.mark.feature("K2")
def test_who_names_a_node_gets_the_label_whatever_speaks_against_it(namespace: Namespace, nodes: Fleet) -> None:
    nodes.add(SimulatedNode("named-a", spec={"unschedulable": True}))
    namespace.create("web", nodeName="named-a")
    assert node_of(namespace.wait("web", is_bound)) == ("named-a", "named-a")


@pytest.mark.feature("K2")
def test_a_container_whose_node_was_taken_out_by_hand_goes_back_to_it(namespace: Namespace, nodes: Fleet) -> None:
    nodes.add(*(SimulatedNode(f"hand-{letter}") for letter in "ab"))
    namespace.create("web", nodeSelector={"kubernetes.io/hostname": "hand-b"})
    namespace.wait("web", is_bound)
    simulated.run(namespace, "web", "hand-b")
    namespace.patch(
        "web", {"metadata": {"labels": {"tallyman.dev/node": None}}, "spec": {"nodeName": None, "nodeSelector": None}}
    )
    assert node_of(namespace.wait("web", is_bound)) == ("hand-b", "hand-b")


@pytest.mark.feature("K2")
def test_while_the_api_server_is_away_nothing_is_lost(
    namespace: Namespace, nodes: Fleet, cluster: Cluster, manager: ManagerProcess
) -> None:
    node = SimulatedNode("away-a")
    nodes.add(node)
    namespace.create("before")
    namespace.wait("before", is_bound)
    simulated.run(namespace, "before", "away-a")
    cluster.plane.kill_apiserver()
    waiting.until(lambda: not manager.leads(), "who can't renew leads no more")
    cluster.plane.start_apiserver()
    namespace.create("after")
    namespace.wait("after", is_bound, seconds=60)
    waiting.until(lambda: manager.page("/healthz")[0] == 200, "the manager is well")
    assert nodes.ready(node) == "True AgentReady"
    assert simulated.because(namespace.get("before")) == "Running True Running"
    assert value(manager, "tallyman_manager_node_steps_total") == 0


@pytest.mark.feature("K2", "K4")
def test_what_the_manager_shows(namespace: Namespace, nodes: Fleet, manager: ManagerProcess) -> None:
    nodes.add(SimulatedNode("shown-a"))
    before = value(manager, "tallyman_manager_binds_total", result="success")
    namespace.create("web")
    namespace.create("too-big", resources={"requests": {"cpu": 5}})
    namespace.wait("web", is_bound)
    namespace.wait("too-big", lambda now: condition(now, "Ready")["reason"] == "Unbindable")
    assert manager.page("/readyz") == (200, "ok\n")
    assert value(manager, "tallyman_manager_binds_total", result="success") == before + 1
    assert value(manager, "tallyman_manager_unbindable_containers") == 1
    assert value(manager, "tallyman_manager_pending_containers") == 1
    # NB: the leader looks at the nodes' lives when something has changed, and at most five times a second.
    waiting.until(lambda: value(manager, "tallyman_manager_nodes", phase="Alive") == 1, "the node is counted")
    assert value(manager, "tallyman_manager_bind_duration_seconds_count") >= 1
    assert value(manager, "tallyman_api_requests_total", verb="PATCH", outcome="ok") >= 1
    names = {line.split("{")[0].split(" ")[0] for line in manager.page("/metrics")[1].splitlines() if line[:1] != "#"}
    assert not {name for name in names if name.startswith(("tallyman_runtime", "tallyman_container"))}


@pytest.mark.feature("K2", "K4")
def test_a_manager_whose_watch_hangs_is_not_ready_until_it_is_in_step(
    namespace: Namespace, cluster: Cluster, tmp_path: Path
) -> None:
    said = "containers: the watch has missed changes"
    with CountingProxy(cluster.plane, tmp_path / "proxy").running() as proxy:
        other = ManagerProcess(tmp_path, proxy.kubeconfig, name="manager-b")
        other.start()
        try:
            waiting.until(proxy.watches.is_set, "it watches")
            namespace.create("seen")
            waiting.until(lambda: (namespace.name, "seen") in proxy.watched, "its watch works")
            assert other.page("/readyz") == (200, "ok\n")
            proxy.mute.set()
            namespace.create("missed")
            waiting.until(lambda: said in other.page("/readyz")[1], "says so", seen=lambda: other.page("/readyz"))
            proxy.mute.clear()
            waiting.until(lambda: other.page("/readyz")[0] == 200, "ready again", seen=lambda: other.page("/readyz"))
        finally:
            other.stop()
