"""What the lab does to a cluster, all of it through kubectl: custom resource definitions and the example."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hack.lab.command import run
from hack.lab.errors import LabError

KIND = "containers.tallyman.dev"
LEASE_NAMESPACE = "tallyman-system"
"""Where agents keep their Leases, unless they are told otherwise."""
COMMAND_TIMEOUT = 60.0
ESTABLISHED_TIMEOUT = 60


@dataclass(frozen=True)
class Cluster:
    """A cluster that a kubeconfig names."""

    kubectl: Path
    kubeconfig: str

    def run(self, *words: str, timeout: float = COMMAND_TIMEOUT) -> str:
        """Run kubectl and return what it printed."""
        return run([self.kubectl, *words], timeout=timeout, env=os.environ | {"KUBECONFIG": self.kubeconfig})

    def install_definitions(self, directory: Path) -> str:
        """Apply the CRDs of a directory, wait till they are served, and name them."""
        if not any(directory.glob("*.yaml")):
            raise LabError(f"no CRDs in {directory}: generate them (see docs/development.md)")
        self.run("apply", "--server-side", "--force-conflicts", "-f", str(directory))
        wait = ["wait", "--for=condition=Established", f"--timeout={ESTABLISHED_TIMEOUT}s", "-f", str(directory)]
        self.run(*wait, timeout=ESTABLISHED_TIMEOUT + 10)
        return ", ".join(sorted(path.stem for path in directory.glob("*.yaml")))

    def make_lease_namespace(self) -> None:
        """Make the namespace for the agents' Leases, unless it is there."""
        if not self.run("get", "namespace", LEASE_NAMESPACE, "--ignore-not-found", "-o", "name").strip():
            self.run("create", "namespace", LEASE_NAMESPACE)

    def exists(self, name: str) -> bool:
        """Say whether a Container of that name is in the default namespace."""
        return bool(self.run("get", KIND, name, "-n", "default", "--ignore-not-found", "-o", "name").strip())

    def wait_ready(self, name: str, seconds: int) -> bool:
        """Say whether a Container became Ready in time."""
        wait = ["wait", "-n", "default", "--for=condition=Ready", f"--timeout={seconds}s", f"{KIND}/{name}"]
        try:
            self.run(*wait, timeout=seconds + 10)
        except LabError:
            return False
        return True

    def bound_to(self, node: str) -> list[str]:
        """Return the Containers, as namespace/name, that are bound to a node."""
        columns = "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}{'\\n'}{end}"
        return self.run("get", KIND, "-A", "-l", f"tallyman.dev/node={node}", "-o", columns).split()
