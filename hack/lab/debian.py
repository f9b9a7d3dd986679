"""Debian packages unpacked into the cache, never installed.

`package` gives the tree of one package; `executable` gives one of its programs, wrapped with a library path only where a
shared library that it needs is not on the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hack.lab import apt, cache
from hack.lab.command import run
from hack.lab.errors import LabError

BOOKWORM, TRIXIE, SID = "bookworm", "trixie", "sid"
UNPACK_TIMEOUT = 120.0


def package(suite: str, name: str) -> Path:
    """Return the directory with the unpacked files of a package."""
    return cache.artefact(f"debian/{suite}/{name}", lambda target: unpack(suite, name, target))


def executable(suite: str, name: str, path: str, *, libraries: Sequence[str] = ()) -> Path:
    """Return a program of a package, ready to run on this machine.

    `libraries` are the packages that hold the shared libraries that a small Debian may lack.
    """
    program = package(suite, name) / path
    target = f"bin/{suite}/{name}/{program.name}"
    return cache.artefact(target, lambda made: _make_runnable(suite, program, libraries, made))


def unpack(suite: str, name: str, target: Path) -> None:
    """Unpack a package, without its documentation, into a directory that may hold others already."""
    archive = apt.download(suite, name, target.parent)
    run(["dpkg-deb", "-x", archive, target], timeout=UNPACK_TIMEOUT)
    for part in ("doc", "man", "lintian", "locale"):
        shutil.rmtree(target / "usr/share" / part, ignore_errors=True)
    archive.unlink()


def _make_runnable(suite: str, program: Path, libraries: Sequence[str], made: Path) -> None:
    if not _missing(program, os.environ):
        made.symlink_to(program)
        return
    directories = [
        str(directory)
        for library in libraries
        for pattern in ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*")
        for directory in package(suite, library).glob(pattern)
    ]
    search = ":".join(directories)
    missing = _missing(program, os.environ | {"LD_LIBRARY_PATH": search})
    if missing:
        raise LabError(f"{program} needs what this machine lacks: {'; '.join(missing)}")
    made.write_text(f"#!/bin/sh\nLD_LIBRARY_PATH='{search}' exec '{program}' \"$@\"\n")
    made.chmod(0o755)


def _missing(program: Path, environment: dict[str, str] | os._Environ[str]) -> list[str]:
    """Return the lines of ldd that name a library or a symbol version that is not there."""
    done = subprocess.run(
        ["ldd", str(program)], env=dict(environment), capture_output=True, text=True, timeout=20, check=False
    )
    return [line.strip() for line in (done.stdout + done.stderr).splitlines() if "not found" in line]
