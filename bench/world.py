"""The parts that a bench runs on: containerd, registry, control plane and the agent as a process of its own."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack import lab
from hack.lab.answers import answers
from hack.lab.cluster import Cluster
from hack.lab.daemon import Daemon
from hack.lab.kubeconfig import with_token
from hack.lab.kubectl import find_kubectl
from hack.lab.ports import free_port

ROOT = Path(__file__).parents[1]
NODE = "bench"
ACCOUNT = "bench"
READY_SECONDS = 60.0


@dataclass(frozen=True)
class World:
    """Where everything is."""

    node: lab.Containerd
    cluster: lab.ControlPlane
    image: str
    busybox: str
    directory: Path
    agent: Daemon
    metrics: str


@contextmanager
def control_plane(directory: Path) -> Iterator[lab.ControlPlane]:
    """A control plane of its own that knows our kinds, and which this process's clients take for theirs."""
    with lab.control_plane(directory / "cluster") as plane:
        cluster = Cluster(find_kubectl(Path(sys.executable).parent), str(plane.kubeconfig))
        cluster.install_definitions(ROOT / "crds")
        cluster.make_lease_namespace()
        os.environ["KUBECONFIG"] = str(_with_token(cluster, directory / "kubeconfig"))
        yield plane


def _with_token(cluster: Cluster, path: Path) -> Path:
    """A kubeconfig with a service account's token: what a Pod has. A client certificate, verified with each request, costs the API server more."""
    cluster.run("-n", "default", "create", "serviceaccount", ACCOUNT)
    everything = ["--clusterrole=cluster-admin", f"--serviceaccount=default:{ACCOUNT}"]
    cluster.run("create", "clusterrolebinding", ACCOUNT, *everything)
    token = cluster.run("-n", "default", "create", "token", ACCOUNT, "--duration=6h").strip()
    return with_token(cluster.kubeconfig, token, path)


@contextmanager
def world(directory: Path, plane: lab.ControlPlane, *, standalone: bool = True) -> Iterator[World]:
    """Start an agent with all that it needs, and stop and remove it in the end. One that does not stand alone binds nothing."""
    with (
        lab.containerd(version="1.6", directory=directory / "node") as node,
        lab.registry(directory / "registry") as registry,
    ):
        image = f"{registry.address}/hello:bench"
        busybox = f"{registry.address}/busybox:bench"
        lab.push(registry.address, "hello:bench", lab.hello())
        lab.push(registry.address, "busybox:bench", lab.busybox())
        metrics = f"127.0.0.1:{free_port()}"
        agent = _agent(directory / "agent", node, metrics, standalone=standalone)
        try:
            agent.start(ready=lambda: answers(f"http://{metrics}/readyz"), timeout=READY_SECONDS)
            yield World(node, plane, image, busybox, directory, agent, metrics)
        finally:
            agent.stop()


def _agent(directory: Path, node: lab.Containerd, metrics: str, *, standalone: bool) -> Daemon:
    environment = {
        **os.environ,
        "CONTAINERD_ADDRESS": node.address,
        "CONTAINERD_NAMESPACE": node.namespace,
        "NODE_NAME": NODE,
        "TALLYMAN_STANDALONE": "1" if standalone else "0",
        "TALLYMAN_METRICS_ADDRESS": metrics,
        "TALLYMAN_INIT_PATH": str(node.init_path),
        "TALLYMAN_RUN_DIR": str(directory / "run"),
        "TALLYMAN_LOG_DIR": str(directory / "containers"),
        "TALLYMAN_REGISTRY_CONFIG_DIR": str(directory / "certs.d"),
        "TALLYMAN_LOG_LEVEL": "warning",
    }
    return Daemon("agent", directory, [Path(sys.executable).parent / "tallyman", "agent"], environment)
