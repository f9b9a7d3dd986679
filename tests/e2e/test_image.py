"""The image that the Dockerfile makes, and the agent in it as the chart's Pod: nothing is missing that both need.

Where no builder and no base image can be had, its steps are carried out in a root made by debootstrap.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from controller.cli.main import main
from hack import lab
from hack.lab import ports
from hack.lab.command import run
from hack.lab.debian_root import python_root
from hack.lab.dockerfile import Build, Stage
from hack.lab.wheels import wheelhouse
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.node import Node
from tests.e2e.objects import container_id, has_exited, is_running, life, status
from tests.e2e.pod import PodAgent
from tests.e2e.release import NAMESPACE, Release

pytestmark = pytest.mark.feature("K3")
PROJECT = Path(__file__).parents[2]
NOBODY = "65532"
PROGRAM_SECONDS = 60.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The image's files, and what it says of how they are run."""
    return Build(PROJECT, python_root(), wheelhouse(PROJECT), tmp_path_factory.mktemp("image")).run()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without our CRDs: the chart brings them."""
    with lab.control_plane(tmp_path_factory.mktemp("cluster")) as plane:
        yield Cluster(plane)


@pytest.fixture(scope="module")
def agent(cluster: Cluster, node: Node, image: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodAgent]:
    """The agent in its Pod."""
    directory = tmp_path_factory.mktemp("pod")
    release, containerd = Release(cluster), node.containerd
    release.install(
        {
            "manager": {"enabled": False},
            "agent": {
                "standalone": True,
                "containerd": {
                    "socket": containerd.address,
                    "root": str(containerd.root),
                    "namespace": containerd.namespace,
                },
                "initPath": str(containerd.init_path),
                "runDir": str(directory / "run"),
                "logDir": str(directory / "logs"),
                "seccompDir": str(directory / "seccomp"),
                "registry": {"configDir": str(directory / "registries")},
                "metricsPort": ports.remembered_port(directory / "port"),
                "listSeconds": 1,
                "logLevel": "debug",
                "policy": {"rules": [{"namespaces": ["*"], "allow": {"hostPaths": [{"path": "/tmp"}]}}]},
            },
        }
    )
    made = PodAgent(
        directory,
        cluster.kubeconfig,
        containerd,
        settings=_api_server(cluster),
        workload=release.object("DaemonSet", "tallyman-agent"),
        image=image,
        sources=_sources(release, directory),
        account=_account(release, directory / "account"),
    )
    made.start()
    yield made
    made.stop()


def _api_server(cluster: Cluster) -> dict[str, str]:
    """How a Pod knows where the API server is."""
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.plane.port)}


def _sources(release: Release, directory: Path) -> dict[str, Path]:
    """The volumes that are no paths of the node."""
    policy, temporary = directory / "policy", directory / "tmp"
    policy.mkdir()
    temporary.mkdir()
    data = release.object("ConfigMap", "tallyman-agent-policy")["data"]
    (policy / "policy.yaml").write_text(data["policy.yaml"])
    return {"policy": policy, "tmp": temporary}


def _account(release: Release, directory: Path) -> Path:
    """What is mounted of a service account."""
    directory.mkdir()
    token = release.cluster.kubectl("-n", NAMESPACE, "create", "token", "tallyman-agent", "--duration=2h").strip()
    (directory / "token").write_text(token)
    (directory / "namespace").write_text(NAMESPACE)
    (directory / "ca.crt").write_bytes((release.cluster.plane.certificates / "ca.crt").read_bytes())
    return directory


@pytest.mark.parametrize("words", [["--version"], *([name, "--help"] for name in main.commands)], ids=" ".join)
def test_every_program_starts_without_root(image: Stage, words: list[str]) -> None:
    plain = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all"]
    environment = [f"{name}={value}" for name, value in image.environment.items()]
    entered = ["chroot", str(image.root), "/usr/bin/env", "-i", *environment, *plain, *image.entrypoint, *words]
    assert "allyman" in run(entered, timeout=PROGRAM_SECONDS)


def test_the_image_has_no_leftovers_of_its_making(image: Stage) -> None:
    assert image.entrypoint == ["tallyman"]
    assert not list((image.root / "opt/tallyman/bin").glob("pip*"))
    assert not (image.root / "src").exists()
    assert list((image.root / "opt/tallyman").rglob("*_pb2.py"))


def test_a_whole_life_with_the_agent_in_its_pod(
    namespace: Namespace, node: Node, agent: PodAgent, images: Images, tmp_path: Path
) -> None:
    mounts = [{"mountPath": "/data", "hostPath": {"path": str(tmp_path / "made"), "type": "DirectoryOrCreate"}}]
    check = {"intervalSeconds": 0.2, "timeoutSeconds": 5, "retries": 3}
    namespace.apply(namespace.manifest("web", image=images.hello, init=True, terminationGracePeriodSeconds=0))
    namespace.sleeper("mounting", mounts=mounts)
    namespace.sleeper("named", securityContext={"user": "app"}, resources={"limits": {"memory": "64Mi"}})
    namespace.sleeper("checked", healthCheck={"exec": {"command": ["true"]}, **check})
    serving = ["httpd", "-f", "-p", "8080", "-h", "/etc"]
    namespace.create("asked", command=serving, healthCheck={"httpGet": {"port": 8080, "path": "/passwd"}, **check})
    namespace.shell("printing", "echo said; exit 3")
    namespace.sleeper("forbidden", network={"mode": "host"})

    namespace.wait_all(["web", "mounting", "named", "checked", "asked"], is_running)
    ended = namespace.wait("printing", has_exited)
    assert status(ended)["exitCode"] == 3
    assert (tmp_path / "made").is_dir()
    [log] = (agent.directory / "logs").glob(f"{namespace.name}_printing_*/0.log")
    assert log.read_text().endswith(" stdout F said\n")
    namespace.wait("forbidden", lambda body: "PolicyForbidden" in yaml.safe_dump(status(body)))


def test_containers_outlive_their_agent_and_containerd_s_restart(
    namespace: Namespace, node: Node, agent: PodAgent
) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    agent.stop()
    node.containerd.restart()
    agent.start()
    assert life(namespace.running("web")) == life(before)

    node.containerd.restart()
    namespace.sleeper("later")
    namespace.running("later")
    assert life(namespace.running("web")) == life(before)
    assert node.has(container_id(before))
