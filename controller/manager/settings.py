"""What a manager was told: one value for all of its parts."""

from dataclasses import dataclass, field

from controller.api.node import DEFAULT_LEASE_NAMESPACE
from controller.manager.admission_settings import AdmissionSettings
from controller.manager.leader import Timing


@dataclass(frozen=True)
class Settings:
    """The settings of one manager."""

    name: str
    """What it is called in Events and, with something unique added, in the Lease."""
    lease_namespace: str = DEFAULT_LEASE_NAMESPACE
    """Where the nodes' Leases are, and the one by which a leader is elected."""
    election: Timing = field(default_factory=Timing)
    """How long a leader leads without a word, and how long others wait for it."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9465
    binds_at_once: int = 16
    """How many bindings are written at once."""
    node_list_seconds: float = 5.0
    """How often the nodes' Leases are listed."""
    lost_deletion_seconds: float = 300.0
    """After this time a deleted Container of a lost node is let go without it."""
    list_seconds: float = 60.0
    """How often everything is compared with a list of the API server's."""
    stale_seconds: float = 180.0
    """How old the last good list may be before the manager calls itself unwell."""
    admission: AdmissionSettings | None = None
    """The admission webhook; None for none."""
