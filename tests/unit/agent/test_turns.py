"""Turns: what hangs keeps the others from nothing, tenants take turns, and no turn is lost or given twice."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.checks.turns import MEMORY_SECONDS, Turns
from tests.unit.agent import virtual_time
from tests.unit.agent.virtual_time import now

pytestmark = pytest.mark.feature("L14")
PATIENCE = 2.0


class Crowd:
    """Those that ask for turns, who has one, and who had one when."""

    def __init__(self, quick: int = 2, slow: int = 3) -> None:
        self.turns = Turns(quick, slow, PATIENCE)
        self.inside: set[str] = set()
        self.most = 0
        self.began: dict[str, list[float]] = {}

    async def ask(self, owner: str, seconds: float, tenant: str = "shop") -> None:
        async with self.turns.turn(tenant, owner):
            assert owner not in self.inside
            self.inside.add(owner)
            self.most = max(self.most, len(self.inside))
            self.began.setdefault(owner, []).append(now())
            try:
                await asyncio.sleep(seconds)
            finally:
                self.inside.remove(owner)

    def asked(self, owner: str, seconds: float, tenant: str = "shop") -> asyncio.Task[None]:
        return asyncio.create_task(self.ask(owner, seconds, tenant))


def in_virtual_time(scene: Callable[[Crowd], Coroutine[Any, Any, None]]) -> Crowd:
    """Act a scene with a crowd, whose every turn has been given back in the end."""

    async def act() -> Crowd:
        crowd = Crowd()
        await scene(crowd)
        assert not crowd.inside
        everyone = [crowd.asked(f"last-{number}", 0.1) for number in range(2)]
        since = now()
        await asyncio.gather(*everyone)
        assert now() - since == pytest.approx(0.1), "all turns are free again"
        return crowd

    return virtual_time.run(act())


def test_so_many_at_once_and_the_rest_in_order() -> None:
    async def scene(crowd: Crowd) -> None:
        await asyncio.gather(*(crowd.ask(f"web-{number}", 1) for number in range(6)))

    crowd = in_virtual_time(scene)
    assert [crowd.began[f"web-{number}"] for number in range(6)] == [[0], [0], [1], [1], [2], [2]]
    assert crowd.most == 2


def test_what_hangs_is_put_aside_and_the_others_go_on() -> None:
    async def scene(crowd: Crowd) -> None:
        hanging = [crowd.asked(f"hanging-{number}", 1000) for number in range(2)]
        await asyncio.sleep(0)
        await crowd.ask("web", 1)
        assert crowd.began["web"] == [PATIENCE]
        await asyncio.gather(*hanging)

    in_virtual_time(scene)


def test_what_hung_before_holds_up_nobody_the_next_time() -> None:
    async def scene(crowd: Crowd) -> None:
        names = [f"hanging-{number}" for number in range(3)]
        for name in names:
            await crowd.ask(name, 10)
        hanging = [crowd.asked(name, 1000) for name in names]
        await asyncio.sleep(0)
        since = now()
        await crowd.ask("web", 1)
        assert crowd.began["web"] == [since]
        await asyncio.gather(*hanging)

    in_virtual_time(scene)


def test_only_so_many_hang_at_once_and_each_comes_to_its_turn() -> None:
    async def scene(crowd: Crowd) -> None:
        names = [f"hanging-{number}" for number in range(9)]
        await asyncio.gather(*(crowd.ask(name, 10) for name in names))
        await asyncio.gather(*(crowd.ask(name, 10) for name in names))
        assert crowd.most == 5
        crowd.most = 0
        await asyncio.gather(*(crowd.ask(name, 10) for name in names))
        assert crowd.most == 3
        assert all(len(crowd.began[name]) == 3 for name in names)

    in_virtual_time(scene)


def test_a_storm_of_hanging_ones_keeps_another_tenant_waiting_for_one_turn_only() -> None:
    async def scene(crowd: Crowd) -> None:
        storm = [crowd.asked(f"hanging-{number}", 10) for number in range(200)]
        await asyncio.sleep(1)
        waited = []
        for _ in range(10):
            since = now()
            await crowd.ask("web", 0.1, tenant="other")
            waited.append(now() - since)
            await asyncio.sleep(3)
        assert max(waited) <= 10.1
        await asyncio.gather(*storm)

    in_virtual_time(scene)


@pytest.mark.parametrize(
    ("quiet", "slow"),
    [(1.0, True), (MEMORY_SECONDS + 1, False)],
    ids=["it is taken for slow", "that is forgotten after a while"],
)
def test_one_that_was_slow(quiet: float, slow: bool) -> None:
    async def scene(crowd: Crowd) -> None:
        await crowd.ask("web", PATIENCE)
        await asyncio.sleep(quiet)
        others = [crowd.asked(f"other-{number}", 1) for number in range(2)]
        await asyncio.sleep(0)
        since = now()
        await crowd.ask("web", 0.1)
        assert (crowd.began["web"][-1] == since) is slow, "a slow one does not wait for the quick ones"
        await asyncio.gather(*others)

    in_virtual_time(scene)


def test_one_that_is_quick_again_is_among_the_quick() -> None:
    async def scene(crowd: Crowd) -> None:
        await crowd.ask("web", 10)
        await crowd.ask("web", 0.1)
        others = [crowd.asked(f"other-{number}", 1) for number in range(2)]
        await asyncio.sleep(0)
        since = now()
        await crowd.ask("web", 0.1)
        assert crowd.began["web"][-1] == since + 1
        await asyncio.gather(*others)

    in_virtual_time(scene)


def test_one_that_gives_up_waiting_takes_no_turn() -> None:
    async def scene(crowd: Crowd) -> None:
        holding = [crowd.asked(f"holding-{number}", 1) for number in range(2)]
        await asyncio.sleep(0.5)
        waiting = [crowd.asked(f"web-{number}", 1) for number in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.gather(*holding)
        waiting[1].cancel()  # in the moment in which it is its turn
        await asyncio.gather(*waiting, return_exceptions=True)
        assert crowd.began["web-2"] == [1]

    in_virtual_time(scene)


@given(seed=st.integers(0, 2**32), names=st.integers(1, 12))
def test_whatever_happens_no_turn_is_lost_or_given_twice(seed: int, names: int) -> None:
    chance = random.Random(seed)

    async def live(crowd: Crowd, name: str) -> None:
        for _ in range(5):
            await asyncio.sleep(chance.choice([0, 0.5, 3]))
            one = crowd.asked(name, chance.choice([0, 0.1, PATIENCE, 30]), chance.choice("abc"))
            if chance.random() < 0.3:
                await asyncio.sleep(chance.choice([0, 0.1, PATIENCE, 20]))
                one.cancel()
            await asyncio.gather(one, return_exceptions=True)

    async def scene(crowd: Crowd) -> None:
        await asyncio.gather(*(live(crowd, str(number)) for number in range(names)))
        assert crowd.most <= 5

    in_virtual_time(scene)
