"""The node's own object and its heartbeat: what they say, what they cost, and what becomes of a node that comes back."""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import CRDS, LEASE_NAMESPACE, NODE_LABEL, Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.node import Node
from tests.e2e.objects import Body, condition, has_exited, is_running, life, status
from tests.e2e.pages import value

NAME = "node-r"
OTHER = "node-s"
QUICK = {"TALLYMAN_LIST_SECONDS": "1", "TALLYMAN_STALE_SECONDS": "6"}
GONE = {"type": "Ready", "status": "Unknown", "reason": "NodeLost", "lastTransitionTime": "2026-01-01T00:00:00Z"}


def _agent(
    directory: Path, cluster: Cluster, node: Node, name: str, *, standalone: bool = True, **settings: str
) -> AgentProcess:
    return AgentProcess(
        directory, cluster.kubeconfig, node.containerd, name, standalone=standalone, settings={**QUICK, **settings}
    )


@pytest.fixture(scope="module")
def agent(cluster: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    made = _agent(
        tmp_path_factory.mktemp("agent"),
        cluster,
        node,
        NAME,
        TALLYMAN_NODE_LABELS="disk=ssd example.com/zone=a",
        TALLYMAN_MAX_CONTAINERS="30",
        TALLYMAN_RESERVED_MEMORY="64Mi",
    )
    made.start()
    yield made
    made.stop()
    cluster.delete_node(NAME)


def _is_ready(body: Body | None) -> bool:
    return body is not None and condition(body, "Ready")["status"] == "True"


def _ready(cluster: Cluster, name: str = NAME) -> Body:
    """Wait until the node is registered, and its agent well."""
    waiting.until(lambda: _is_ready(cluster.node(name)), f"{name} is ready", seen=lambda: cluster.node(name))
    found = cluster.node(name)
    assert found is not None
    return found


def _renewed(cluster: Cluster, name: str = NAME) -> Any:
    lease = cluster.lease(name)
    return None if lease is None else lease.spec.renew_time


@pytest.mark.feature("D7", "K2")
def test_the_node_says_what_it_is(cluster: Cluster, agent: AgentProcess) -> None:
    body = _ready(cluster)
    shown = status(body)
    assert body["metadata"]["labels"] == {
        "kubernetes.io/hostname": NAME,
        "kubernetes.io/arch": shown["architecture"],
        "kubernetes.io/os": "linux",
        "disk": "ssd",
        "example.com/zone": "a",
    }
    assert body["spec"] == {}
    assert shown["agentVersion"] == version("tallyman")
    assert shown["containerdVersion"].startswith("1.6")
    assert shown["kernelVersion"] == platform.release()
    assert shown["bootID"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert shown["osImage"]
    assert [(one["name"], one["available"]) for one in shown["runtimes"]] == [("runc", True), ("crun", True)]
    assert "seccomp" in shown["features"]
    assert shown["capacity"]["containers"] == shown["allocatable"]["containers"] == 30
    assert _kibibytes(shown["capacity"]["memory"]) - _kibibytes(shown["allocatable"]["memory"]) == 64 * 1024
    assert condition(body, "Ready")["reason"] == "AgentReady"
    assert value(agent, "tallyman_node_registered") == 1


def _kibibytes(text: str) -> int:
    assert text.endswith("Ki")
    return int(text.removesuffix("Ki"))


@pytest.mark.feature("D7")
def test_it_reads_well_in_kubectl(cluster: Cluster, agent: AgentProcess) -> None:
    _ready(cluster)
    head, row = cluster.kubectl("get", "containernodes", NAME).splitlines()
    assert head.split() == ["NAME", "READY", "CORDONED", "RUNNING", "AGENT", "CONTAINERD", "AGE"]
    assert row.split()[:2] == [NAME, "True"]
    wide = cluster.kubectl("get", "ctrnode", NAME, "-o", "wide").splitlines()
    assert wide[0].split()[7:] == ["RUNTIME", "CPU", "MEMORY", "KERNEL", "HEARTBEAT", "REASON"]
    assert "runc" in wide[1]
    assert NAME in cluster.kubectl("get", "tally", "-A")
    explained = waiting.until(lambda: _explained(cluster, "containernode.spec"), "the kind is explained")
    assert "unschedulable" in explained
    assert "no further containers are bound to it" in " ".join(explained.split())
    assert "NoSchedule" in cluster.kubectl("explain", "containernode.spec.taints.effect")


def _explained(cluster: Cluster, field: str) -> str:
    """What kubectl explains; empty until the API server publishes what it has learnt."""
    try:
        return cluster.kubectl("explain", field)
    except AssertionError:
        return ""


@pytest.mark.feature("D7")
def test_containers_are_counted_by_their_state(cluster: Cluster, namespace: Namespace, agent: AgentProcess) -> None:
    for name in ("a", "b"):
        namespace.sleeper(name)
    namespace.create("short", command=["true"])
    namespace.wait_all(["a", "b"], is_running)
    namespace.wait("short", has_exited)

    def counts() -> Mapping[str, int]:
        return dict(status(cluster.node(NAME) or {})["containers"])

    waiting.until(
        lambda: (counts()["total"], counts()["running"], counts()["exited"]) == (3, 2, 1), "three counted", seen=counts
    )
    namespace.delete_all()
    waiting.until(lambda: counts()["total"] == 0, "none counted", seen=counts)


@pytest.mark.feature("K2")
def test_the_heartbeat_goes_with_the_object_and_stops_with_the_agent(cluster: Cluster, agent: AgentProcess) -> None:
    uid = _ready(cluster)["metadata"]["uid"]
    waiting.until(lambda: cluster.lease(NAME), "a lease")
    lease = cluster.lease(NAME)
    assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == (NAME, 40)
    (owner,) = lease.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid) == ("ContainerNode", NAME, uid)
    waiting.until(lambda: _renewed(cluster) > lease.spec.renew_time, "the lease is renewed")
    agent.kill()
    last = _renewed(cluster)
    agent.start()
    waiting.until(lambda: _renewed(cluster) > last, "the lease is renewed by the next agent")


@pytest.mark.feature("K2")
def test_a_blind_agent_says_so_and_lets_its_lease_expire(cluster: Cluster, node: Node, agent: AgentProcess) -> None:
    _ready(cluster)
    node.containerd.stop()
    try:
        waiting.until(
            lambda: condition(cluster.node(NAME) or {}, "Ready")["reason"] == "AgentNotReady", "the agent is blind"
        )
        assert agent.page("/readyz")[0] == 503
        assert "containerd" in condition(cluster.node(NAME) or {}, "Ready")["message"]
        last = _renewed(cluster)
        cluster.write_node_status(NAME, {"conditions": [GONE]})
        heard = value(agent, "tallyman_lease_last_renewed_seconds")
    finally:
        node.containerd.start()
    waiting.until(lambda: _renewed(cluster) > last, "the lease is renewed again")
    assert value(agent, "tallyman_lease_last_renewed_seconds") > heard
    assert condition(_ready(cluster), "Ready")["reason"] == "AgentReady"


@pytest.mark.feature("D7", "L20")
def test_at_rest_nothing_is_written_but_the_lease(cluster: Cluster, agent: AgentProcess, audit: Audit) -> None:
    _ready(cluster)
    waiting.until(lambda: _renewed(cluster), "a lease")
    settled = _renewed(cluster)
    waiting.until(lambda: _renewed(cluster) > settled, "one renewal, in which all else was written")
    before, renewed = audit.of_node(NAME), len(audit.by_agent(LEASE_NAMESPACE))
    settled = _renewed(cluster)
    waiting.until(lambda: _renewed(cluster) > settled, "another one")
    assert before
    assert audit.of_node(NAME) == before
    assert 1 <= len(audit.by_agent(LEASE_NAMESPACE)) - renewed <= 2
    assert {write.code for write in before} <= {200, 201}


@pytest.mark.feature("D7")
def test_what_the_operator_wants_stays(cluster: Cluster, agent: AgentProcess) -> None:
    _ready(cluster)
    taints = [{"key": "example.com/gpu", "effect": "NoSchedule"}]
    cluster.patch_node(
        NAME, {"spec": {"unschedulable": True, "taints": taints}, "metadata": {"labels": {"theirs": "1"}}}
    )
    cluster.patch_node(NAME, {"metadata": {"labels": {"disk": "floppy"}}})
    waiting.until(
        lambda: (cluster.node(NAME) or {})["metadata"]["labels"]["disk"] == "ssd", "the agent's own label is back"
    )
    body = _ready(cluster)
    assert body["spec"] == {"unschedulable": True, "taints": taints}
    assert body["metadata"]["labels"]["theirs"] == "1"
    cluster.patch_node(
        NAME, {"spec": {"unschedulable": None, "taints": None}, "metadata": {"labels": {"theirs": None}}}
    )


@pytest.mark.feature("K2")
def test_a_node_that_was_taken_for_lost_sets_everything_right(
    cluster: Cluster, namespace: Namespace, agent: AgentProcess
) -> None:
    """The agent's memory says that nothing has changed; what is written says otherwise."""
    namespace.sleeper("web")
    namespace.create("wrong", command=["/no/such/program"])
    before = namespace.running("web")
    ended = namespace.wait("wrong", has_exited)
    for running in (True, False):
        if not running:
            agent.kill()
        _taken_for_lost(namespace, "web")
        _taken_for_lost(namespace, "wrong")
        cluster.write_node_status(NAME, {"conditions": [GONE]})
        agent.start()
        assert life(namespace.running("web")) == life(before)
        again = namespace.wait("wrong", has_exited)
        assert life(again) == life(ended), "a start that failed is not tried again"
        assert condition(again, "Ready")["reason"] == condition(ended, "Ready")["reason"]
        assert condition(_ready(cluster), "Ready")["reason"] == "AgentReady"


def _taken_for_lost(namespace: Namespace, name: str) -> None:
    """Write what a manager writes."""
    others = [one for one in status(namespace.get(name))["conditions"] if one["type"] != "Ready"]
    namespace.write_status(name, {"state": "Unknown", "conditions": [GONE, *others]})


# --- a node that is gone, and comes back ----------------------------------------------------------------------------------


@pytest.fixture
def other_node(tmp_path: Path) -> Iterator[Node]:
    with lab.containerd(directory=tmp_path / "other-node") as containerd:
        made = Node(containerd)
        yield made
        made.close()


@pytest.fixture
def other_agent(cluster: Cluster, other_node: Node, agent: AgentProcess, tmp_path: Path) -> Iterator[AgentProcess]:
    made = _agent(tmp_path / "other-agent", cluster, other_node, OTHER, standalone=False)
    made.start()
    yield made
    made.stop()
    cluster.delete_node(OTHER)


def _moved(namespace: Namespace, name: str) -> bool:
    """Write what a manager writes when it binds the container of a node that is gone; False when somebody else wrote meanwhile."""
    blank = dict.fromkeys(status(namespace.get(name)))
    ready = {"type": "Ready", "status": "False", "reason": "Rescheduled", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    reset = namespace.write_status(name, {**blank, "state": "Pending", "conditions": [ready]})
    metadata = {"resourceVersion": reset["metadata"]["resourceVersion"], "labels": {NODE_LABEL: OTHER}}
    try:
        namespace.patch(name, {"metadata": metadata, "spec": {"nodeName": OTHER}})
    except ApiException as error:
        if error.status != 409:
            raise
        return False
    return True


def _runs_on(name: str) -> Any:
    return lambda body: is_running(body) and status(body).get("nodeName") == name


@pytest.mark.feature("K2")
def test_a_container_that_was_moved_is_removed_from_the_node_that_comes_back(
    cluster: Cluster,
    namespace: Namespace,
    node: Node,
    other_node: Node,
    agent: AgentProcess,
    other_agent: AgentProcess,
) -> None:
    namespace.sleeper("moves")
    namespace.sleeper("stays")
    before = namespace.wait_all(["moves", "stays"], is_running)
    _ready(cluster)
    agent.kill()
    cluster.delete_node(NAME)
    assert _moved(namespace, "moves")
    there = namespace.wait("moves", _runs_on(OTHER), "runs on the other node")
    assert [one.object for one in node.containers(namespace.name).values()].count("moves") == 1, "not asked yet"
    agent.start()
    waiting.until(lambda: not node.of(namespace.name, "moves"), "removed from the node that is back")
    _ready(cluster)
    assert life(namespace.wait("moves", _runs_on(OTHER))) == life(there)
    assert life(namespace.running("stays")) == life(before["stays"])
    waiting.until(lambda: namespace.events("moves", "Moved"), "told as an event")
    namespace.delete_all()
    other_node.wait_clean()


@pytest.mark.feature("K2")
def test_a_container_that_is_moved_while_its_agent_lives_runs_on_the_other_node_only(
    cluster: Cluster,
    namespace: Namespace,
    node: Node,
    other_node: Node,
    agent: AgentProcess,
    other_agent: AgentProcess,
) -> None:
    """The agent sees the reset and the new binding, in any order with its own writes, and gives the container up."""
    namespace.sleeper("moves")
    namespace.running("moves")

    waiting.until(lambda: _moved(namespace, "moves"), "moved")
    namespace.wait("moves", _runs_on(OTHER), "runs on the other node")
    waiting.until(lambda: not node.of(namespace.name, "moves"), "removed from the first")
    namespace.delete_all()
    other_node.wait_clean()


@pytest.mark.feature("K2", "D7")
def test_an_object_that_was_deleted_by_hand_is_made_again(
    cluster: Cluster, namespace: Namespace, agent: AgentProcess
) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    uid = _ready(cluster)["metadata"]["uid"]
    cluster.delete_node(NAME)
    waiting.until(lambda: _is_ready(cluster.node(NAME)), "registered again")
    again = cluster.node(NAME) or {}
    assert again["metadata"]["uid"] != uid
    waiting.until(
        lambda: cluster.lease(NAME).metadata.owner_references[0].uid == again["metadata"]["uid"],
        "the lease goes with it",
    )
    assert life(namespace.running("web")) == life(before)


# --- a cluster that keeps no nodes ----------------------------------------------------------------------------------------


@pytest.mark.feature("D7")
def test_containers_run_where_there_is_no_place_for_leases(
    cluster: Cluster, images: Images, other_node: Node, tmp_path: Path
) -> None:
    agent = _agent(tmp_path / "agent", cluster, other_node, OTHER, standalone=False, TALLYMAN_LEASE_NAMESPACE="nowhere")
    agent.start()
    try:
        _ready(cluster, OTHER)
        _runs_a_container(cluster, images, OTHER)
        waiting.until(
            lambda: 'namespaces \\"nowhere\\" not found' in agent.log or '"nowhere" not found' in agent.log, "said"
        )
        assert agent.log.count("Lease can't be renewed") == 1
        assert agent.page("/readyz")[0] == 200
    finally:
        agent.stop()
        cluster.delete_node(OTHER)


@pytest.mark.feature("D7")
def test_containers_run_without_the_kind_and_the_node_is_registered_once_it_is_there(
    cluster: Cluster, images: Images, other_node: Node, tmp_path: Path
) -> None:
    definition = str(CRDS / "tallyman.dev_containernodes.yaml")
    cluster.kubectl("delete", "-f", definition)
    agent = _agent(tmp_path / "agent", cluster, other_node, OTHER, standalone=False)
    try:
        agent.start()
        _runs_a_container(cluster, images, OTHER)
        waiting.until(lambda: "the CRD of ContainerNode is not installed" in agent.log, "said")
        assert agent.page("/readyz")[0] == 200
        cluster.kubectl("apply", "--server-side", "-f", definition)
        _ready(cluster, OTHER)
        assert agent.log.count("ContainerNode can't be kept") == 1
    finally:
        agent.stop()
        cluster.kubectl("apply", "--server-side", "-f", definition)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", definition)
        cluster.delete_node(OTHER)


def _runs_a_container(cluster: Cluster, images: Images, name: str) -> None:
    namespace = cluster.namespace(images.busybox)
    try:
        namespace.sleeper("web", metadata={"labels": {NODE_LABEL: name}}, nodeName=name)
        namespace.running("web")
        namespace.delete_all()
    finally:
        namespace.strip_finalizers()
