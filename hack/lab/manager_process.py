"""The manager of a checkout: what it is told. It has no webhook: a cluster of the user's own may not reach this machine."""

from __future__ import annotations

from dataclasses import dataclass

from hack.lab.own_process import OwnProcess, of_user


@dataclass
class Manager(OwnProcess):
    """The manager that binds Containers to nodes."""

    command = "manager"
    metrics_port = 9465
    name: str
    """What it is called in Events."""

    @property
    def settings(self) -> dict[str, str]:
        """Its settings, as environment variables."""
        # NB: last, for the user's is the agent's: both read that variable, and can't have one port.
        own = {"KUBECONFIG": self.kubeconfig, "POD_NAME": self.name}
        return own | of_user() | {"TALLYMAN_METRICS_ADDRESS": self.metrics_address}
