"""The rows about a fleet: how the manager binds (j), what it needs for very many objects (k), and what those cost an agent (l).

(j) has a control plane of its own, and (k) and (l) share one: ten thousand objects take a minute to make, and would be a burden to others.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench import agent_starts, binding, crowd, measure
from bench.agent_starts import Start
from bench.crowd import Api
from bench.manager_process import ManagerProcess, Memory, manager
from bench.table import Row, percentile
from bench.world import World, control_plane, world

LETTERS = "jkl"
NODES = [f"simulated-{number:02}" for number in range(50)]
CROWD = "crowd"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    pending: int
    rounds: int
    singly: int
    objects: int
    own: int
    starts: int


@dataclass(frozen=True)
class Rounds:
    """Seconds until each was bound, of several rounds."""

    raw: list[list[float]]
    ours: list[list[float]]


WHOLE = Size(pending=1000, rounds=3, singly=40, objects=10_000, own=100, starts=5)
QUICK = Size(pending=100, rounds=1, singly=5, objects=500, own=10, starts=2)


def tables(only: str, size: Size) -> Iterator[list[Row]]:
    """Measure those rows of this module that are asked for; those that share a control plane come together."""
    if "j" in only:
        with _directory() as name, control_plane(Path(name)), manager(Path(name)) as binding_one:
            yield asyncio.run(_binds(binding_one, size))
    if "k" in only or "l" in only:
        with _directory() as name, control_plane(Path(name)) as plane, ExitStack() as stack:
            process = stack.enter_context(manager(Path(name))) if "k" in only else None
            here = stack.enter_context(world(Path(name), plane, standalone=False)) if "l" in only else None
            yield asyncio.run(_crowded(process, here, size))


def _directory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="tallyman-bench-")


async def _binds(process: ManagerProcess, size: Size) -> list[Row]:
    async with crowd.api() as api, crowd.nodes(api, NODES):
        await _namespaces(api, "raw", "managed")
        small = await _rounds(api, process, size, crowd.small)
        large = await _rounds(api, process, size, crowd.pending)
        single = await _singly(api, process, [f"single-{number}" for number in range(size.singly)])
    return [_rate("small", small, 200), *_waits(small), _rate("large", large), *single]


async def _rounds(api: Api, process: ManagerProcess, size: Size, kind: crowd.Kind) -> Rounds:
    """Raw and managed in turn, so that what else the machine does is the same for both."""
    found = Rounds([], [])
    names = [f"pending-{number}" for number in range(size.pending)]
    for _ in range(size.rounds):
        found.raw.append(await binding.raw(api, "raw", names, NODES, kind))
        await crowd.remove(api, "raw", names)
        found.ours.append(await binding.by_manager(api, process, "managed", names, kind))
        process.daemon.stop()
        await crowd.remove(api, "managed", names)
    return found


def _rate(kind: str, rounds: Rounds, least: float | None = None) -> Row:
    """From the first that is bound to the last."""
    raw, rate = (median((len(one) - 1) / (max(one) - min(one)) for one in some) for some in (rounds.raw, rounds.ours))
    name = f"(j) {len(rounds.ours[0])} pending, {kind}, {len(NODES)} nodes"
    target = "" if least is None else f"≥ {least:g}/s"
    return Row(name, f"{rate:.0f} binds/s", f"raw {raw:.0f}/s", f"{rate / raw:.2f} x", target, rate >= (least or 0))


def _waits(rounds: Rounds) -> list[Row]:
    """From the election; of raw patches, from the first of them."""
    count = len(rounds.ours[0])
    return [
        _compared(
            f"(j) {count} pending, small, wait p{percent}", _median(rounds.ours, percent), _median(rounds.raw, percent)
        )
        for percent in (50, 95)
    ]


def _median(rounds: list[list[float]], percent: int) -> float:
    return median(percentile(one, percent) for one in rounds)


async def _singly(api: Api, process: ManagerProcess, names: list[str]) -> list[Row]:
    """One at a time, by a manager that has nothing else to do."""
    floor = await binding.raw_singly(api, "raw", names, NODES[0])
    process.spawn()
    await asyncio.wait_for(process.knows(len(names)), measure.TIMEOUT)
    ours = await binding.singly(api, "managed", names)
    process.daemon.stop()
    return [
        _compared(f"(j) apply → bound, p{percent}", percentile(ours, percent), percentile(floor, percent))
        for percent in (50, 95)
    ]


def _compared(name: str, ours: float, raw: float) -> Row:
    return Row(name, f"{ours:.1f} ms", f"raw {raw:.1f} ms", f"{ours / raw:.2f} x", "", True)


async def _crowded(process: ManagerProcess | None, here: World | None, size: Size) -> list[Row]:
    """The rows about very many objects: each is measured without them, then they are made, then it is measured with them."""
    found: list[Row] = []
    alone: list[Start] = []
    own = [f"own-{number}" for number in range(size.own)] if here else []
    others = [f"other-{number}" for number in range(size.objects - len(own))]
    async with crowd.api() as api, crowd.nodes(api, NODES):
        await _namespaces(api, CROWD)
        if here:
            await agent_starts.run_own(api, here, own)
            alone = await agent_starts.starts(here, size.own, size.starts)
        floor = await _started(process, len(own)) if process else None
        await crowd.make_running(api, CROWD, others, NODES)
        if process and floor:
            found.append(await _manager_row(process, floor, size))
        if here:
            among = await agent_starts.starts(here, size.own, size.starts)
            await agent_starts.remove_own(api, own)
            found += _agent_rows(alone, among, size)
    return found


async def _started(process: ManagerProcess, count: int) -> Memory:
    """The memory of a manager that has just been started over so many Containers."""
    process.daemon.stop()
    process.spawn()
    await asyncio.wait_for(process.knows(count), measure.TIMEOUT)
    await asyncio.sleep(measure.SETTLE_SECONDS)
    return process.memory()


async def _manager_row(process: ManagerProcess, floor: Memory, size: Size) -> Row:
    """Of a manager that has seen all objects come, and of one that has found them."""
    await asyncio.wait_for(process.knows(size.objects), measure.TIMEOUT)
    grown = process.memory()
    started = await _started(process, size.objects)
    process.daemon.stop()
    most = max(grown.most, started.most)
    value = f"{started.resident:.0f} MB, {most:.0f} MB at most"
    ratio = f"{started.resident / floor.resident:.2f} x"
    name = f"(k) manager, {size.objects} Containers"
    return Row(name, value, f"before {floor.resident:.0f} MB", ratio, "≤ 250 MB at most", most <= 250)


def _agent_rows(alone: list[Start], among: list[Start], size: Size) -> list[Row]:
    names = f"{size.own} own of {size.objects}"
    seconds, floor = (median(start.seconds for start in some) for some in (among, alone))
    memory, least = (median(start.megabytes for start in some) for some in (among, alone))
    return [
        Row(
            f"(l) agent start, {names}",
            f"{seconds:.2f} s",
            f"alone {floor:.2f} s",
            f"{seconds / floor:.2f} x",
            "≤ 1.05 x",
            seconds <= 1.05 * floor,
        ),
        Row(
            f"(l) agent memory, {names}",
            f"{memory:.1f} MB",
            f"alone {least:.1f} MB",
            f"{memory / least:.2f} x",
            "≤ 1.05 x",
            memory <= 1.05 * least,
        ),
    ]


async def _namespaces(api: Api, *names: str) -> None:
    for name in names:
        await crowd.make_namespace(api, name)
