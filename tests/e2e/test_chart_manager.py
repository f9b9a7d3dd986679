"""The manager as the chart runs it: with the chart's service account and its permissions, and agents with theirs beside it."""

import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack import lab
from hack.lab import ports
from hack.lab.daemon import Daemon
from tests.e2e import waiting
from tests.e2e.agent_process import PROGRAM, READY_SECONDS, AgentProcess
from tests.e2e.audit import ACCOUNTS, Audit
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import because
from tests.e2e.permissions import Permission, granted, used
from tests.e2e.release import NAMESPACE, Release, arguments, confined

pytestmark = pytest.mark.feature("K2", "K3")
AGENT, MANAGER = "tallyman-agent", "tallyman-manager"
LEASE_SECONDS = "8"
UNUSED: dict[Permission, str] = {
    ("", "containernodes.tallyman.dev", "get"): "a node is read again when the watch has missed something",
    ("", "containers.tallyman.dev", "get"): "a Container is read again when it could not be written",
    ("", "events", "patch"): "the same must happen to one Container more than once",
}
"""What the chart grants and this life may do without."""


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return Audit(tmp_path_factory.mktemp("audit"), ACCOUNTS)


@pytest.fixture(scope="module")
def cluster(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("cluster")
    with lab.control_plane(directory, extra_arguments=audit.arguments()) as plane:
        yield Cluster(plane)


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Release:
    """The chart as it comes."""
    made = Release(cluster)
    made.install()
    return made


@pytest.fixture(scope="module")
def agent(release: Release, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent with the account and the capabilities of the chart."""
    directory = tmp_path_factory.mktemp("agent")
    made = AgentProcess(
        directory,
        release.kubeconfig(AGENT, directory / "kubeconfig"),
        node.containerd,
        standalone=False,
        settings={"TALLYMAN_LEASE_NAMESPACE": NAMESPACE, "TALLYMAN_LEASE_DURATION_SECONDS": LEASE_SECONDS},
        wrapper=confined(release.object("DaemonSet", AGENT)),
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def manager(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A manager with the account, the options and the capabilities of the chart: it has none."""
    directory = tmp_path_factory.mktemp("manager")
    workload = release.object("Deployment", MANAGER)
    port = ports.remembered_port(directory / "port")
    told = [*arguments(workload, POD_IP="127.0.0.1"), f"--metrics-address=127.0.0.1:{port}"]
    if any(one.startswith("--webhook-address=") for one in told):
        told.append(f"--webhook-address=127.0.0.1:{ports.remembered_port(directory / 'webhook-port')}")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "KUBECONFIG": release.kubeconfig(MANAGER, directory / "kubeconfig"),
        "POD_NAME": "manager-0",
        "TALLYMAN_LEASE_NAMESPACE": NAMESPACE,
        "TALLYMAN_NODE_LIST_SECONDS": "1",
        "TALLYMAN_WEBHOOK_CHECK_SECONDS": "1",
    }
    made = Daemon("manager", directory, [*confined(workload), PROGRAM, *told], environment)
    made.start(ready=lambda: _answers(f"http://127.0.0.1:{port}/readyz"), timeout=READY_SECONDS)
    yield made
    made.stop(grace=15)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _log(manager: Daemon) -> str:
    return Path(manager.log).read_text(errors="replace")


def test_binding_takes_the_permissions_of_the_chart_and_no_others(
    namespace: Namespace, release: Release, audit: Audit, agent: AgentProcess, manager: Daemon
) -> None:
    namespace.sleeper("web")
    namespace.sleeper("nowhere", nodeSelector={"example.com/pool": "none"})
    namespace.running("web")
    namespace.wait("nowhere", because("Unbindable"))
    namespace.change("nowhere", nodeSelector=None)
    namespace.running("nowhere")
    # The webhook's certificates are lost, and then the node.
    release.cluster.kubectl("-n", NAMESPACE, "patch", "secret", "tallyman-webhook", "--type=merge", '-p={"data": null}')
    agent.kill()
    namespace.wait("web", because("NodeLost"))

    allowed = granted(release, MANAGER)
    wanted = allowed - set(UNUSED)

    def missing() -> list[str]:
        return sorted(" ".join(one) for one in wanted - used(audit, MANAGER, allowed)[0])

    waiting.until(lambda: all(one.endswith(" watch") for one in missing()), "every permission used", seen=missing)
    manager.stop(grace=15)  # older API servers write a watch down when it ends
    waiting.empty(missing, "every permission used")
    assert used(audit, MANAGER, allowed)[1] == []
    assert set(UNUSED) <= allowed
    assert "Forbidden" not in _log(manager)
