"""The image that the Dockerfile makes, and agent and manager in it as the chart's Pods: nothing is missing that they need.

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
from tests.e2e.pod import Pod, PodAgent, PodManager
from tests.e2e.release import NAMESPACE, Manifest, Release

pytestmark = pytest.mark.feature("K3")
PROJECT = Path(__file__).parents[2]
NOBODY = "65532"
AGENT, MANAGER = "tallyman-agent", "tallyman-manager"
EVERYBODY = 0o777
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
def release(cluster: Cluster, node: Node, tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The chart, told of this machine's containerd, and of ports and directories of the test's own."""
    directory, containerd, made = tmp_path_factory.mktemp("node"), node.containerd, Release(cluster)
    agent, manager, webhook = (ports.remembered_port(directory / name) for name in ("agent", "manager", "webhook"))
    made.install(
        {
            "manager": {"hostNetwork": True, "metricsPort": manager},
            "webhook": {"port": webhook},
            "agent": {
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
                "metricsPort": agent,
                "listSeconds": 1,
                "logLevel": "debug",
                "policy": {"rules": [{"namespaces": ["*"], "allow": {"hostPaths": [{"path": "/tmp"}]}}]},
            },
        }
    )
    return made


@pytest.fixture(scope="module")
def manager(release: Release, image: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodManager]:
    """The manager in its Pod."""
    directory, workload = tmp_path_factory.mktemp("pod"), release.object("Deployment", MANAGER)
    pod = Pod(
        workload,
        image,
        sources={"tmp": _directory(directory / "tmp", EVERYBODY)},
        account=_account(release, MANAGER, directory / "account"),
        name="manager-0",
        settings=_api_server(release.cluster),
    )
    made = PodManager(directory, release.cluster.kubeconfig, pod=pod, port=_metrics_port(workload))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def agent(
    release: Release, manager: PodManager, node: Node, image: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PodAgent]:
    """The agent in its Pod, beside a manager in its own."""
    directory, workload = tmp_path_factory.mktemp("pod"), release.object("DaemonSet", AGENT)
    policy = _directory(directory / "policy")
    (policy / "policy.yaml").write_text(release.object("ConfigMap", f"{AGENT}-policy")["data"]["policy.yaml"])
    pod = Pod(
        workload,
        image,
        sources={"policy": policy, "tmp": _directory(directory / "tmp", EVERYBODY)},
        account=_account(release, AGENT, directory / "account"),
        name="node-a",
        settings=_api_server(release.cluster),
    )
    (directory / "port").write_text(str(_metrics_port(workload)))
    made = PodAgent(directory, release.cluster.kubeconfig, node.containerd, pod=pod)
    made.start()
    yield made
    made.stop()


def _api_server(cluster: Cluster) -> dict[str, str]:
    """How a Pod knows where the API server is."""
    return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(cluster.plane.port)}


def _metrics_port(workload: Manifest) -> int:
    [container] = workload["spec"]["template"]["spec"]["containers"]
    [port] = [one["containerPort"] for one in container["ports"] if one["name"] == "metrics"]
    return int(port)


def _directory(path: Path, mode: int = 0o755) -> Path:
    """What a volume holds that does not come from the node."""
    path.mkdir()
    path.chmod(mode)
    return path


def _account(release: Release, account: str, directory: Path) -> Path:
    """What is mounted of a service account."""
    directory.mkdir()
    token = release.cluster.kubectl("-n", NAMESPACE, "create", "token", account, "--duration=2h").strip()
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


def test_a_whole_life_with_agent_and_manager_in_their_pods(
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
    [log] = Path(_option(agent, "--log-dir")).glob(f"{namespace.name}_printing_*/0.log")
    assert log.read_text().endswith(" stdout F said\n")
    namespace.wait("forbidden", lambda body: "PolicyForbidden" in yaml.safe_dump(status(body)))


def _option(agent: PodAgent, name: str) -> str:
    """What the chart tells the agent."""
    [value] = [one.partition("=")[2] for one in agent.pod.told() if one.startswith(f"{name}=")]
    return value


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
