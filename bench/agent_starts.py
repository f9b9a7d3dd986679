"""What an agent costs that starts over its own containers, whoever else has containers in the cluster."""

import asyncio
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from bench import crowd, measure
from bench.crowd import Api
from bench.restarting import settled
from bench.world import NODE, World
from controller.api.container import GROUP, KIND, NODE_LABEL, VERSION

NAMESPACE = "default"


@dataclass(frozen=True)
class Start:
    """One start of an agent."""

    seconds: float
    """Until it has looked at all that it has to run, and knows that it runs."""
    megabytes: float
    """Its memory once it has nothing left to do."""


async def run_own(api: Api, here: World, names: list[str]) -> None:
    """Have the agent run these, and wait until they do."""
    await crowd.at_once(
        crowd.WRITERS, names, lambda name: api.call("POST", crowd.collection(NAMESPACE), _own(here, name))
    )
    await asyncio.wait_for(settled(here.metrics, len(names)), measure.TIMEOUT)


async def remove_own(api: Api, names: list[str]) -> None:
    """Delete these, and wait until the agent has removed what ran."""
    path = crowd.collection(NAMESPACE)
    await crowd.at_once(crowd.WRITERS, names, lambda name: api.call("DELETE", f"{path}/{name}"))
    async with asyncio.timeout(measure.TIMEOUT):
        while True:
            if not (await api.call("GET", path))["items"]:
                return
            await asyncio.sleep(0.5)


async def starts(here: World, count: int, times: int) -> list[Start]:
    """Kill the agent and start it again over so many containers, and that so many times."""
    return [await _start(here, count) for _ in range(times)]


async def _start(here: World, count: int) -> Start:
    here.agent.kill()
    since = perf_counter()
    here.agent.start(ready=lambda: True, timeout=measure.TIMEOUT)
    await asyncio.wait_for(settled(here.metrics, count), measure.TIMEOUT)
    seconds = perf_counter() - since
    await measure.all_told(here.metrics)
    await asyncio.sleep(measure.SETTLE_SECONDS)
    return Start(seconds, measure.resident_megabytes(here.agent.pid))


def _own(here: World, name: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {NODE_LABEL: NODE}}
    spec = {**measure.container(here.image), "nodeName": NODE}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "spec": spec}
