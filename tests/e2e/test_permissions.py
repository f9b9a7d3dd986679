"""The agent under an account of its own, with exactly the permissions that its page lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.lab.kubeconfig import with_token
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import WRITES, Audit
from tests.e2e.cluster import LEASE_NAMESPACE, Cluster, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import because, has_exited
from tests.e2e.pages import value

PAGE = Path(__file__).parents[2] / "docs" / "agent.md"
ACCOUNT = "tallyman-agent"
NODE = "node-p"


def _roles() -> list[dict[str, Any]]:
    """The ClusterRole and the Role of the page."""
    blocks = [block.partition("```")[0] for block in PAGE.read_text().split("```yaml\n")[1:]]
    (roles,) = [block for block in blocks if "kind: ClusterRole\n" in block]
    return list(yaml.safe_load_all(roles))


def _binding(role: dict[str, Any], namespace: str) -> dict[str, Any]:
    where = {key: value for key, value in role["metadata"].items() if key == "namespace"}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": f"{role['kind']}Binding",
        "metadata": {"name": ACCOUNT, **where},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": role["kind"],
            "name": role["metadata"]["name"],
        },
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }


def _kubeconfig(cluster: Cluster, namespace: str, path: Path) -> Path:
    """One like the admin's, with a token of the account instead of its certificate."""
    token = cluster.kubectl("-n", namespace, "create", "token", ACCOUNT).strip()
    return with_token(cluster.kubeconfig, token, path)


@pytest.fixture(scope="module")
def agent(cluster: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("agent")
    cluster.kubectl("-n", "default", "create", "serviceaccount", ACCOUNT)
    for role in _roles():
        for given in (role, _binding(role, "default")):
            cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump(given))
    kubeconfig = _kubeconfig(cluster, "default", directory / "kubeconfig")
    made = AgentProcess(directory, str(kubeconfig), node.containerd, NODE, settings={"TALLYMAN_LIST_SECONDS": "1"})
    made.start()
    yield made
    made.stop()
    cluster.delete_node(NODE)
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", ACCOUNT)
    cluster.kubectl("-n", LEASE_NAMESPACE, "delete", "role,rolebinding", ACCOUNT)
    cluster.kubectl("-n", "default", "delete", "serviceaccount", ACCOUNT)


def _forbidden(agent: AgentProcess) -> float:
    verbs = ("GET", "POST", "PATCH", "DELETE")
    return sum(value(agent, "tallyman_api_requests_total", verb=verb, outcome="Forbidden") for verb in verbs)


def _used(audit: Audit, namespace: Namespace) -> set[tuple[str, str]]:
    """What the agent has written, as resource and verb: in the test's namespace, of its node, of its node's Lease."""
    lease = f"tallyman-node-{NODE}"
    leases = [write for write in audit.by_agent(LEASE_NAMESPACE) if write.name in ("", lease)]
    writes = [*audit.by_agent(namespace.name), *audit.of_node(NODE), *leases]
    return {(write.resource, write.verb) for write in writes}


@pytest.mark.feature("K1", "K3")
def test_the_permissions_that_the_page_lists_are_enough_and_none_too_many(
    cluster: Cluster, namespace: Namespace, agent: AgentProcess, audit: Audit
) -> None:
    often = {"name": "Always", "backoff": {"initialSeconds": 0.2, "factor": 1, "maxSeconds": 0.2}}
    namespace.shell("job", "exit 0", autoRemove=True)
    namespace.shell("crashing", "exit 1", restartPolicy=often)
    namespace.create("waiting", dependsOn=[{"name": "nobody"}])
    namespace.shell("done", "exit 0")
    namespace.wait_gone("job")
    namespace.wait("waiting", because("DependencyMissing"))
    namespace.wait("done", has_exited)
    namespace.delete("done")
    namespace.wait_gone("done")
    waiting.until(lambda: cluster.node(NODE), "the node is registered")
    cluster.patch_node(NODE, {"metadata": {"labels": {"kubernetes.io/os": None}}})
    rules = [rule for role in _roles() for rule in role["rules"]]
    allowed = {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]}
    wanted = {(name, verb) for name, verb in allowed if verb in WRITES}
    waiting.until(lambda: wanted <= _used(audit, namespace), "all of them used", seen=lambda: _used(audit, namespace))

    assert _used(audit, namespace) == wanted
    assert _forbidden(agent) == 0
    assert "Forbidden" not in agent.log
