"""What a scrape of the agent's metrics costs it, beside writing the same page down."""

import time
from collections.abc import Iterator

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bench import measure
from bench.world import World


async def of_agent(here: World, count: int) -> float:
    """CPU seconds of the agent that one of so many scrapes costs."""
    async with ClientSession() as session:
        before = measure.cpu_seconds(here.agent.pid)
        for _ in range(count):
            await measure.page(session, here.metrics)
        return (measure.cpu_seconds(here.agent.pid) - before) / count


async def bare(here: World, count: int) -> float:
    """CPU seconds that it takes to write down once, out of so many times, what such a scrape has."""
    async with ClientSession() as session:
        registry = CollectorRegistry()
        registry.register(_Page(await measure.page(session, here.metrics)))
    before = time.process_time()
    for _ in range(count):
        generate_latest(registry)
    return (time.process_time() - before) / count


class _Page(Collector):
    """Nothing but what was read."""

    def __init__(self, text: str) -> None:
        self._families = list(text_string_to_metric_families(text))

    def collect(self) -> Iterator[Metric]:
        yield from self._families
