"""The page of metrics: the agent's own, and those about single containers where they are wanted. Reads only."""

import asyncio

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from controller import metrics
from controller.agent.census import Census


class Exposition:
    """Makes the page anew whenever it is asked for."""

    def __init__(self, census: Census, further: Collector | None = None) -> None:
        self._census = census
        self._registries = [metrics.REGISTRY]
        if further is not None:
            self._registries.append(CollectorRegistry())
            self._registries[-1].register(further)

    async def page(self) -> bytes:
        """The metrics in Prometheus's text format."""
        self._census.take()
        # In a thread: with many containers it takes long enough for others to wait.
        return await asyncio.to_thread(self._render)

    def _render(self) -> bytes:
        return b"".join(generate_latest(registry) for registry in self._registries)
