"""Exec checks whose start hangs, in virtual time: whose fault it is, and that the checks of other containers go on."""

import asyncio
from collections.abc import Awaitable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.agent.checks.answer import Answer, CannotAsk
from controller.agent.checks.commands import HANGING_STARTS, PATIENCE_SECONDS, STARTS_AT_ONCE, Commands
from controller.agent.checks.target import Target
from controller.containerd import errors
from controller.containerd.errors import ContainerdError
from controller.containerd.tasks import Exit
from tests.unit.agent import virtual_time
from tests.unit.agent.virtual_time import now

pytestmark = pytest.mark.feature("L14")
LATE = errors.DeadlineExceeded("any", "Deadline Exceeded")
HUNG = "hung"
"""The beginning of the ids of containers in which nothing can be started."""


class Node:
    """A containerd whose answers are scripted; a call that hangs does so until its deadline."""

    def __init__(self) -> None:
        self.hangs = {"start"}
        """What hangs in those containers; `get` is what concerns no container's processes."""
        self.fails: ContainerdError | None = None
        self.takes = 0.1
        self.stays = False
        """Whether the command of a check before is there, and stays."""
        self.starting: set[str] = set()
        self.most = 0
        self.started: dict[str, list[float]] = {}

    async def _answer(self, call: str, container_id: str, timeout: float) -> None:
        if call in self.hangs and container_id.startswith(HUNG):
            await asyncio.sleep(timeout)
            raise LATE

    async def get(self, container_id: str, timeout: float = 10) -> Any:
        await self._answer("get", container_id, timeout)
        return SimpleNamespace(spec={"process": {"cwd": "/"}})

    async def exec(self, container_id: str, _exec_id: str, _process: Any, *, timeout: float, **_stdio: str) -> None:
        await self._answer("exec", container_id, timeout)
        if self.stays:
            raise errors.AlreadyExists("Tasks.Exec", "there is one")

    async def start(self, container_id: str, _exec_id: str, *, timeout: float) -> int:
        assert container_id not in self.starting
        self.starting.add(container_id)
        self.most = max(self.most, len(self.starting))
        try:
            await self._answer("start", container_id, timeout)
            await asyncio.sleep(self.takes)
            if self.fails:
                raise self.fails
        finally:
            self.starting.remove(container_id)
        self.started.setdefault(container_id, []).append(now())
        return 2**22

    async def wait(self, _container_id: str, _exec_id: str, timeout: float | None = None) -> Exit:
        await asyncio.sleep(0.3)
        return Exit(0, None)

    async def delete_process(self, container_id: str, _exec_id: str) -> None:
        await self._answer("delete", container_id, 20)

    async def kill(self, container_id: str, _signal: int, *, exec_id: str) -> None:
        await self._answer("delete", container_id, 10)

    def commands(self, directory: Path) -> Commands:
        return Commands(cast(Any, SimpleNamespace(tasks=self, containers=self)), directory)


def target(name: str, namespace: str = "shop") -> Target:
    return Target(name, 2**22, namespace)


def ask(node: Node, directory: Path, seconds: float = 1, name: str = HUNG) -> tuple[Answer | None, float]:
    """One check; its answer, or None when it could not be made, and how long it took."""

    async def check() -> tuple[Answer | None, float]:
        try:
            answer: Answer | None = await node.commands(directory).run(target(name), ["true"], seconds)
        except CannotAsk:
            answer = None
        assert not any(directory.iterdir())
        return answer, now()

    return virtual_time.run(check())


@pytest.mark.parametrize(
    ("seconds", "limit"),
    [(1, 5), (8, 8), (86400, 20)],
    ids=["a short timeout is not for the start", "a longer one is", "a very long one is not"],
)
def test_a_start_that_hangs_has_failed_in_time(tmp_path: Path, seconds: float, limit: float) -> None:
    assert ask(Node(), tmp_path, seconds) == (Answer(-1, f"not started within {limit} s"), limit)


@pytest.mark.parametrize(
    ("hangs", "stays", "took"),
    [
        ({"exec"}, False, 5),
        ({"start", "delete"}, False, 15),
        ({"exec", "start", "delete"}, False, 15),
        (set(), True, 5),
    ],
    ids=[
        "its process can't be made",
        "what hangs can't be cleared away either",
        "its shim is stuck",
        "the command of the check before stays",
    ],
)
def test_nothing_can_be_started_in_a_container(tmp_path: Path, hangs: set[str], stays: bool, took: float) -> None:
    node = Node()
    node.hangs, node.stays = hangs, stays
    answer, seconds = ask(node, tmp_path)
    assert answer == Answer(-1, "not started within 5 s")
    assert seconds == pytest.approx(took, abs=0.2)


@pytest.mark.parametrize(
    ("hangs", "fails"),
    [
        ({"get"}, None),
        ({"start"}, errors.NotFound("Tasks.Start", "no such task")),
        (set(), errors.Unavailable("Tasks.Start", "connection refused")),
        (set(), errors.NotFound("Tasks.Start", "no such task")),
        (
            set(),
            ContainerdError("Tasks.Start", "OCI runtime exec failed: fork/exec /no/runc: no such file or directory"),
        ),
    ],
    ids=[
        "containerd hangs",
        "containerd hangs while it starts",
        "containerd is gone",
        "the container has ended",
        "the OCI runtime is gone",
    ],
)
def test_what_says_nothing_about_the_process(tmp_path: Path, hangs: set[str], fails: ContainerdError | None) -> None:
    node = Node()
    node.hangs, node.fails = hangs, fails
    if hangs == {"start"}:
        first, get = [True], node.get

        async def answers_once(container_id: str, timeout: float = 10) -> Any:
            if first.pop() if first else False:
                return await get(container_id, timeout)
            raise LATE

        node.get = answers_once  # type: ignore[method-assign]
    assert ask(node, tmp_path)[0] is None


def test_what_the_runtime_refuses_to_start_has_failed(tmp_path: Path) -> None:
    node = Node()
    node.fails = ContainerdError(
        "Tasks.Start", 'OCI runtime exec failed: exec: "no": executable file not found in $PATH'
    )
    answer, _ = ask(node, tmp_path, name="web")
    assert answer is not None
    assert answer.exit_code == 127


def test_who_gives_up_does_not_wait_for_a_turn(tmp_path: Path) -> None:
    async def give_up() -> float:
        node = Node()
        runner = node.commands(tmp_path)
        hanging = [_asked(runner.run(target(f"{HUNG}-{number}"), ["true"], 1)) for number in range(STARTS_AT_ONCE)]
        await asyncio.sleep(1)
        waiting = _asked(runner.run(target("web"), ["true"], 1))
        await asyncio.sleep(0)
        since = now()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        took = now() - since
        await asyncio.gather(*hanging)
        return took

    assert virtual_time.run(give_up()) == 0


async def _checked(runner: Commands, whose: Target, every: float, until: float) -> None:
    while now() < until:
        await runner.run(whose, ["true"], 1)
        await asyncio.sleep(every)


def _asked(check: Awaitable[Any]) -> "asyncio.Future[Any]":
    return asyncio.ensure_future(check)


def _gaps(node: Node, name: str, until: float) -> float:
    """The longest time for which a container was not checked."""
    times = [0.0, *node.started.get(name, []), until]
    return max(after - before for before, after in pairwise(times))


@pytest.mark.parametrize(
    ("namespace", "at_first", "later"),
    [("shop", 40, 2), ("other", 10, 2)],
    ids=["of the same tenant", "of another tenant"],
)
def test_sixty_that_hang_do_not_keep_others_from_their_checks(
    tmp_path: Path, namespace: str, at_first: float, later: float
) -> None:
    """Once the node has found out which ones hang, they hold up nobody."""
    until = 200.0

    async def live() -> Node:
        node = Node()
        runner = node.commands(tmp_path)
        hung = [target(f"{HUNG}-{number}") for number in range(60)]
        well = [target(f"web-{number}", namespace) for number in range(10)]
        await asyncio.gather(*(_checked(runner, one, 1, until) for one in (*hung, *well)))
        return node

    node = virtual_time.run(live())
    assert node.most <= STARTS_AT_ONCE + HANGING_STARTS
    for number in range(10):
        name = f"web-{number}"
        assert _gaps(node, name, until) <= at_first
        node.started[name] = [0, *(time - 100 for time in node.started[name] if time > 100)]
        assert _gaps(node, name, until - 100) <= later


def test_a_start_that_takes_its_time_is_no_failure(tmp_path: Path) -> None:
    node = Node()
    node.takes = PATIENCE_SECONDS + 1
    assert ask(node, tmp_path, name="web")[0] == Answer(0, "")
