"""What kopf asks for, and what of it the API server's cache is asked for."""

import asyncio

import kopf
import pytest
from aiohttp import web

from controller.kube import cached


async def _asked(query: str, method: str = "GET") -> dict[str, str]:
    """The query that arrives, of one that is sent."""
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.json_response({})

    application = web.Application()
    application.router.add_route("*", "/containers", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    [address] = runner.addresses
    server = f"http://127.0.0.1:{address[1]}"
    given = cached.session(kopf.ConnectionInfo(server=server))
    try:
        async with given.aiohttp_session.request(method, f"{given.server}/containers?{query}") as response:
            assert response.status == 200
    finally:
        await given.aiohttp_session.close()
        await runner.cleanup()
    return asked[0]


@pytest.mark.parametrize(
    ("method", "query", "expected"),
    [
        pytest.param(
            "GET",
            "limit=500&labelSelector=tallyman.dev%2Fnode%3Dnode-a",
            {"labelSelector": "tallyman.dev/node=node-a", "resourceVersion": "0"},
            id="a list by pages comes from the cache, with its selector",
        ),
        pytest.param(
            "GET",
            "limit=500&continue=abc",
            {"limit": "500", "continue": "abc"},
            id="a page that follows another is left as it is",
        ),
        pytest.param(
            "GET",
            "watch=true&resourceVersion=7&labelSelector=a%3Db",
            {"watch": "true", "resourceVersion": "7", "labelSelector": "a=b"},
            id="a watch begins where it was to begin",
        ),
        pytest.param("POST", "limit=5", {"limit": "5"}, id="what is no read is left as it is"),
    ],
)
def test_lists_come_from_the_cache(method: str, query: str, expected: dict[str, str]) -> None:
    assert asyncio.run(_asked(query, method)) == expected
