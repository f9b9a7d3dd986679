"""A process of the checkout's own program, `tallyman`: settings, start, readiness.

It is started again only when it has died, when its settings changed or when the code in `controller/` changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from hack.lab import ports
from hack.lab.answers import answers
from hack.lab.checkout import Checkout
from hack.lab.containerd_daemon import SYSTEM_PATH
from hack.lab.daemon import Daemon
from hack.lab.errors import LabError

READY_TIMEOUT = 60.0
STOP_GRACE = 15.0
_LAB_ONLY = ("TALLYMAN_CACHE", "TALLYMAN_LAB_")


@dataclass
class OwnProcess(ABC):
    """`tallyman` with one of its commands, for one cluster."""

    command: ClassVar[str]
    """The command, after which directory and log are named too."""
    metrics_port: ClassVar[int]
    """The port to take if it is free."""
    checkout: Checkout
    kubeconfig: str

    @property
    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Its settings, as environment variables."""

    @property
    def directory(self) -> Path:
        """Log, pid file and the record of the settings."""
        return self.checkout.local / self.command

    @property
    def metrics_address(self) -> str:
        """Where /metrics, /healthz and /readyz are."""
        return f"127.0.0.1:{ports.remembered_port(self.directory / 'port', self.metrics_port)}"

    @cached_property
    def daemon(self) -> Daemon:
        """The process, with its log."""
        program = self.checkout.environment_bin / "tallyman"
        base = {"PATH": f"{self.checkout.environment_bin}:{SYSTEM_PATH}", "HOME": os.environ.get("HOME", "/root")}
        return Daemon(self.command, self.directory, [program, self.command], base | self.settings)

    def start(self) -> str:
        """Start it, or start it again where it must be, and say in a few words what was done."""
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
        self.directory.mkdir(parents=True, exist_ok=True)
        record.write_text(fingerprint)
        self.daemon.start(ready=self.ready, timeout=READY_TIMEOUT)
        return done

    def ready(self) -> bool:
        """Say whether it calls itself ready."""
        return answers(f"http://{self.metrics_address}/readyz")

    def _fingerprint(self) -> str:
        files = sorted((self.checkout.top / "controller").rglob("*.py"))
        facts = [(str(path), path.stat().st_mtime_ns) for path in files]
        return hashlib.sha256(json.dumps([self.settings, facts], sort_keys=True).encode()).hexdigest()


def of_user() -> dict[str, str]:
    """The settings that the user's own environment has."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith("TALLYMAN_") and not name.startswith(_LAB_ONLY)
    }


def stop(checkout: Checkout, command: str) -> None:
    """End the process of a checkout that was started with this command, whatever its settings were."""
    Daemon(command, checkout.local / command).stop(grace=STOP_GRACE)
