"""The agent of a checkout: what it is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.lab.checkout import NAMESPACE
from hack.lab.containerd_daemon import Containerd
from hack.lab.own_process import OwnProcess, of_user


@dataclass
class Agent(OwnProcess):
    """The agent that serves one containerd for one cluster."""

    command = "agent"
    metrics_port = 9464
    containerd: Containerd
    node_name: str

    @property
    def settings(self) -> dict[str, str]:
        """Its settings, as environment variables."""
        own = {
            "KUBECONFIG": self.kubeconfig,
            "CONTAINERD_ADDRESS": self.containerd.address,
            "CONTAINERD_NAMESPACE": NAMESPACE,
            "NODE_NAME": self.node_name,
            "TALLYMAN_METRICS_ADDRESS": self.metrics_address,
            "TALLYMAN_REGISTRY_CONFIG_DIR": str(self.checkout.registry_config),
            "TALLYMAN_POLICY_FILE": str(self.checkout.top / "hack/lab/policy.yaml"),
            "TALLYMAN_INIT_PATH": str(self.containerd.init_path),
            "TALLYMAN_RUN_DIR": str(self.checkout.run_dir / "agent"),
            "TALLYMAN_LOG_DIR": str(self.checkout.local / "containers"),
        }
        return own | of_user()

    def start(self) -> str:
        """Start it, or start it again where it must be, and say in a few words what was done."""
        Path(self.settings["TALLYMAN_RUN_DIR"]).mkdir(parents=True, exist_ok=True)
        return super().start()
