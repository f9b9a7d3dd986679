"""Finds and removes what a private containerd leaves behind: shims, processes, mounts, cgroups, sockets.

Everything here is told what belongs to the instance (its socket address, its directories, exact cgroup paths), and
touches nothing else: a shim belongs to us only when its command line names our socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hack.lab import waiting
from hack.lab.daemon import Process
from hack.lab.errors import LabError

MNT_DETACH = 2
TASK_PLUGIN = "io.containerd.runtime.v2.task"
RUNC_ROOT = Path("/run/containerd/runc")
SHIM_SOCKET = re.compile(r"unix://(/run/containerd/s/[0-9a-f]{16,})")


@dataclass(frozen=True)
class Task:
    """A task as containerd's state directory describes it."""

    namespace: str
    id: str
    bundle: Path

    @property
    def cgroup(self) -> str | None:
        """The path of the task's cgroup below each controller, or None where it has none of its own."""
        try:
            specification = json.loads((self.bundle / "config.json").read_text())
        except (OSError, ValueError):
            return None
        path = str(specification.get("linux", {}).get("cgroupsPath") or "")
        return path if path.startswith("/") and Path(path).name == self.id else None

    @property
    def sockets(self) -> set[Path]:
        """The sockets on which the task's shim listens."""
        found: set[str] = set()
        for name in ("address", "bootstrap.json"):
            with contextlib.suppress(OSError):
                found.update(SHIM_SOCKET.findall((self.bundle / name).read_text()))
        return {Path(path) for path in found}

    @property
    def runtime_state(self) -> Path:
        """The directory in which runc or crun keeps its record of the container."""
        return RUNC_ROOT / self.namespace / self.id


def namespaces(*directories: Path) -> set[str]:
    """Return the namespaces that ever had a task, by a containerd's state and root directories."""
    return {path.name for directory in directories for path in (directory / TASK_PLUGIN).glob("*")}


def tasks(state: Path) -> list[Task]:
    """Return the tasks that a containerd's state directory knows."""
    bundles = sorted((state / TASK_PLUGIN).glob("*/*"))
    return [Task(bundle.parent.name, bundle.name, bundle) for bundle in bundles]


def shims(address: str) -> list[Process]:
    """Return the shims whose command line names exactly this containerd socket."""
    return [process for process, words in _processes() if _is_shim_of(words, address)]


def end_shims(address: str, cgroups: Collection[str]) -> None:
    """Kill the shims of that containerd, all that they have started, and whatever sits in the given cgroups."""
    mine = shims(address)
    victims = {*mine, *descendants({process.pid for process in mine}), *_members(cgroups)}
    for process in victims:
        process.signal(signal.SIGKILL)
    for path in cgroups:
        _thaw(path)
    waiting.until(lambda: not any(process.alive for process in victims), what="the containers' processes", timeout=20)


def descendants(roots: set[int]) -> list[Process]:
    """Return all processes below the given ones."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    queue = list(roots)
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return [process for pid in found if (process := Process.of(pid)) is not None]


def mounts_below(directories: Iterable[Path]) -> list[Path]:
    """Return the mount points at or below the given directories, deepest first."""
    tops = [directory.resolve() for directory in directories]
    points = [Path(fields[4]) for fields in _mountinfo()]
    inside = [point for point in points if any(point == top or top in point.parents for top in tops)]
    return sorted(inside, key=lambda point: len(point.parts), reverse=True)


def unmount_below(directories: Iterable[Path]) -> None:
    """Unmount everything at or below the given directories, stacked mounts included."""
    directories = list(directories)
    libc = ctypes.CDLL(None, use_errno=True)
    for _ in range(5):
        points = mounts_below(directories)
        if not points:
            return
        for point in points:
            if libc.umount2(os.fsencode(point), 0) != 0:
                libc.umount2(os.fsencode(point), MNT_DETACH)
    left = mounts_below(directories)
    if left:
        raise LabError(f"still mounted: {', '.join(map(str, left))}; see `findmnt` and unmount by hand")


def cgroup_directories(path: str) -> list[Path]:
    """Return the directories that stand for one cgroup path, one under each mounted hierarchy."""
    hierarchies = {fields[4] for fields in _mountinfo() if fields[fields.index("-") + 1].startswith("cgroup")}
    candidates = [Path(hierarchy) / path.strip("/") for hierarchy in sorted(hierarchies)]
    return [candidate for candidate in candidates if path.strip("/") and candidate.is_dir()]


def remove_cgroups(paths: Iterable[str]) -> None:
    """Remove the trees of the given cgroup paths; one that another instance still uses stays."""
    for path in paths:
        for top in cgroup_directories(path):
            waiting.holds(partial(_remove_tree, top), timeout=2)


def remove_empty_cgroup(path: str) -> None:
    """Remove a cgroup path that has nothing below it any more."""
    for directory in cgroup_directories(path):
        with contextlib.suppress(OSError):
            directory.rmdir()


def _remove_tree(top: Path) -> bool:
    for directory, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
    return not top.exists() or any(_pids(Path(directory)) for directory, _, _ in os.walk(top))


def _thaw(path: str) -> None:
    """Let frozen processes go on, to their end: those of the v1 freezer do not even take SIGKILL."""
    for directory in cgroup_directories(path):
        with contextlib.suppress(OSError):
            (directory / "freezer.state").write_text("THAWED")


def _members(cgroups: Iterable[str]) -> Iterator[Process]:
    for path in cgroups:
        for top in cgroup_directories(path):
            for directory, _, _ in os.walk(top):
                yield from (process for pid in _pids(Path(directory)) if (process := Process.of(pid)))


def _pids(cgroup: Path) -> list[int]:
    try:
        return [int(word) for word in (cgroup / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _mountinfo() -> list[list[str]]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [[field.replace("\\040", " ") for field in line.split(" ")] for line in lines]


def _processes() -> Iterator[tuple[Process, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                process = Process.of(int(entry.name))
                if process is not None:
                    yield process, words


def _is_shim_of(words: list[str], address: str) -> bool:
    if not Path(words[0]).name.startswith("containerd-shim") or "-address" not in words[:-1]:
        return False
    return words[words.index("-address") + 1] == address
