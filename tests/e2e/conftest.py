"""The parts that the end-to-end tests share: one control plane, one registry and one containerd for all, an agent for each
module, and a namespace for each test, after which nothing may be left on the node."""

import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hack import lab
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.manager_process import ManagerProcess
from tests.e2e.node import Node

LOG_LINES = 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show what agents and managers logged during a test that failed."""
    report = yield
    if report.failed and report.when in {"call", "teardown"}:
        values = getattr(item, "funcargs", {}).values()
        namespaces = [value.name for value in values if isinstance(value, Namespace)]
        for value in values:
            for process in value if isinstance(value, list | tuple) else [value]:
                _show(report, process, namespaces)
    return report


def _show(report: Any, process: object, namespaces: list[str]) -> None:
    """Add what one process has logged to the report."""
    if isinstance(process, AgentProcess):
        title = f"log of agent {process.node_name}"
    elif isinstance(process, ManagerProcess):
        title = f"log of manager {process.name}"
    else:
        return
    lines = _about(process.log.splitlines(), namespaces)[-LOG_LINES:]
    report.sections.append((title, "\n".join(lines)))


def _about(lines: list[str], namespaces: list[str]) -> list[str]:
    """The lines from the first one on that names one of the test's namespaces, less those about other objects."""
    first = next((n for n, line in enumerate(lines) if any(name in line for name in namespaces)), 0)
    return [line for line in lines[first:] if "namespace=" not in line or any(name in line for name in namespaces)]


@dataclass(frozen=True)
class Images:
    """The images in the registry."""

    registry: lab.Registry

    @property
    def busybox(self) -> str:
        return f"{self.registry.address}/busybox:1"

    @property
    def hello(self) -> str:
        return f"{self.registry.address}/hello:1"


@pytest.fixture(scope="session", autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("end-to-end tests need root: containerd, mounts and cgroups")


@pytest.fixture(scope="session")
def parts_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(scope="session")
def audit(parts_directory: Path) -> Audit:
    """What the API server writes down of every request that changes something."""
    return Audit(parts_directory / "audit")


@pytest.fixture(scope="session")
def cluster(parts_directory: Path, audit: Audit) -> Iterator[Cluster]:
    """A real kube-apiserver with our CRDs."""
    with lab.control_plane(parts_directory / "cluster", extra_arguments=audit.arguments()) as plane:
        made = Cluster(plane)
        made.install_definitions()
        made.make_lease_namespace()
        yield made


@pytest.fixture(scope="session")
def images(parts_directory: Path) -> Iterator[Images]:
    """A real registry with the example images."""
    with lab.registry(parts_directory / "registry") as registry:
        lab.push(registry.address, "busybox:1", lab.busybox())
        lab.push(registry.address, "hello:1", lab.hello())
        yield Images(registry)


@pytest.fixture(scope="session")
def node(parts_directory: Path) -> Iterator[Node]:
    """A real containerd."""
    with lab.containerd(directory=parts_directory / "node") as containerd:
        made = Node(containerd)
        yield made
        made.close()


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """What the module's agent is told besides; a module may say otherwise."""
    return {}


@pytest.fixture(scope="module")
def agent(
    cluster: Cluster, node: Node, settings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AgentProcess]:
    """The module's agent, stand-alone."""
    made = AgentProcess(tmp_path_factory.mktemp("agent"), cluster.kubeconfig, node.containerd, settings=settings)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def namespace(cluster: Cluster, images: Images, node: Node, agent: AgentProcess) -> Iterator[Namespace]:
    """A namespace of the test's own. When the test is over, everything is deleted, and nothing may be left on the node."""
    made = cluster.namespace(images.busybox)
    yield made
    node.containerd.start()
    cluster.plane.start()
    agent.start()
    try:
        made.delete_all()
        node.wait_clean()
    finally:
        made.strip_finalizers()


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory of the node that containers of the test can write into."""
    made = tmp_path / "shared"
    made.mkdir()
    made.chmod(0o777)
    return made
