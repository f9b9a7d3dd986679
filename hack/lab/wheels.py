"""The wheels that an image of this project is made of, fetched once for each state of the lock file."""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path

from hack.lab import cache
from hack.lab.command import run

DOWNLOAD_TIMEOUT = 600.0


def wheelhouse(project: Path) -> Path:
    """Return a directory with what requirements.lock names and what the project's own build requires."""
    lock = project / "requirements.lock"
    requires = tomllib.loads((project / "pyproject.toml").read_text())["build-system"]["requires"]
    state = hashlib.sha256(lock.read_bytes() + repr(requires).encode()).hexdigest()[:16]

    def make(target: Path) -> None:
        target.mkdir()
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--disable-pip-version-check",
            "--dest",
            target,
        ]
        run([*pip, "--require-hashes", "-r", lock], timeout=DOWNLOAD_TIMEOUT)
        run([*pip, *requires], timeout=DOWNLOAD_TIMEOUT)

    return cache.artefact(f"wheels/{state}", make)
