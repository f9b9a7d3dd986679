"""The manager as the chart runs it: its service account and permissions, its options, its webhook by the chart's Service, beside agents with theirs.

No kubelet gives it an address and no controller fills in the Service's endpoints, so the tests do both, and the API server asks the
endpoints itself.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import yaml

from hack import lab
from hack.lab import ports
from hack.lab.daemon import Daemon
from tests.e2e import waiting
from tests.e2e.agent_process import PROGRAM, AgentProcess
from tests.e2e.audit import ACCOUNTS, Audit
from tests.e2e.cluster import NODE_LABEL, Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.door import BAD, BAD_SAYS, apply, refusal
from tests.e2e.helm_test import helm_test
from tests.e2e.manager_process import ManagerProcess
from tests.e2e.node import Node
from tests.e2e.objects import because, is_refused
from tests.e2e.permissions import granted, used
from tests.e2e.release import NAMESPACE, Manifest, Release, arguments, confined

pytestmark = pytest.mark.feature("K2", "K3")
AGENT, MANAGER, WEBHOOK = "tallyman-agent", "tallyman-manager", "tallyman-webhook"
LEASE_SECONDS = "8"
ELSEWHERE = ("192.0.2.1", 9)


@dataclass(kw_only=True)
class ReleasedManager(ManagerProcess):
    """A manager with the options and the capabilities of the chart: it has none of the latter."""

    workload: Manifest
    pod_address: str

    @property
    def container_ports(self) -> dict[str, int]:
        """The ports of its container, by their names."""
        [container] = self.workload["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one["containerPort"] for one in container["ports"]}

    @cached_property
    def address(self) -> str:
        return f"{self.pod_address}:{self.container_ports['metrics']}"

    @cached_property
    def daemon(self) -> Daemon:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "KUBECONFIG": self.kubeconfig,
            "POD_NAME": self.name,
            "TALLYMAN_LEASE_NAMESPACE": NAMESPACE,
            **self.settings,
        }
        told = arguments(self.workload, POD_IP=self.pod_address)
        return Daemon("manager", self.directory, [*confined(self.workload), PROGRAM, *told], environment)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return Audit(tmp_path_factory.mktemp("audit"), ACCOUNTS)


@pytest.fixture(scope="module")
def cluster(audit: Audit, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane that calls webhooks at the endpoints of their Services, for there is nothing that leads there from a cluster IP."""
    directory = tmp_path_factory.mktemp("cluster")
    given = [*audit.arguments(), "--enable-aggregator-routing=true"]
    with lab.control_plane(directory, extra_arguments=given) as plane:
        yield Cluster(plane)


@pytest.fixture(scope="module")
def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The chart as it comes, but for its ports: others may be tested on this machine."""
    directory, made = tmp_path_factory.mktemp("ports"), Release(cluster)
    metrics, webhook = (ports.remembered_port(directory / name) for name in ("metrics", "webhook"))
    made.install({"manager": {"metricsPort": metrics}, "webhook": {"port": webhook}})
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
def manager(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleasedManager]:
    """A manager with the account of the chart."""
    directory = tmp_path_factory.mktemp("manager")
    made = ReleasedManager(
        directory,
        release.kubeconfig(MANAGER, directory / "kubeconfig"),
        settings={"TALLYMAN_NODE_LIST_SECONDS": "1", "TALLYMAN_WEBHOOK_CHECK_SECONDS": "1"},
        workload=release.object("Deployment", MANAGER),
        pod_address=_own_address(),
    )
    made.start()
    yield made
    made.stop()


def _own_address() -> str:
    """This machine's address by which it would speak to others; an endpoint can't be at a loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.connect(ELSEWHERE)  # sends nothing
        return str(somebody.getsockname()[0])


@pytest.fixture
def reachable(release: Release, manager: ReleasedManager) -> Iterator[None]:
    """The Service leads to the manager, as the cluster's controllers would have it."""
    [port] = release.object("Service", WEBHOOK)["spec"]["ports"]
    listening = {"name": port["name"], "port": manager.container_ports[port["targetPort"]], "protocol": "TCP"}
    subset = {"addresses": [{"ip": manager.pod_address}], "ports": [listening]}
    core = release.cluster.core
    core.create_namespaced_endpoints(NAMESPACE, {"metadata": {"name": WEBHOOK}, "subsets": [subset]})
    yield
    core.delete_namespaced_endpoints(WEBHOOK, NAMESPACE)


@pytest.mark.feature("D3")
@pytest.mark.usefixtures("reachable")
def test_a_bad_container_is_refused_at_the_door_that_the_chart_makes_and_goes_in_while_nobody_is_there(
    namespace: Namespace, manager: ReleasedManager
) -> None:
    waiting.until(lambda: BAD_SAYS in refusal(namespace), "a bad Container is refused")
    code, _, said = apply(namespace, yaml.safe_dump(namespace.manifest("bad", **BAD)))
    assert (code, said) == (1, f'The Container "bad" is invalid: {BAD_SAYS}\n')
    namespace.sleeper("good")
    namespace.running("good")

    manager.stop()
    assert apply(namespace, yaml.safe_dump(namespace.manifest("bad", **BAD, nodeName="node-a")))[0] == 0
    namespace.patch("bad", {"metadata": {"labels": {NODE_LABEL: "node-a"}}})
    namespace.wait("bad", is_refused, "is refused by its agent")
    manager.start()


def test_helm_s_test_passes_with_the_chart_as_it_comes(
    namespace: Namespace, release: Release, manager: ReleasedManager, images: Images, tmp_path: Path
) -> None:
    said = helm_test(release, {"tests": {"image": images.busybox}}, tmp_path)
    assert said == "tallyman-test ran on node-a, ended with 0 and is gone\n"


def test_binding_takes_the_permissions_of_the_chart_and_no_others(
    namespace: Namespace, release: Release, audit: Audit, agent: AgentProcess, manager: ReleasedManager
) -> None:
    namespace.sleeper("web")
    namespace.sleeper("nowhere", nodeSelector={"example.com/pool": "none"})
    namespace.running("web")
    namespace.wait("nowhere", because("Unbindable"))
    namespace.write_status("nowhere", {"conditions": []})  # so it is told again, and the Event counts that
    namespace.wait("nowhere", because("Unbindable"))
    namespace.change("nowhere", nodeSelector=None)
    namespace.running("nowhere")
    # The webhook's certificates are lost, and then the node.
    release.cluster.kubectl("-n", NAMESPACE, "patch", "secret", WEBHOOK, "--type=merge", '-p={"data": null}')
    agent.kill()
    namespace.wait("web", because("NodeLost"))

    allowed = granted(release, MANAGER)

    def missing() -> list[str]:
        return sorted(" ".join(one) for one in allowed - used(audit, MANAGER, allowed)[0])

    waiting.until(lambda: all(one.endswith(" watch") for one in missing()), "every permission used", seen=missing)
    manager.stop()  # older API servers write a watch down when it ends
    waiting.empty(missing, "every permission used")
    assert used(audit, MANAGER, allowed)[1] == []
    assert "Forbidden" not in manager.log
