"""What one container uses of the node, as its cgroup tells, on cgroup v1 and v2. Reads only; a file that is gone says nothing."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from controller.agent import cgroups

_NANOSECONDS: Final = 1e9
_MICROSECONDS: Final = 1e6
_MAX_BYTES: Final = 16384


@dataclass(frozen=True)
class Usage:
    """What a container has used so far, and uses now. What the kernel does not tell is None."""

    cpu_seconds: float | None = None
    cpu_periods: float | None = None
    """Periods in which the CPU limit counted; this and the next two only where there is a limit."""
    cpu_throttled_periods: float | None = None
    """Those in which the container was made to wait."""
    cpu_throttled_seconds: float | None = None
    memory: float | None = None
    """Bytes, the page cache included."""
    memory_working_set: float | None = None
    """Bytes, less the part of the page cache that can be given up at once."""
    threads: float | None = None
    oom_kills: float | None = None


def read(path: str, root: Path = cgroups.ROOT) -> Usage:
    """The usage of a cgroup, by its path from the root of the hierarchy."""
    relative = path.lstrip("/")
    used = _unified(root / relative) if cgroups.unified(root) else _by_controller(root, relative)
    return used if used.memory is None else replace(used, oom_kills=cgroups.oom_kills(path, root))


def _unified(own: Path) -> Usage:
    cpu, memory = _table(own / "cpu.stat"), _number(own / "memory.current")
    return Usage(
        cpu_seconds=_scaled(cpu.get("usage_usec"), _MICROSECONDS),
        **_throttling(cpu, "throttled_usec", _MICROSECONDS),
        memory=memory,
        memory_working_set=_without(memory, _table(own / "memory.stat").get("inactive_file")),
        threads=_number(own / "pids.current"),
    )


def _by_controller(root: Path, relative: str) -> Usage:
    own = root / "memory" / relative
    memory = _number(own / "memory.usage_in_bytes")
    return Usage(
        cpu_seconds=_scaled(_number(root / "cpuacct" / relative / "cpuacct.usage"), _NANOSECONDS),
        **_throttling(_table(root / "cpu" / relative / "cpu.stat"), "throttled_time", _NANOSECONDS),
        memory=memory,
        memory_working_set=_without(memory, _table(own / "memory.stat").get("total_inactive_file")),
        threads=_number(root / "pids" / relative / "pids.current"),
    )


def _throttling(cpu: dict[str, float], time: str, unit: float) -> dict[str, float | None]:
    """The counters of the CPU limit; without one the kernel counts no period, and there is nothing to tell."""
    if not cpu.get("nr_periods"):
        return {}
    return {
        "cpu_periods": cpu["nr_periods"],
        "cpu_throttled_periods": cpu.get("nr_throttled"),
        "cpu_throttled_seconds": _scaled(cpu.get(time), unit),
    }


def _scaled(number: float | None, unit: float) -> float | None:
    return None if number is None else number / unit


def _without(memory: float | None, cache: float | None) -> float | None:
    return None if memory is None else max(memory - (cache or 0), 0)


def _table(path: Path) -> dict[str, float]:
    """A file with a name and a number on each line; other lines are left out."""
    pairs = (line.split() for line in cgroups.text(path, _MAX_BYTES).splitlines())
    return {pair[0]: float(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(path: Path) -> float | None:
    text = cgroups.text(path, _MAX_BYTES).strip()
    return float(text) if text.isdigit() else None
