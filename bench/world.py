"""The parts that a bench runs on: containerd, registry, control plane and the agent as a process of its own."""

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack import lab
from hack.lab.daemon import Daemon
from hack.lab.kubectl import find_kubectl
from hack.lab.ports import free_port

ROOT = Path(__file__).parents[1]
NODE = "bench"
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
def world(directory: Path) -> Iterator[World]:
    """Start everything, and stop and remove it in the end."""
    with (
        lab.containerd(version="1.6", directory=directory / "node") as node,
        lab.registry(directory / "registry") as registry,
        lab.control_plane(directory / "cluster") as cluster,
    ):
        os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        image = f"{registry.address}/hello:bench"
        busybox = f"{registry.address}/busybox:bench"
        lab.push(registry.address, "hello:bench", lab.hello())
        lab.push(registry.address, "busybox:bench", lab.busybox())
        kubectl = find_kubectl(Path(sys.executable).parent)
        subprocess.run(
            [str(kubectl), "apply", "-f", str(ROOT / "crds")], check=True, timeout=60, stdout=subprocess.DEVNULL
        )
        subprocess.run(
            [str(kubectl), "create", "namespace", "tallyman-system"], check=True, timeout=60, stdout=subprocess.DEVNULL
        )
        wait = [str(kubectl), "wait", "--for=condition=Established", "--timeout=30s", "crd/containers.tallyman.dev"]
        subprocess.run(wait, check=True, timeout=60, stdout=subprocess.DEVNULL)
        metrics = f"127.0.0.1:{free_port()}"
        agent = _agent(directory / "agent", node, cluster, metrics)
        try:
            agent.start(ready=lambda: _answers(metrics), timeout=READY_SECONDS)
            yield World(node, cluster, image, busybox, directory, agent, metrics)
        finally:
            agent.stop()


def _agent(directory: Path, node: lab.Containerd, cluster: lab.ControlPlane, metrics: str) -> Daemon:
    environment = {
        **os.environ,
        "KUBECONFIG": str(cluster.kubeconfig),
        "CONTAINERD_ADDRESS": node.address,
        "CONTAINERD_NAMESPACE": node.namespace,
        "NODE_NAME": NODE,
        "TALLYMAN_STANDALONE": "1",
        "TALLYMAN_METRICS_ADDRESS": metrics,
        "TALLYMAN_INIT_PATH": str(node.init_path),
        "TALLYMAN_RUN_DIR": str(directory / "run"),
        "TALLYMAN_LOG_DIR": str(directory / "containers"),
        "TALLYMAN_REGISTRY_CONFIG_DIR": str(directory / "certs.d"),
        "TALLYMAN_LOG_LEVEL": "warning",
    }
    return Daemon("agent", directory, [Path(sys.executable).parent / "tallyman", "agent"], environment)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
