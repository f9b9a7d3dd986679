"""The agent of a checkout as a process of its own: settings, start, readiness.

It is started again only when it has died, when its settings changed or when the code in `controller/` changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hack.lab import ports
from hack.lab.checkout import NAMESPACE, Checkout
from hack.lab.containerd_daemon import SYSTEM_PATH, Containerd
from hack.lab.daemon import Daemon
from hack.lab.errors import LabError

READY_TIMEOUT = 60.0
STOP_GRACE = 15.0
METRICS_PORT = 9464


@dataclass
class Agent:
    """The agent that serves one containerd for one cluster."""

    checkout: Checkout
    containerd: Containerd
    kubeconfig: str
    node_name: str

    @property
    def directory(self) -> Path:
        """Log, pid file and the record of the settings."""
        return self.checkout.local / "agent"

    @property
    def metrics_address(self) -> str:
        """Where /metrics, /healthz and /readyz are."""
        return f"127.0.0.1:{ports.remembered_port(self.directory / 'port', METRICS_PORT)}"

    @property
    def settings(self) -> dict[str, str]:
        """The agent's settings, as environment variables."""
        own = {
            "KUBECONFIG": self.kubeconfig,
            "CONTAINERD_ADDRESS": self.containerd.address,
            "CONTAINERD_NAMESPACE": NAMESPACE,
            "NODE_NAME": self.node_name,
            "TALLYMAN_STANDALONE": "1",
            "TALLYMAN_METRICS_ADDRESS": self.metrics_address,
            "TALLYMAN_REGISTRY_CONFIG_DIR": str(self.checkout.registry_config),
            "TALLYMAN_POLICY_FILE": str(self.checkout.top / "hack/lab/policy.yaml"),
            "TALLYMAN_INIT_PATH": str(self.containerd.init_path),
            "TALLYMAN_RUN_DIR": str(self.checkout.run_dir / "agent"),
            "TALLYMAN_LOG_DIR": str(self.checkout.local / "containers"),
        }
        lab_only = ("TALLYMAN_CACHE", "TALLYMAN_LAB_")
        users = {
            name: value
            for name, value in os.environ.items()
            if name.startswith("TALLYMAN_") and not name.startswith(lab_only)
        }
        return own | users

    @cached_property
    def daemon(self) -> Daemon:
        """The process, with its log."""
        program = self.checkout.environment_bin / "tallyman"
        base = {"PATH": f"{self.checkout.environment_bin}:{SYSTEM_PATH}", "HOME": os.environ.get("HOME", "/root")}
        return Daemon("agent", self.directory, [program, "agent"], base | self.settings)

    def start(self) -> str:
        """Start the agent, or start it again where it must be, and say in a few words what was done."""
        if not (self.checkout.environment_bin / "tallyman").exists():
            raise LabError(f"{self.checkout.environment_bin}/tallyman is missing: run `make up`, which installs it")
        record = self.directory / "started-with"
        fingerprint = self._fingerprint()
        done = "already running"
        if self.daemon.alive() and (not record.exists() or record.read_text() != fingerprint):
            self.daemon.stop(grace=STOP_GRACE)
            done = "restarted: its code or its settings had changed"
        elif not self.daemon.alive():
            done = f"started, /metrics on {self.metrics_address}"
        Path(self.settings["TALLYMAN_RUN_DIR"]).mkdir(parents=True, exist_ok=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        record.write_text(fingerprint)
        self.daemon.start(ready=self.ready, timeout=READY_TIMEOUT)
        return done

    def ready(self) -> bool:
        """Say whether the agent calls itself ready."""
        try:
            with urllib.request.urlopen(f"http://{self.metrics_address}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _fingerprint(self) -> str:
        files = sorted((self.checkout.top / "controller").rglob("*.py"))
        facts = [(str(path), path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(json.dumps([self.settings, facts], sort_keys=True).encode()).hexdigest()


def stop_agent(checkout: Checkout) -> None:
    """End the agent of a checkout, whatever it was started with."""
    Daemon("agent", checkout.local / "agent").stop(grace=STOP_GRACE)
