"""Connections that hang, in virtual time: those to other containers go on, and so many descriptors are in use at most."""

import asyncio
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent.checks.answer import Answer
from controller.agent.checks.prober import PATIENCE_SECONDS, Prober
from controller.agent.checks.target import Target
from controller.api.container import HealthCheck
from tests.unit.agent import virtual_time
from tests.unit.agent.virtual_time import now

pytestmark = pytest.mark.feature("L14")
CHECK = HealthCheck.model_validate({"tcpSocket": {"port": 80}, "timeoutSeconds": 86400})


class Connections(Prober):
    """A prober of containers of which some never answer."""

    def __init__(self, directory: Path) -> None:
        super().__init__(cast(Any, SimpleNamespace(tasks=None, containers=None)), directory)
        self.now = 0
        self.most = 0

    async def _connect(self, target: Target, check: HealthCheck) -> Answer:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(1e9 if target.namespace == "hanging" else 0.1)
        finally:
            self.now -= 1
        return Answer(0)


def limited(monkeypatch: pytest.MonkeyPatch, descriptors: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))


@pytest.mark.parametrize(
    ("descriptors", "hanging", "most"),
    [(2**20, 1000, 1001), (16384, 1000, 1001), (4096, 500, 501), (1024, 128, 129)],
)
def test_a_day_of_hanging_connections_holds_up_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptors: int, hanging: int, most: int
) -> None:
    limited(monkeypatch, descriptors)

    async def live() -> None:
        asks = Connections(tmp_path)
        hung = [asyncio.create_task(asks.check(Target(str(number), 1, "hanging"), CHECK)) for number in range(hanging)]
        await asyncio.sleep(60)
        for _ in range(10):
            since = now()
            made = await asks.check(Target("web", 1, "shop"), CHECK)
            assert made is not None
            assert made.exit_code == 0
            assert now() - since <= PATIENCE_SECONDS
        assert asks.most == most
        failed = [made for made in await asyncio.gather(*hung) if made is not None]
        assert {made.exit_code for made in failed} == {-1}
        assert len(failed) == hanging
        asks.close()

    virtual_time.run(live())


def test_descriptors_are_left_to_the_rest_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limited(monkeypatch, 1024)

    async def live() -> None:
        asks = Connections(tmp_path)
        hung = [asyncio.create_task(asks.check(Target(str(number), 1, "hanging"), CHECK)) for number in range(1000)]
        await asyncio.sleep(60)
        assert asks.most == 64 + 128
        for one in hung:
            one.cancel()
        await asyncio.gather(*hung, return_exceptions=True)
        asks.close()

    virtual_time.run(live())
