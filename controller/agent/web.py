"""The agent's HTTP endpoints for machines: `/metrics`, `/healthz` and `/readyz`. Reads only."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from controller.agent.health import Freshness


def application(freshness: Freshness, metrics: Callable[[], Awaitable[bytes]]) -> web.Application:
    """The endpoints; `metrics` makes the page of that name."""

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

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
