"""The agent under an account of its own, with exactly the permissions that its page lists."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import WRITES, Audit
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import because, has_exited
from tests.e2e.pages import value

PAGE = Path(__file__).parents[2] / "docs" / "agent.md"
ACCOUNT = "tallyman-agent"
SEEN_IN_A_NAMESPACE = {"containers", "containers/status", "events"}
"""Resources whose writes the test sees: those in its namespace."""


def _role() -> dict[str, Any]:
    """The ClusterRole of the page."""
    blocks = [block.partition("```")[0] for block in PAGE.read_text().split("```yaml\n")[1:]]
    (role,) = [block for block in blocks if "kind: ClusterRole\n" in block]
    parsed: dict[str, Any] = yaml.safe_load(role)
    return parsed


def _binding(namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": ACCOUNT},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": _role()["metadata"]["name"],
        },
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}],
    }


def _kubeconfig(cluster: Cluster, namespace: str, path: Path) -> Path:
    """One like the admin's, with a token of the account instead of its certificate."""
    content = yaml.safe_load(Path(cluster.kubeconfig).read_text())
    token = cluster.kubectl("-n", namespace, "create", "token", ACCOUNT).strip()
    content["users"] = [{"name": "admin", "user": {"token": token}}]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def agent(cluster: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    directory = tmp_path_factory.mktemp("agent")
    cluster.kubectl("-n", "default", "create", "serviceaccount", ACCOUNT)
    for given in (_role(), _binding("default")):
        cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump(given))
    made = AgentProcess(directory, str(_kubeconfig(cluster, "default", directory / "kubeconfig")), node.containerd)
    made.start()
    yield made
    made.stop()
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", ACCOUNT)
    cluster.kubectl("-n", "default", "delete", "serviceaccount", ACCOUNT)


def _forbidden(agent: AgentProcess) -> float:
    verbs = ("GET", "POST", "PATCH", "DELETE")
    return sum(value(agent, "tallyman_api_requests_total", verb=verb, outcome="Forbidden") for verb in verbs)


def _used(audit: Audit, namespace: Namespace) -> set[tuple[str, str]]:
    return {(write.resource, write.verb) for write in audit.by_agent(namespace.name)}


@pytest.mark.feature("K1", "K3")
def test_the_permissions_that_the_page_lists_are_enough_and_none_too_many(
    namespace: Namespace, agent: AgentProcess, audit: Audit
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
    allowed = {(name, verb) for rule in _role()["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    wanted = {(name, verb) for name, verb in allowed if name in SEEN_IN_A_NAMESPACE and verb in WRITES}
    waiting.until(lambda: wanted <= _used(audit, namespace), "all of them used", seen=lambda: _used(audit, namespace))

    assert _used(audit, namespace) == wanted
    assert _forbidden(agent) == 0
    assert "Forbidden" not in agent.log
