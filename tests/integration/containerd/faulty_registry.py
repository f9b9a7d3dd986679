"""A proxy before a real registry that breaks things at the HTTP boundary, as a test tells it to.

`faults` is a list of (what it is about, what to do); a fault is used up when it strikes, unless it is for ever.
"""

import asyncio
import re
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp import web

Respond = Callable[[web.Request, bytes, int, dict[str, str]], web.Response | None]
"""From request, body, status and headers of the real answer to another answer; None means to cut the connection."""


@dataclass
class Fault:
    """What happens to requests whose method and path match `pattern`; `times` requests of them, or all for -1."""

    pattern: str
    respond: Respond | None = None
    cut_after: int | None = None
    stalls: bool = False
    body: bytes | None = None
    times: int = 1


@dataclass
class FaultyRegistry:
    """The proxy; `address` is where it listens, `requests` counts what it was asked (`GET /v2/x/blobs/… bytes=5-`)."""

    upstream: str
    faults: list[Fault] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    queries: list[str] = field(default_factory=list)
    ignores_range: bool = False
    tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        self._closing = asyncio.Event()
        self._session = aiohttp.ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self.tls)
        await site.start()
        port = self._runner.addresses[0][1]
        self.address = f"127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()
        await self._session.close()

    def answer(self, pattern: str, status: int, body: str = "", times: int = 1, **headers: str) -> None:
        """Answer with that status instead of the real answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(
            Fault(pattern, lambda *_: web.Response(status=status, text=body, headers=named), times=times)
        )

    def cut(self, pattern: str, after: int, times: int = 1, body: bytes | None = None) -> None:
        """Cut the connection after so many bytes of the body, or of another body."""
        self.faults.append(Fault(pattern, cut_after=after, times=times, body=body))

    def stall(self, pattern: str, after: int) -> None:
        """Send so many bytes of the body and then nothing, until the client goes."""
        self.faults.append(Fault(pattern, cut_after=after, stalls=True))

    def corrupt(self, pattern: str, times: int = 1) -> None:
        """Flip a bit in the middle of the body."""

        def respond(_request: web.Request, body: bytes, status: int, headers: dict[str, str]) -> web.Response:
            middle = len(body) // 2
            broken = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
            return web.Response(status=status, body=broken, headers=headers)

        self.faults.append(Fault(pattern, respond, times=times))

    def replace(self, pattern: str, body: bytes, times: int = 1, **headers: str) -> None:
        """Answer 200 with another body and the real headers but for those given."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.faults.append(
            Fault(
                pattern,
                lambda _request, _body, _status, real: web.Response(status=200, body=body, headers={**real, **named}),
                times=times,
            )
        )

    def asked(self, pattern: str) -> int:
        """Return how many requests matched."""
        return sum(count for request, count in self.requests.items() if re.search(pattern, request))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        wanted = "" if self.ignores_range else request.headers.get("Range", "")
        line = f"{request.method} {request.path} {wanted}".strip()
        self.requests[line] += 1
        self.queries.append(request.query_string)
        headers = {"Accept": request.headers.get("Accept", "*/*")} | ({"Range": wanted} if wanted else {})
        async with self._session.request(request.method, self.upstream + request.path, headers=headers) as real:
            body, status = await real.read(), real.status
            kept = {
                name: value
                for name, value in real.headers.items()
                if name in {"Content-Type", "Docker-Content-Digest", "Content-Range"}
            }
            length = real.headers.get("Content-Length", "0")
        fault = self._fault_for(line)
        if fault is not None and fault.cut_after is not None:
            return await self._cut(request, fault, fault.body or body, status, kept)
        if fault is not None and fault.respond is not None:
            changed = fault.respond(request, body, status, kept)
            if changed is not None:
                return changed
        if request.method == "HEAD":
            return web.Response(status=status, headers={**kept, "Content-Length": length})
        return web.Response(status=status, body=body, headers=kept)

    def _fault_for(self, line: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.pattern, line):
                fault.times -= 1
                return fault
        return None

    async def _cut(
        self, request: web.Request, fault: Fault, body: bytes, status: int, headers: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: fault.cut_after])
        if fault.stalls:
            await self._closing.wait()
        if request.transport is not None:  # the client may have gone first
            request.transport.close()
        return response
