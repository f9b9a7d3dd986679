"""The lab: the real parts on which Tallyman is tried - containerd, a registry, a Kubernetes control plane, Prometheus.

`make up`, the tests and the bench share it. It fetches what it needs into a cache outside the tree and starts it as
private processes; it installs nothing on the machine and touches nothing that the machine runs. Standard library only, so
that it works before there is a virtual environment.

For fixtures, each a context manager with `start()`, `kill()`, `restart()`, `stop()` and a `daemon` with `pid` and `log`::

    from hack import lab

    with lab.containerd(version="1.7", directory=tmp_path) as node:      # node.address, node.namespace, node.ctr(...)
        ...
    with lab.registry(tmp_path / "registry") as registry:                # registry.address is host:port
        digest = lab.push(registry.address, "hello:latest", lab.hello())
    with lab.control_plane(tmp_path / "cluster") as cluster:             # cluster.kubeconfig is a path
        cluster.kill_apiserver(); cluster.start_apiserver()
    with lab.prometheus(tmp_path / "prometheus", [target]) as prometheus:  # prometheus.query("up")
        ...

Images are made with `Image`, `Index`, `layer`, `File`, `Directory`, `Symlink` and `Hardlink`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hack.lab.containerd_daemon import Containerd
from hack.lab.containerd_release import VERSIONS as CONTAINERD_VERSIONS
from hack.lab.control_plane import ControlPlane
from hack.lab.errors import LabError
from hack.lab.example_images import busybox, hello
from hack.lab.image import Blob, Image, Index
from hack.lab.image_layer import Directory, File, Hardlink, Symlink, layer
from hack.lab.image_push import push, put_blob, put_manifest
from hack.lab.kubectl import find_kubectl
from hack.lab.prometheus_daemon import Prometheus, Target, promtool
from hack.lab.registry_daemon import Registry

__all__ = [
    "CONTAINERD_VERSIONS",
    "Blob",
    "Containerd",
    "ControlPlane",
    "Directory",
    "File",
    "Hardlink",
    "Image",
    "Index",
    "LabError",
    "Prometheus",
    "Registry",
    "Symlink",
    "Target",
    "busybox",
    "containerd",
    "control_plane",
    "find_kubectl",
    "hello",
    "layer",
    "prometheus",
    "promtool",
    "push",
    "put_blob",
    "put_manifest",
    "registry",
]


def containerd(*, version: str = "1.6", directory: Path, namespace: str = "") -> Containerd:
    """Return a private containerd (1.6, 1.7 or 2), not yet started; the namespace is unique unless one is given."""
    return Containerd(directory, version, namespace)


def registry(directory: Path, *, preferred_port: int | None = None) -> Registry:
    """Return a private image registry, not yet started."""
    return Registry(directory, preferred_port)


def control_plane(directory: Path, *, extra_arguments: Sequence[str] = ()) -> ControlPlane:
    """Return a private etcd and kube-apiserver, not yet started."""
    return ControlPlane(directory, extra_arguments)


def prometheus(directory: Path, targets: Sequence[Target], *, rules: Sequence[Path] = ()) -> Prometheus:
    """Return a private Prometheus that scrapes these targets every second, not yet started."""
    return Prometheus(directory, targets, rules)
