"""How fast the agent takes the output of containers, beside `cat` from pipes of the same size.

Containers print lines of 80 bytes without pause. Of the agent, what its counters say over a while is compared with the CPU time that it
used. Of `cat`, what it has read from the pipe of one raw container.
"""

import asyncio
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from aiohttp import ClientSession

from bench import measure, raw
from bench.cluster import Cluster, is_ready
from bench.world import World
from controller.agent.streams import pipes
from controller.containerd.client import Containerd

SECONDS = 5.0
LINE = "x" * 79
_COUNTED = re.compile(r"^tallyman_container_output_bytes_total\{[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Rate:
    """Megabytes a second, and the CPU time of who read them, in percent of a core."""

    megabytes: float
    cpu: float


def printer(image: str) -> Mapping[str, object]:
    """A container that prints without pause."""
    return {**measure.container(image), "command": ["yes", LINE], "logging": {"maxSize": "64Mi", "maxFiles": 2}}


async def template(cluster: Cluster, client: Containerd, here: World) -> raw.Template:
    """What the agent makes of such a container."""
    ready = cluster.expect("template", is_ready)
    await cluster.apply("template", printer(here.busybox))
    await asyncio.wait_for(ready, measure.TIMEOUT)
    made = await raw.template(client, cluster.statuses["template"]["containerID"])
    await measure.remove(cluster, "template")
    return made


async def of_agent(cluster: Cluster, here: World, count: int) -> Rate:
    """What the agent takes from that many containers at once."""
    names = [f"printer-{number}" for number in range(count)]
    ready = [cluster.expect(name, is_ready) for name in names]
    for name in names:
        await cluster.apply(name, printer(here.busybox))
    await asyncio.wait_for(asyncio.gather(*ready), measure.TIMEOUT)
    try:
        return await _rate(here)
    finally:
        await measure.remove(cluster, *names)


async def _rate(here: World) -> Rate:
    bytes_before, cpu_before, since = await _counted(here), measure.cpu_seconds(here.agent.pid), perf_counter()
    await asyncio.sleep(SECONDS)
    count, cpu = await _counted(here) - bytes_before, measure.cpu_seconds(here.agent.pid) - cpu_before
    seconds = perf_counter() - since
    return Rate(count / seconds / 1e6, 100 * cpu / seconds)


async def _counted(here: World) -> float:
    async with ClientSession() as session:
        return sum(float(value) for value in _COUNTED.findall(await measure.page(session, here.metrics)))


async def of_cat(client: Containerd, made_from: raw.Template, directory: Path, count: int) -> Rate:
    """What one `cat` a container takes from the pipes of raw containers."""
    directory.mkdir(exist_ok=True)
    boxes = [await _start(client, made_from, directory / f"{number}") for number in range(count)]
    before, since = [_taken(cat) for _, cat in boxes], perf_counter()
    cpu_before = sum(measure.cpu_seconds(cat.pid) for _, cat in boxes)
    await asyncio.sleep(SECONDS)
    taken = sum(_taken(cat) for _, cat in boxes) - sum(before)
    cpu = sum(measure.cpu_seconds(cat.pid) for _, cat in boxes) - cpu_before
    seconds = perf_counter() - since
    for container_id, cat in boxes:
        await raw.remove(client, container_id)
        cat.kill()
        cat.wait()
    return Rate(taken / seconds / 1e6, 100 * cpu / seconds)


async def _start(client: Containerd, made_from: raw.Template, fifo: Path) -> tuple[str, subprocess.Popen[bytes]]:
    pipes.make(fifo)
    pipe = pipes.open_to_read(fifo)
    os.set_blocking(pipe, True)
    held = os.open(fifo, os.O_RDWR)  # so that there is a writer until the shim is one
    cat = subprocess.Popen(["cat"], stdin=pipe, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - as a shell would
    os.close(pipe)
    container_id = await raw.start(client, made_from, stdout=str(fifo), stderr=os.devnull)
    os.close(held)
    return container_id, cat


def _taken(process: subprocess.Popen[bytes]) -> int:
    """Bytes that a process has read."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{process.pid}/io").read_text().splitlines())
    return int(fields["rchar"])
