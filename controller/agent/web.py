"""The agent's HTTP endpoints for machines: `/metrics`, `/healthz` and `/readyz`. Reads only."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector

from controller import metrics
from controller.agent.health import Freshness


def application(
    freshness: Freshness, before_scrape: Callable[[], None], further: Collector | None = None
) -> web.Application:
    """The endpoints; `before_scrape` brings gauges up to date, `further` has metrics besides the agent's own."""
    registries = [metrics.REGISTRY]
    if further is not None:
        registries.append(CollectorRegistry())
        registries[-1].register(further)

    def page() -> bytes:
        return b"".join(generate_latest(registry) for registry in registries)

    async def metrics_page(_: web.Request) -> web.Response:
        before_scrape()
        # In a thread: with many containers it takes long enough for others to wait.
        body = await asyncio.to_thread(page)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(freshness.problems())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(freshness.unready())

    pages = web.Application()
    pages.add_routes([web.get("/metrics", metrics_page), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return pages


def _verdict(problems: list[str]) -> web.Response:
    """200 `ok`, or 503 with one problem a line."""
    return web.Response(text="ok\n") if not problems else web.Response(status=503, text="\n".join(problems) + "\n")


async def serve(pages: web.Application, host: str, port: int) -> web.AppRunner:
    """Listen; the caller cleans the runner up. Raises OSError when the port is taken."""
    runner = web.AppRunner(pages, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner
