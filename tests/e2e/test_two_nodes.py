"""Two nodes, two agents: each sees its own Containers and no others."""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import FINALIZER, NODE_LABEL, Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.node import Node
from tests.e2e.objects import has_exited, is_running, life, status

COUNT = 4
QUICK = {"TALLYMAN_LIST_SECONDS": "1", "TALLYMAN_STALE_SECONDS": "6"}


@pytest.fixture(scope="module")
def other_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with lab.containerd(directory=tmp_path_factory.mktemp("other-node")) as containerd:
        made = Node(containerd)
        yield made
        made.close()


def _run(
    cluster: Cluster, node: Node, name: str, directories: pytest.TempPathFactory, *, standalone: bool
) -> Iterator[AgentProcess]:
    made = AgentProcess(
        directories.mktemp("agent"), cluster.kubeconfig, node.containerd, name, standalone=standalone, settings=QUICK
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module", params=[False, True], ids=["bound-by-hand", "stand-alone"])
def standalone(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def watched_before(audit: Audit, cluster: Cluster, standalone: bool) -> set[str]:
    """What was watched before these agents began: the managers of other modules watch everything."""
    return audit.watched_by_agents()


@pytest.fixture(scope="module")
def agent(
    cluster: Cluster,
    node: Node,
    standalone: bool,
    watched_before: set[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AgentProcess]:
    yield from _run(cluster, node, "node-a", tmp_path_factory, standalone=standalone)


@pytest.fixture(scope="module")
def other_agent(
    cluster: Cluster, other_node: Node, standalone: bool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    yield from _run(cluster, other_node, "node-b", tmp_path_factory, standalone=standalone)


@pytest.fixture
def namespace(
    cluster: Cluster, images: Images, node: Node, other_node: Node, agent: AgentProcess, other_agent: AgentProcess
) -> Iterator[Namespace]:
    made = cluster.namespace(images.busybox)
    yield made
    try:
        for name in made.listed():
            made.delete(name)
            unbound = NODE_LABEL not in made.listed().get(name, {"metadata": {}})["metadata"].get("labels", {})
            if unbound:  # with no agent to release it
                made.wait_gone(name)
        made.wait_gone()
        node.wait_clean()
        other_node.wait_clean()
    finally:
        made.strip_finalizers()


def _bound(namespace: Namespace, name: str, node_name: str) -> None:
    """Create a Container bound to a node, as the cluster's manager would."""
    namespace.sleeper(name, metadata={"labels": {NODE_LABEL: node_name}}, nodeName=node_name)


def _query(uri: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(uri).query)


def _metric(agent: AgentProcess, line: str) -> float:
    found = [one for one in agent.page("/metrics")[1].splitlines() if one.startswith(line)]
    return float(found[0].split()[-1])


@pytest.mark.feature("K1")
def test_each_agent_runs_and_knows_its_own_containers_only(
    namespace: Namespace,
    node: Node,
    other_node: Node,
    agent: AgentProcess,
    other_agent: AgentProcess,
    audit: Audit,
    watched_before: set[str],
) -> None:
    sides = ((agent, node, "node-a"), (other_agent, other_node, "node-b"))
    names = {node_name: [f"{node_name}-{number}" for number in range(COUNT)] for _, _, node_name in sides}
    for node_name, own in names.items():
        for name in own:
            _bound(namespace, name, node_name)
    bodies = namespace.wait_all([name for own in names.values() for name in own], is_running)
    for one, where, node_name in sides:
        assert sorted(found.object for found in where.containers().values()) == names[node_name]
        assert {status(bodies[name])["nodeName"] for name in names[node_name]} == {node_name}
        others = [name for foreign, own in names.items() if foreign != node_name for name in own]
        assert not [name for name in others if name in one.log]
        assert _metric(one, 'tallyman_containers{state="Running"}') == COUNT
    watched = audit.watched_by_agents() - watched_before
    assert watched
    selectors = {query.get("labelSelector", ["none"])[0] for query in map(_query, watched)}
    assert selectors <= {f"{NODE_LABEL}=node-a", f"{NODE_LABEL}=node-b", f"!{NODE_LABEL}"}


@pytest.mark.feature("K1")
def test_who_binds_a_container_that_nobody_has_bound(
    namespace: Namespace, node: Node, other_node: Node, standalone: bool
) -> None:
    free = [f"free-{number}" for number in range(COUNT)]
    for name in free:
        namespace.sleeper(name)
    namespace.sleeper("for-a", nodeName="node-a")
    namespace.sleeper("for-b", nodeName="node-b")
    namespace.sleeper("for-nobody", nodeName="node-z")
    _bound(namespace, "last", "node-b")
    namespace.running("last")
    if not standalone:
        for name in [*free, "for-a", "for-b", "for-nobody"]:
            body = namespace.get(name)
            assert "status" not in body
            assert not {"labels", "finalizers"} & body["metadata"].keys()
        for name in free:
            namespace.patch(name, {"metadata": {"labels": {NODE_LABEL: "node-a"}}})
        bodies = namespace.wait_all(free, is_running)
        assert all(FINALIZER in body["metadata"]["finalizers"] for body in bodies.values())
        assert sorted(found.object for found in node.containers().values()) == free
        return
    bodies = namespace.wait_all([*free, "for-a", "for-b"], is_running)
    found = {one.object: "node-a" for one in node.containers().values()}
    assert found.items().isdisjoint({one.object: "node-a" for one in other_node.containers().values()}.items())
    found |= {one.object: "node-b" for one in other_node.containers().values()}
    for name, body in bodies.items():
        assert body["metadata"]["labels"][NODE_LABEL] == body["spec"]["nodeName"] == found[name]
    assert (found["for-a"], found["for-b"]) == ("node-a", "node-b")
    assert not {"labels", "finalizers", "status"} & {
        *namespace.get("for-nobody"),
        *namespace.get("for-nobody")["metadata"],
    }


@pytest.mark.feature("K1", "D6")
def test_a_container_without_its_label_goes_on_and_can_be_deleted(
    namespace: Namespace, agent: AgentProcess, standalone: bool
) -> None:
    _bound(namespace, "web", "node-a")
    before = namespace.running("web")
    namespace.patch("web", {"metadata": {"labels": {NODE_LABEL: None}}})
    _compared_for_a_while(agent)
    assert agent.page("/healthz")[0] == 200
    assert "missed changes" not in agent.log
    body = namespace.get("web")
    assert status(body)["pid"] == status(before)["pid"]
    assert (NODE_LABEL in body["metadata"].get("labels", {})) == standalone
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)
    namespace.delete("web")
    namespace.wait_gone("web")


@pytest.mark.feature("K1", "D6")
def test_a_container_that_was_labelled_for_another_node_stays_where_it_is(
    namespace: Namespace, other_node: Node, agent: AgentProcess, other_agent: AgentProcess
) -> None:
    _bound(namespace, "web", "node-a")
    before = namespace.running("web")
    namespace.patch("web", {"metadata": {"labels": {NODE_LABEL: "node-b"}}})
    for one in (agent, other_agent):
        _compared_for_a_while(one)
        assert "missed changes" not in one.log
        assert one.page("/healthz")[0] == 200
    assert life(namespace.running("web")) == life(before)
    assert other_node.containers() == {}
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)
    namespace.delete("web")
    namespace.wait_gone("web")


def _compared_for_a_while(agent: AgentProcess) -> None:
    """Wait for some periodic lists in which nothing was out of step."""
    since = _metric(agent, 'tallyman_list_last_seen_seconds{source="watch"}')
    waiting.until(
        lambda: _metric(agent, 'tallyman_list_last_seen_seconds{source="watch"}') > since + 4, "lists that agree"
    )
