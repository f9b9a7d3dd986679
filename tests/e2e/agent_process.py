"""The agent as a process of its own: `tallyman agent`, with everything that it is told in its environment."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hack import lab
from hack.lab import ports
from hack.lab.daemon import Daemon

READY_SECONDS = 60.0
PROGRAM = Path(sys.executable).parent / "tallyman"
EVERYTHING = """\
rules:
  - namespaces: ["*"]
    allow:
      privileged: true
      hostNetwork: true
      hostPaths: [{path: /}]
      devices: [/dev]
      capabilities: [ALL]
      seccompUnconfined: true
      allowPrivilegeEscalation: true
      bidirectionalMounts: true
"""
"""The policy that the agents of the tests have, unless a test says otherwise by a setting."""


@dataclass
class AgentProcess:
    """One agent; `start`, `kill` and `stop` may be repeated, and keep its settings and its log."""

    directory: Path
    kubeconfig: str
    containerd: lab.Containerd
    node_name: str = "node-a"
    standalone: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    """Further environment variables."""
    wrapper: tuple[str, ...] = ()
    """A command that runs the one which follows it, for an agent that is to see another node."""

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
            "CONTAINERD_ADDRESS": self.containerd.address,
            "CONTAINERD_NAMESPACE": self.containerd.namespace,
            "NODE_NAME": self.node_name,
            "TALLYMAN_STANDALONE": str(int(self.standalone)),
            "TALLYMAN_METRICS_ADDRESS": self.address,
            "TALLYMAN_REGISTRY_CONFIG_DIR": str(self.directory / "registries"),
            "TALLYMAN_SECCOMP_DIR": str(self.directory / "seccomp"),
            "TALLYMAN_POLICY_FILE": str(self._policy_file()),
            "TALLYMAN_RUN_DIR": str(self.directory / "run"),
            "TALLYMAN_LOG_DIR": str(self.directory / "containers"),
            "TALLYMAN_INIT_PATH": str(self.containerd.init_path),
            "TALLYMAN_LOG_LEVEL": "debug",
            **self.settings,
        }
        return Daemon("agent", self.directory, [*self.wrapper, PROGRAM, "agent"], environment)

    def _policy_file(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "policy.yaml"
        path.write_text(EVERYTHING)
        return path

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


def page(address: str, path: str) -> tuple[int, str]:
    """Status and text of a page; status 0 when there is no answer."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""
