"""The manager as a process of its own: `tallyman manager`, with everything that it is told in its environment."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hack.lab import ports
from hack.lab.daemon import Daemon
from tests.e2e import waiting
from tests.e2e.agent_process import PROGRAM, READY_SECONDS, page
from tests.e2e.cluster import Cluster

LEASE = "tallyman-manager"
"""The Lease by which managers elect their leader."""
QUICK = {
    "TALLYMAN_NODE_LIST_SECONDS": "0.5",
    "TALLYMAN_LIST_SECONDS": "2",
    "TALLYMAN_STALE_SECONDS": "15",
    "TALLYMAN_LOST_DELETION_SECONDS": "3",
    "TALLYMAN_LEADER_LEASE_SECONDS": "5",
    "TALLYMAN_LEADER_RENEW_SECONDS": "3",
    "TALLYMAN_LEADER_RETRY_SECONDS": "0.3",
}


@dataclass
class ManagerProcess:
    """One manager; `start`, `kill` and `stop` may be repeated, and keep its settings and its log."""

    directory: Path
    kubeconfig: str
    name: str = "manager-a"
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""

    @cached_property
    def address(self) -> str:
        """Where its pages are."""
        return f"127.0.0.1:{ports.remembered_port(self.directory / 'port')}"

    @cached_property
    def daemon(self) -> Daemon:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "KUBECONFIG": self.kubeconfig,
            "POD_NAME": self.name,
            "TALLYMAN_METRICS_ADDRESS": self.address,
            "TALLYMAN_LOG_LEVEL": "debug",
            **QUICK,
            **self.settings,
        }
        return Daemon("manager", self.directory, [PROGRAM, "manager"], environment)

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self.daemon.log.read_text(errors="replace") if self.daemon.log.exists() else ""

    def start(self) -> None:
        """Start it unless it runs, and return when it calls itself ready."""
        self.daemon.start(ready=lambda: self.page("/readyz")[0] == 200, timeout=READY_SECONDS)

    def kill(self) -> None:
        """End it as a crash would."""
        self.daemon.kill()

    def stop(self) -> None:
        """End it politely."""
        self.daemon.stop(grace=15)

    def page(self, path: str) -> tuple[int, str]:
        """Status and text of one of its pages; status 0 when it does not answer."""
        return page(self.address, path)

    def leads(self) -> bool:
        """Whether it says that it leads."""
        return "tallyman_manager_leader 1.0" in self.page("/metrics")[1]


@contextmanager
def only_manager(
    cluster: Cluster, directory: Path, settings: Mapping[str, str] | None = None
) -> Iterator[ManagerProcess]:
    """The only manager of a cluster, which leads; in the end nobody does."""
    made = ManagerProcess(directory, cluster.kubeconfig, settings=settings or {})
    try:
        made.start()
        waiting.until(made.leads, "the only manager leads")
        yield made
    finally:
        made.stop()
        cluster.delete_lease(LEASE)
