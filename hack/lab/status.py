"""`status`: which parts of a checkout run, where they answer, and where their logs are. Changes nothing."""

from __future__ import annotations

from hack.lab.checkout import Checkout
from hack.lab.daemon import Daemon
from hack.lab.errors import last_lines

PARTS = (
    ("containerd", "containerd"),
    ("registry", "registry"),
    ("etcd", "control-plane"),
    ("kube-apiserver", "control-plane"),
    ("manager", "manager"),
    ("agent", "agent"),
)


def status(checkout: Checkout) -> bool:
    """Print a line for each part and say whether all of them run."""
    external = last_lines(checkout.external_note).strip()
    complete = True
    for name, directory in PARTS:
        if external and directory == "control-plane":
            print(f"{name:16} not ours: the cluster of {external}")
            continue
        daemon = Daemon(name, checkout.local / directory)
        process = daemon.process
        state = f"runs, pid {process.pid}" if process else "does not run"
        complete = complete and process is not None
        print(f"{name:16} {state:22} log {daemon.log}")
    return complete
