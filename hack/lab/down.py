"""`down`: ends and removes everything that `up` made for a checkout, and nothing else. Twice is fine.

A control plane of our own goes as a whole. From a cluster that is not ours only the example that `up` created is deleted,
while the agent still runs to let it go; what else remains there is said.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress

from hack.lab import leftovers, own_process
from hack.lab.checkout import Checkout
from hack.lab.cluster import KIND, LEASE_NAMESPACE, Cluster
from hack.lab.containerd_daemon import PARENT_CGROUP, Containerd
from hack.lab.errors import LabError, last_lines
from hack.lab.kubectl import find_kubectl
from hack.lab.progress import Progress

DELETE_TIMEOUT = 30
OURS = ("containers", "agent", "manager", "bin", "containerd", "control-plane", "registries", "registry")


def down(checkout: Checkout, progress: Progress) -> None:
    """Stop and remove manager and agent, containerd with all its containers, the registry and the control plane."""
    remains = _leave_external_cluster(checkout, progress)
    with progress.step("stop manager and agent"):
        own_process.stop(checkout, "manager")
        own_process.stop(checkout, "agent")
    with progress.step("stop containerd and its containers"):
        os.environ.pop("TALLYMAN_LAB_CONTAINERD", None)
        _stop_containerd(checkout.containerd())
    with progress.step("stop the image registry"):
        checkout.registry().stop()
    with progress.step("stop the control plane"):
        checkout.control_plane().stop()
    with progress.step("remove what is left"):
        leftovers.unmount_below([checkout.run_dir, *(checkout.local / name for name in OURS)])
        _remove_files(checkout)
    print(remains or "\nNothing of it is left.")


def _stop_containerd(containerd: Containerd) -> None:
    containerd.stop()
    leftovers.remove_empty_cgroup(PARENT_CGROUP)


def _remove_files(checkout: Checkout) -> None:
    shutil.rmtree(checkout.run_dir, ignore_errors=True)
    for name in OURS:
        shutil.rmtree(checkout.local / name, ignore_errors=True)
    for path in (checkout.env_file, checkout.local / "run", checkout.external_note, checkout.example_note):
        path.unlink(missing_ok=True)
    with suppress(OSError):
        checkout.local.rmdir()


def _leave_external_cluster(checkout: Checkout, progress: Progress) -> str:
    """Delete our example from a cluster that is not ours and return what the user should know about the rest."""
    kubeconfig = last_lines(checkout.external_note).strip()
    if not kubeconfig:
        return ""
    try:
        cluster = Cluster(find_kubectl(checkout.environment_bin), kubeconfig)
        with progress.step("delete the example from your cluster") as step:
            if checkout.example_note.exists():
                words = ["delete", KIND, "hello", "-n", "default", "--ignore-not-found"]
                timeout = f"--timeout={DELETE_TIMEOUT}s"
                step.note(cluster.run(*words, timeout, timeout=DELETE_TIMEOUT + 10).strip())
        rest = cluster.run("get", KIND, "-A")
    except LabError as error:
        return f"\nYour cluster ({kubeconfig}) could not be looked at; its CRDs and Containers remain.\n{error}"
    return (
        f"\nIn your cluster ({kubeconfig}) remain the CRDs of tallyman.dev and these Containers:\n{rest or 'none'}\n"
        "To remove both: kubectl delete -f crds/ (a Container that was bound to this node first needs its agent, or"
        f" its finalizer taken off). The namespace {LEASE_NAMESPACE} remains too."
    )
