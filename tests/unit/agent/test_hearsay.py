"""What a list says that may be a moment old: read before it counts."""

import asyncio
from collections.abc import Mapping
from typing import Any

from controller.agent.hearsay import RETRY_SECONDS, Hearsay
from controller.agent.identity import Key
from controller.kube import errors
from controller.kube.versions import Version
from tests.unit.agent.objects import KEY, UID, body
from tests.unit.agent.virtual_time import now, run


class World:
    """A watch, what it delivers to, and an API server that is read."""

    def __init__(self) -> None:
        self.known: dict[Key, Version] = {}
        self.delivered: list[str] = []
        self.read: list[tuple[Key, float]] = []
        self.faults: list[Exception] = []
        self.asked: set[Key] = set()
        self.hearsay = Hearsay(
            lambda kind, _body: self.delivered.append(str(kind)), self._has, lambda key: key in self.asked, self._read
        )

    def _has(self, key: Key, version: Version) -> bool:
        known = self.known.get(key)
        return known is not None and known[0] == version[0] and int(known[1]) >= int(version[1])

    async def _read(self, key: Key) -> None:
        self.read.append((key, round(now(), 1)))
        if self.faults:
            raise self.faults.pop()
        self.known[key] = (UID, "100")

    def list(self, *bodies: Mapping[str, Any]) -> None:
        for one in bodies:
            self.hearsay.deliver(None, one)

    async def settle(self) -> None:
        async with asyncio.timeout(10):
            task = asyncio.create_task(self.hearsay.run())
            await asyncio.sleep(5)
            task.cancel()


def _listed(version: str) -> dict[str, Any]:
    made = body()
    made["metadata"]["resourceVersion"] = version
    return made


def test_what_a_list_says_is_read_and_not_taken_for_true() -> None:
    async def main() -> None:
        world = World()
        world.list(_listed("7"))
        await world.settle()
        assert ([key for key, _ in world.read], world.delivered) == ([KEY], [])

    run(main())


def test_what_is_known_already_is_not_read() -> None:
    async def main() -> None:
        world = World()
        world.known[KEY] = (UID, "7")
        world.list(_listed("7"), _listed("6"))
        await world.settle()
        assert world.read == []

    run(main())


def test_what_is_asked_for_anyway_is_not_read_twice() -> None:
    async def main() -> None:
        world = World()
        world.asked.add(KEY)
        world.list(_listed("7"))
        await world.settle()
        assert (world.read, world.delivered) == ([], [])

    run(main())


def test_what_became_known_meanwhile_is_not_read() -> None:
    async def main() -> None:
        world = World()
        world.list(_listed("7"))
        world.known[KEY] = (UID, "8")
        await world.settle()
        assert world.read == []

    run(main())


def test_an_object_that_was_made_again_under_its_name_is_read() -> None:
    async def main() -> None:
        world = World()
        world.known[KEY] = ("another", "9")
        world.list(_listed("7"))
        await world.settle()
        assert [key for key, _ in world.read] == [KEY]

    run(main())


def test_a_read_that_fails_is_made_again() -> None:
    async def main() -> None:
        world = World()
        world.faults = [errors.Unavailable("away"), errors.Unavailable("away")]
        world.list(_listed("7"))
        since = round(now(), 1)
        await world.settle()
        assert [when for _, when in world.read] == [since, since + RETRY_SECONDS, since + 2 * RETRY_SECONDS]

    run(main())


def test_events_of_the_watch_are_handed_on_at_once() -> None:
    async def main() -> None:
        world = World()
        for kind in ("ADDED", "MODIFIED", "DELETED"):
            world.hearsay.deliver(kind, _listed("7"))
        assert (world.delivered, world.read) == (["ADDED", "MODIFIED", "DELETED"], [])

    run(main())
