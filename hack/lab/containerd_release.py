"""The containerd versions that the lab runs, where each comes from, and how each wants to be configured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hack.lab import cache, debian
from hack.lab.errors import LabError

CRUN_LIBRARIES = ("libyajl2", "libseccomp2", "libcap2", "libsystemd0", "libgcrypt20", "liblz4-1", "libzstd1")

_SNAPSHOTTERS = ("aufs", "blockfile", "btrfs", "devmapper", "erofs", "zfs")
_UNUSED = (
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
    "io.containerd.grpc.v1.cri",
    "io.containerd.nri.v1.nri",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.internal.v1.tracing",
    *(f"io.containerd.snapshotter.v1.{name}" for name in _SNAPSHOTTERS),
)


@dataclass(frozen=True)
class Release:
    """One containerd version: the Debian suite that has it."""

    version: str
    suite: str

    @property
    def programs(self) -> Path:
        """The directory with containerd, ctr and the shims."""
        return self.fetch() / "usr/bin"

    def fetch(self) -> Path:
        """Make sure that the package is there; returns its directory."""
        return debian.package(self.suite, "containerd")


RELEASES = {
    "1.6": Release("1.6", debian.BOOKWORM),
    "1.7": Release("1.7", debian.TRIXIE),
    "2": Release("2", debian.SID),
}
VERSIONS = tuple(RELEASES)


def release(version: str) -> Release:
    """Return the release of that version (1.6, 1.7 or 2)."""
    try:
        return RELEASES[version]
    except KeyError:
        raise LabError(f"no containerd {version!r} here: choose one of {', '.join(RELEASES)}") from None


def runtime_programs() -> Path:
    """Return the directory with runc, crun and tini-static, the same for every containerd version."""
    return cache.artefact("bin/node", _link_runtimes)


def network_plugins() -> Path:
    """Return the directory with the CNI plugins."""
    return debian.package(debian.BOOKWORM, "containernetworking-plugins") / "usr/lib/cni"


def init_program() -> Path:
    """Return a static init that needs nothing from an image."""
    return debian.package(debian.BOOKWORM, "tini") / "usr/bin/tini-static"


def configuration(*, root: Path, state: Path, address: Path, ttrpc: Path) -> str:
    """Return containerd's config.toml: private paths everywhere, and only the plugins that are of use here."""
    disabled = ", ".join(f'"{name}"' for name in _UNUSED)
    return f"""\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = [{disabled}]

[grpc]
  address = "{address}"

[ttrpc]
  address = "{ttrpc}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.image-verifier.v1.bindir"]
  bin_dir = "{root}/image-verifiers"
"""


def _link_runtimes(target: Path) -> None:
    target.mkdir()
    programs = (
        debian.executable(debian.BOOKWORM, "runc", "usr/sbin/runc", libraries=("libseccomp2",)),
        debian.executable(debian.BOOKWORM, "crun", "usr/bin/crun", libraries=CRUN_LIBRARIES),
        init_program(),
    )
    for program in programs:
        (target / program.name).symlink_to(program)
