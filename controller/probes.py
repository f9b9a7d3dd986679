"""What agent and manager show to machines: whether they see what they must see, and the pages that say so.

Liveness follows what was seen, not the process: one whose watch is silent looks as alive as any other.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

Problems = Callable[[], list[str]]


@dataclass
class Freshness:
    """When each source was last found to be in step."""

    sources: Sequence[str]
    stale_seconds: float
    clock: Callable[[], float] = monotonic
    _noted: dict[str, float] = field(default_factory=dict)
    _faults: dict[str, str] = field(default_factory=dict)
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    def note(self, source: str) -> None:
        """The source was just found to be in step."""
        self._noted[source] = self.clock()
        self._faults.pop(source, None)

    def fault(self, source: str, problem: str) -> None:
        """The source was just found not to be trusted, in words. That keeps from being ready until it is found to be in step."""
        self._faults[source] = problem

    def out_of_step(self) -> list[str]:
        """The sources that keep from being ready, by their names."""
        now, never = self.clock(), float("-inf")
        return [one for one in self.sources if now - self._noted.get(one, never) > self.stale_seconds]

    def problems(self) -> list[str]:
        """What is stale, in words; empty when all is well. A source has from the start as long as later on."""
        now = self.clock()
        ages = {source: now - self._noted.get(source, self._began) for source in self.sources}
        return [
            f"{source}: in step {age:.0f} s ago, which is more than {self.stale_seconds:.0f} s"
            for source, age in ages.items()
            if age > self.stale_seconds
        ]

    def unready(self) -> list[str]:
        """What keeps from being ready: what is stale, what was not seen at all yet, and what is not to be trusted."""
        unseen = [f"{source}: not seen yet" for source in self.sources if source not in self._noted]
        return [*unseen, *self.problems(), *(f"{source}: {problem}" for source, problem in self._faults.items())]


def application(problems: Problems, unready: Problems, metrics: Callable[[], Awaitable[bytes]]) -> web.Application:
    """`/healthz`, `/readyz` and `/metrics`; `metrics` makes the page of that name."""

    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return _verdict(problems())

    async def readyz(_: web.Request) -> web.Response:
        return _verdict(unready())

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
