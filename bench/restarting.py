"""How fast what ended runs again: a container by its restart policy, and the agent over containers that run on."""

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from aiohttp import ClientError, ClientSession

from bench import measure
from bench.cluster import Cluster, Status, is_ready
from bench.world import World
from hack.lab.daemon import Daemon

POLL_SECONDS = 0.02
_LOOKS = re.compile(r'^tallyman_reconcile_total\{result="settled"\} (\S+)$', re.MULTILINE)
_REPEATED = re.compile(r'^tallyman_reconcile_total\{result="(?:look_again|error)"\} (\S+)$', re.MULTILINE)
_BUSY = re.compile(r"^tallyman_(?:queue_depth|active_workers) (\S+)$", re.MULTILINE)
_RUNNING = re.compile(r'^tallyman_containers\{state="Running"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True)
class Adoption:
    """From the start of an agent until it has looked at all that runs."""

    seconds: float
    writes: float
    """Writes of Containers and of Events to the API server meanwhile, and for a while after it."""
    repeated: float
    """Looks that came to no end: of what they were about, it is not known whether it was adopted in that time."""


def container(image: str) -> Mapping[str, Any]:
    """A container that is started again at once, however often it ends."""
    at_once = {"initialSeconds": 0, "maxSeconds": 0}
    return {**measure.container(image), "restartPolicy": {"name": "Always", "backoff": at_once}}


async def restarts(cluster: Cluster, image: str, count: int) -> list[float]:
    """Seconds from the death of a process to the status that tells of the next one."""
    ready = cluster.expect("restarting", is_ready)
    await cluster.apply("restarting", container(image))
    await asyncio.wait_for(ready, measure.TIMEOUT)
    seconds = []
    for _ in range(count):
        pid = cluster.statuses["restarting"]["pid"]

        def runs_again(status: Status | None, former: int = pid) -> bool:
            return is_ready(status) and (status or {}).get("pid") not in (None, former)

        again = cluster.expect("restarting", runs_again)
        since = perf_counter()
        os.kill(pid, signal.SIGKILL)
        seconds.append(await asyncio.wait_for(again, measure.TIMEOUT) - since)
    await measure.remove(cluster, "restarting")
    return seconds


async def adopted(cluster: Cluster, here: World, count: int) -> Adoption:
    """Kill the agent and start it again over so many running containers, all of which it has settled before."""
    await settled(here.metrics, count)
    here.agent.kill()
    before = await measure.writes(cluster, "containers", "events")
    since = perf_counter()
    _spawn(here.agent)
    page = await asyncio.wait_for(settled(here.metrics, count), measure.TIMEOUT)
    seconds = perf_counter() - since
    await asyncio.sleep(measure.SETTLE_SECONDS)  # Events come a while after what they tell of
    writes = await measure.writes(cluster, "containers", "events") - before
    return Adoption(seconds, writes, _total(_REPEATED, page))


def _spawn(agent: Daemon) -> None:
    agent.start(ready=lambda: True, timeout=measure.TIMEOUT)


async def settled(address: str, count: int) -> str:
    """Wait until an agent has looked at so many containers, has none left to look at, and knows that they run; returns its metrics."""
    async with ClientSession() as session:
        while True:
            try:
                page = await measure.page(session, address)
                looked = min(_total(_LOOKS, page), _total(_RUNNING, page)) >= count
                if looked and _total(_BUSY, page) == 0:
                    return page
            except ClientError:
                pass  # not yet listening
            await asyncio.sleep(POLL_SECONDS)


def _total(pattern: re.Pattern[str], page: str) -> float:
    return sum(float(value) for value in pattern.findall(page))
