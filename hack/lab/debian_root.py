"""A root file system of Debian with Python, made by debootstrap: the stand-in for a base image where none can be pulled."""

from __future__ import annotations

import os
from pathlib import Path

from hack.lab import apt, cache, debian
from hack.lab.command import run

PACKAGES = ("python3", "python3-venv", "python3-pip", "ca-certificates")
BOOTSTRAP_TIMEOUT = 900.0


def python_root() -> Path:
    """Return the directory of a small Debian with `python` and `pip`. It is the cache's: copy it, change nothing."""
    return cache.artefact("roots/bookworm-python", _bootstrap)


def _bootstrap(target: Path) -> None:
    package = debian.package(debian.BOOKWORM, "debootstrap")
    argv: list[str | Path] = [
        "sh",
        package / "usr/sbin/debootstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        f"--keyring={apt.KEYRING}",
        debian.BOOKWORM,
        target,
        apt.mirror(),
    ]
    environment = os.environ | {"DEBOOTSTRAP_DIR": str(package / "usr/share/debootstrap"), "LC_ALL": "C"}
    run(argv, timeout=BOOTSTRAP_TIMEOUT, env=environment)
    # What images of Python call it.
    (target / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    for path in (target / "var/cache/apt/archives").glob("*.deb"):
        path.unlink()
