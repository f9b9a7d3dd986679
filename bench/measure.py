"""What is measured about the agent, each as one coroutine that leaves nothing behind."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from aiohttp import ClientSession

from bench.cluster import Cluster, has_exited, is_gone, is_ready

TIMEOUT = 120.0
SETTLE_SECONDS = 3.0
_WRITES = re.compile(
    r'^apiserver_request_total\{[^}]*[{,]resource="(\w+)"[^}]*verb="(?:POST|PUT|PATCH|DELETE|APPLY)"[^}]*\} (\S+)$',
    re.MULTILINE,
)
_WAITING = re.compile(r"^tallyman_events_waiting 0\.0$", re.MULTILINE)


def container(image: str) -> dict[str, Any]:
    """A container that runs until it is stopped, and then ends at once."""
    return {"image": image, "imagePullPolicy": "IfNotPresent", "terminationGracePeriodSeconds": 1}


async def start(cluster: Cluster, name: str, image: str) -> float:
    """Seconds from apply to Ready."""
    ready = cluster.expect(name, is_ready)
    since = perf_counter()
    await cluster.apply(name, container(image))
    return await asyncio.wait_for(ready, TIMEOUT) - since


async def remove(cluster: Cluster, *names: str) -> None:
    """Delete objects and wait until they are gone."""
    gone = [cluster.expect(name, is_gone) for name in names]
    await asyncio.gather(*(cluster.delete(name) for name in names))
    await asyncio.wait_for(asyncio.gather(*gone), TIMEOUT)


async def serial(cluster: Cluster, image: str, count: int) -> list[float]:
    """Seconds from apply to Ready, one at a time."""
    seconds = []
    for number in range(count):
        seconds.append(await start(cluster, f"serial-{number}", image))
        await remove(cluster, f"serial-{number}")
    return seconds


async def burst(cluster: Cluster, image: str, names: list[str]) -> float:
    """Containers a second, from the first apply to the last Ready. They are left running."""
    ready = [cluster.expect(name, is_ready) for name in names]
    since = perf_counter()
    await asyncio.gather(*(cluster.apply(name, container(image)) for name in names))
    last = max(await asyncio.wait_for(asyncio.gather(*ready), TIMEOUT))
    return len(names) / (last - since)


async def exits(cluster: Cluster, image: str, count: int) -> list[float]:
    """Seconds from the death of a process to the status that tells of it."""
    seconds = []
    for number in range(count):
        name = f"exit-{number}"
        await start(cluster, name, image)
        ended = cluster.expect(name, has_exited)
        since = perf_counter()
        os.kill(cluster.statuses[name]["pid"], signal.SIGKILL)
        seconds.append(await asyncio.wait_for(ended, TIMEOUT) - since)
        await remove(cluster, name)
    return seconds


async def writes(cluster: Cluster, *resources: str) -> float:
    """All writes that the API server has counted, less the bench's own; of Containers, unless others are named."""
    counted = _WRITES.findall(await cluster.text("/metrics"))
    return sum(float(value) for name, value in counted if name in (resources or ("containers",))) - cluster.sent


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process."""
    return _megabytes(pid, "VmRSS")


def most_megabytes(pid: int) -> float:
    """The most memory of a process that was ever resident."""
    return _megabytes(pid, "VmHWM")


def _megabytes(pid: int, figure: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{figure}:"):
            return int(line.split()[1]) / 1024
    return 0.0


async def page(session: ClientSession, address: str) -> str:
    """The metrics of an agent; raises `aiohttp.ClientError` while it does not listen."""
    async with session.get(f"http://{address}/metrics") as answer:
        return await answer.text()


async def all_told(address: str) -> None:
    """Wait until an agent has posted all its Events: they come for a while after what they tell of, and until then it works."""
    async with ClientSession() as session:
        while True:
            if _WAITING.search(await page(session, address)):
                return
            await asyncio.sleep(1)


async def at_rest(pid: int, seconds: float) -> Mapping[str, float]:
    """CPU share in percent of a core, over a while, and resident memory in MB, of an agent that has nothing to do."""
    before, since = cpu_seconds(pid), perf_counter()
    await asyncio.sleep(seconds)
    return {"cpu": 100 * (cpu_seconds(pid) - before) / (perf_counter() - since), "rss": resident_megabytes(pid)}
