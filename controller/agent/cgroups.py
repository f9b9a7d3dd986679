"""What the kernel's cgroups tell about the node and about one container. Reads only."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
_MAX_BYTES = 4096
_MOST = 1000
"""Of so many cgroups below one the counts are read; a container that may make its own could make them without end."""


def unified(root: Path = ROOT) -> bool:
    """Whether the node has cgroup v2 only."""
    return (root / "cgroup.controllers").exists()


def mounted(root: Path = ROOT) -> bool:
    """Whether there is a cgroup hierarchy that containers can be put into."""
    return unified(root) or (root / "memory" / "tasks").exists() or (root / "cpu" / "tasks").exists()


def freezer(root: Path = ROOT) -> bool:
    """Whether the node can freeze a container: by the freezer controller with v1, since Linux 5.2 with v2.

    With v2 it shows in every cgroup but the root; where there is no other, it counts as there.
    """
    if not unified(root):
        return (root / "freezer" / "tasks").exists()
    others = [path for path in (root, *root.iterdir()) if (path / "cgroup.type").exists()]
    return not others or any((path / "cgroup.freeze").exists() for path in others)


def limits_swap(root: Path = ROOT) -> bool:
    """Whether the kernel can limit swap per container."""
    if unified(root):
        return True
    return (root / "memory" / "memory.memsw.limit_in_bytes").exists()


def path_of(parent: str, namespace: str, container_id: str) -> str:
    """The cgroup of one container, from the root of the hierarchy."""
    return f"{parent}/{namespace}/{container_id}"


def populated(path: str, root: Path = ROOT) -> bool:
    """Whether a cgroup has processes; with v2, or one below it. One that is gone has none."""
    relative = path.lstrip("/")
    if unified(root):
        return "populated 1" in text(root / relative / "cgroup.events")
    return bool(text(root / "memory" / relative / "cgroup.procs").strip())


def oom_kills(path: str, root: Path = ROOT) -> int:
    """How many processes of the cgroup and of those below it the kernel has killed for want of memory; 0 when it is gone.

    The kernel counts before it sends SIGKILL, so whoever has seen the end of the process sees the count.
    """
    relative = path.lstrip("/")
    if unified(root):
        # NB: not memory.events.local: a process may have been moved into a cgroup below its container's, as init systems do.
        return _oom_kills(root / relative / "memory.events")
    # With v1 each cgroup counts for itself alone.
    own = root / "memory" / relative
    return sum(_oom_kills(directory / "memory.oom_control") for directory in islice(_with_those_below(own), _MOST))


def text(path: Path, most: int = _MAX_BYTES) -> str:
    """What a file says, at most so many bytes of it; nothing when it is gone.

    The kernel gives such a file whole to one read; a buffered file would cost three times as much.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return ""
    try:
        return os.read(file, most).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(file)


def _oom_kills(file: Path) -> int:
    counts = dict(line.split(" ", 1) for line in text(file).splitlines() if " " in line)
    number = counts.get("oom_kill", "").strip()
    return int(number) if number.isascii() and number.isdigit() else 0


def _with_those_below(directory: Path) -> Iterator[Path]:
    """A cgroup and all below it; what goes meanwhile is left out."""
    return (Path(found) for found, _, _ in os.walk(directory))
