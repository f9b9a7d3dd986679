"""The agent as the chart runs it: with the chart's service account and its permissions, and with the chart's capabilities.

The API server writes down every request of the account. So a permission that is missing is seen as a refused request, and one that nothing
uses as granted and not used.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import ACCOUNTS, Audit
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.helm_test import helm_test
from tests.e2e.node import Node
from tests.e2e.objects import because, has_exited, is_running
from tests.e2e.permissions import granted, used
from tests.e2e.release import NAMESPACE, Release, confined

pytestmark = pytest.mark.feature("K1", "K3")
AGENT, NODE = "tallyman-agent", "node-a"
ALONE = {"agent": {"standalone": True}, "manager": {"enabled": False}}


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    """Every request of the accounts of the release."""
    return Audit(tmp_path_factory.mktemp("audit"), ACCOUNTS)


@pytest.fixture(scope="module")
def cluster(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane in which the chart is installed."""
    directory = tmp_path_factory.mktemp("cluster")
    with lab.control_plane(directory, extra_arguments=audit.arguments()) as plane:
        yield Cluster(plane)


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Release:
    """The chart with an agent that binds by itself."""
    made = Release(cluster)
    made.install(ALONE)
    return made


@pytest.fixture(scope="module")
def agent(release: Release, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent with the account and the capabilities of the chart, and no others."""
    directory = tmp_path_factory.mktemp("agent")
    made = AgentProcess(
        directory,
        release.kubeconfig(AGENT, directory / "kubeconfig"),
        node.containerd,
        settings={"TALLYMAN_LEASE_NAMESPACE": NAMESPACE, "TALLYMAN_LIST_SECONDS": "1"},
        wrapper=confined(release.object("DaemonSet", AGENT)),
    )
    made.start()
    yield made
    made.stop()


def test_a_whole_life_takes_the_permissions_of_the_chart_and_no_others(
    namespace: Namespace, release: Release, agent: AgentProcess, audit: Audit, images: Images
) -> None:
    often = {"name": "Always", "backoff": {"initialSeconds": 0.2, "factor": 1, "maxSeconds": 0.2}}
    namespace.apply(namespace.manifest("web", image=images.hello, terminationGracePeriodSeconds=0))
    namespace.shell("job", "exit 0", autoRemove=True)
    namespace.shell("crashing", "exit 1", restartPolicy=often)
    namespace.create("waiting", dependsOn=[{"name": "nobody"}])
    namespace.running("web")
    namespace.wait("waiting", because("DependencyMissing"))
    namespace.wait_gone("job")
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)
    namespace.change("web", desiredState="Running")
    namespace.wait("web", is_running)
    namespace.delete("web")
    namespace.wait_gone("web")
    waiting.until(lambda: release.cluster.node(NODE), "the node is registered")
    release.cluster.patch_node(NODE, {"metadata": {"labels": {"kubernetes.io/os": None}}})

    allowed = granted(release, AGENT)

    def missing() -> list[str]:
        return sorted(" ".join(one) for one in allowed - used(audit, AGENT, allowed)[0])

    waiting.until(lambda: all(one.endswith(" watch") for one in missing()), "every permission used", seen=missing)
    agent.stop()  # older API servers write a watch down when it ends
    waiting.empty(missing, "every permission used")
    assert used(audit, AGENT, allowed)[1] == []
    assert "Forbidden" not in agent.log


def test_a_missing_permission_is_seen(
    namespace: Namespace, release: Release, audit: Audit, agent: AgentProcess
) -> None:
    """The test above would notice: the same agent without the permission to write Events."""
    cluster, allowed = release.cluster, granted(release, AGENT)
    role = yaml.safe_load(cluster.kubectl("get", "clusterrole", AGENT, "-o", "yaml"))
    less = {**role, "rules": [rule for rule in role["rules"] if "events" not in rule["resources"]]}
    cluster.kubectl("replace", "-f", "-", given=yaml.safe_dump(less))
    try:
        namespace.shell("job", "exit 0")
        namespace.wait("job", has_exited)
        waiting.until(
            lambda: any(one.startswith("create events ") for one in used(audit, AGENT, allowed)[1]), "a refused request"
        )
    finally:
        role["metadata"].pop("resourceVersion")
        cluster.kubectl("replace", "-f", "-", given=yaml.safe_dump(role))


def test_helm_s_test_runs_a_container_to_its_end_with_the_permissions_that_it_has(
    namespace: Namespace, release: Release, images: Images, tmp_path: Path
) -> None:
    said = helm_test(release, {**ALONE, "tests": {"image": images.busybox}}, tmp_path)

    assert said == "tallyman-test ran on node-a, ended with 0 and is gone\n"
    assert release.cluster.kubectl("-n", NAMESPACE, "get", "containers.tallyman.dev", "-o", "name") == ""
