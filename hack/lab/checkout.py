"""What `up` makes of one checkout: where everything lies, and which parts belong to it.

Data, logs and pid files lie in `.local/`; sockets lie in a short directory below /run, because the path of a socket may
not be long. Both are told from the path of the checkout alone, so `down` finds everything without a record.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from hack.lab.containerd_daemon import Containerd
from hack.lab.control_plane import ControlPlane
from hack.lab.errors import LabError, last_lines
from hack.lab.registry_daemon import Registry

NAMESPACE = "tallyman"
REGISTRY_PORT = 5000
EXAMPLE_REGISTRY = f"localhost:{REGISTRY_PORT}"
DEFAULT_CONTAINERD = "1.6"


@dataclass(frozen=True)
class Checkout:
    """One checkout of the repository."""

    top: Path

    @property
    def mark(self) -> str:
        """Eight letters that tell this checkout from others on the machine."""
        return hashlib.sha256(str(self.top).encode()).hexdigest()[:8]

    @property
    def local(self) -> Path:
        """Data, logs, pid files and settings; ignored by git."""
        return self.top / ".local"

    @property
    def run_dir(self) -> Path:
        """Sockets and other short-lived things."""
        return Path(f"/run/tallyman-{self.mark}")

    @property
    def environment_bin(self) -> Path:
        """The bin directory of the virtual environment."""
        return self.top / ".venv/bin"

    @property
    def env_file(self) -> Path:
        """The shell file that sets a user's environment."""
        return self.local / "env"

    @property
    def registry_config(self) -> Path:
        """The directory with a hosts.toml for each registry."""
        return self.local / "registries"

    @property
    def external_note(self) -> Path:
        """The file that notes the kubeconfig of a cluster that is not ours."""
        return self.local / "external-cluster"

    @property
    def example_note(self) -> Path:
        """The file that notes that `up` has created the example."""
        return self.local / "example-created"

    def containerd(self) -> Containerd:
        """Return the checkout's containerd, in the version that runs or that the user wants."""
        directory = self.local / "containerd"
        note = directory / "version"
        wanted = os.environ.get("TALLYMAN_LAB_CONTAINERD")
        noted = last_lines(note).strip()
        if wanted and noted and wanted != noted:
            raise LabError(f"containerd {noted} is set up here, {wanted} is asked for: `make down` first")
        version = noted or wanted or DEFAULT_CONTAINERD
        return Containerd(directory, version, NAMESPACE, self.run_dir / "containerd")

    def note_containerd(self, version: str) -> None:
        """Remember the version, so that the next run keeps to it."""
        (self.local / "containerd").mkdir(parents=True, exist_ok=True)
        (self.local / "containerd" / "version").write_text(f"{version}\n")

    def registry(self) -> Registry:
        """Return the checkout's registry."""
        return Registry(self.local / "registry", REGISTRY_PORT)

    def control_plane(self) -> ControlPlane:
        """Return the checkout's control plane."""
        return ControlPlane(self.local / "control-plane")

    def external_kubeconfig(self) -> str | None:
        """Return the user's KUBECONFIG when it is set and is not the file that `up` itself wrote."""
        paths = [path for path in os.environ.get("KUBECONFIG", "").split(":") if path]
        absolute = [str(Path(path).absolute()) for path in paths]
        if not absolute or absolute == [str(self.control_plane().kubeconfig)]:
            return None
        return ":".join(absolute)


def this_checkout() -> Checkout:
    """Return the checkout that this file belongs to."""
    return Checkout(Path(__file__).resolve().parents[2])
