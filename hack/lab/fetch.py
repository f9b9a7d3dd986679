"""`fetch`: everything that the lab ever starts, made ready in the cache, so that no test waits for a download or a build."""

from __future__ import annotations

from pathlib import Path

from hack.lab import apiserver_build, containerd_release, guest
from hack.lab import control_plane_programs as programs
from hack.lab.debian_root import python_root
from hack.lab.example_images import busybox
from hack.lab.progress import Progress
from hack.lab.prometheus_daemon import promtool
from hack.lab.registry_daemon import registry_program
from hack.lab.wheels import wheelhouse

PROJECT = Path(__file__).parents[2]


def fetch(progress: Progress) -> None:
    """Fetch or build what is not in the cache yet. Raises `LabError` for what can't be had."""
    with progress.step("fetch containerd, runc, crun, CNI plugins") as step:
        for version in containerd_release.VERSIONS:
            containerd_release.release(version).fetch()
        containerd_release.runtime_programs()
        containerd_release.network_plugins()
        step.note(", ".join(containerd_release.VERSIONS))
    with progress.step("fetch the registry and the example images"):
        registry_program()
        busybox()
    with progress.step("fetch Prometheus"):
        promtool()
    with progress.step("make a small Debian for the image, and fetch what it is made of"):
        python_root()
        wheelhouse(PROJECT)
    if guest.is_possible():
        with progress.step("fetch a guest kernel, for cgroup v2"):
            guest.fetch()
    fetch_control_plane(progress)


def fetch_control_plane(progress: Progress) -> None:
    """The control plane's programs: found, downloaded, or built. Raises `LabError`."""
    with progress.step("find or make etcd and kube-apiserver") as step:
        if programs.needs_build():
            step.note("a download, or minutes of building")
            step.follow(apiserver_build.log_path())
        programs.etcd()
        step.note(str(programs.kube_apiserver()))
