"""The exec check against a real containerd: what is answered, in what time, and that nothing of it is left."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controller.agent import shims
from controller.agent.checks import commands
from controller.agent.checks.commands import EXEC_ID
from controller.agent.checks.prober import Prober
from controller.agent.checks.state import CheckRun
from controller.agent.checks.target import Target
from controller.containerd import errors
from controller.containerd.client import Containerd
from hack.lab import containerd_daemon
from tests.integration.checks.conftest import Start, check

pytestmark = pytest.mark.feature("L14")
FOREVER = "sleep 1000000"
STOPS_ALL = "while :; do kill -STOP -1; usleep 2000; done"
"""A container that lets nothing be started in it: whatever else appears is stopped before it is a command."""


async def run(prober: Prober, target: Target, script: str, **fields: object) -> CheckRun:
    made = await prober.check(target, check(exec={"command": ["sh", "-c", script]}, **fields))
    assert made is not None
    return made


def processes_of(container_id: str) -> list[str]:
    """The commands that run in a container's cgroup; what has ended and waits for its parent has none any more."""
    found = []
    for cgroup in Path("/proc").glob("[0-9]*/cgroup"):
        try:
            if container_id in cgroup.read_text():
                found.append((cgroup.parent / "cmdline").read_text().replace("\0", " ").strip())
        except OSError:
            continue
    return sorted(filter(None, found))


def field(pid: str, name: str) -> str:
    """A field of a process's status; empty when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return ""
    return next(line.split("\t")[1] for line in lines if line.startswith(f"{name}:"))


def unstarted(pid: int) -> list[str]:
    """What the shim of a container's first process has inherited of starts that were given up."""
    shim = field(str(pid), "PPid")
    numbers = [one.name for one in Path("/proc").glob("[0-9]*") if field(one.name, "PPid") == shim]
    return [name for name in (field(number, "Name") for number in numbers) if name.startswith("runc:[")]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.02)


async def forgotten(client: Containerd, container_id: str) -> bool:
    """Whether containerd knows nothing of a check any more."""
    try:
        await client.tasks.wait(container_id, EXEC_ID, timeout=5)
    except errors.NotFound:
        return True
    return False


async def test_exit_code_and_output_are_those_of_the_command(client: Containerd, prober: Prober, start: Start) -> None:
    target = await start(FOREVER)
    made = await run(prober, target, "echo well; echo though >&2")
    assert (made.exit_code, sorted(made.output.split())) == (0, ["though", "well"])
    assert made.start <= made.end
    assert (await run(prober, target, "echo ill; exit 3")).exit_code == 3
    assert (await run(prober, target, "kill -9 $$")).exit_code == 137
    assert await forgotten(client, target.container_id)


async def test_it_runs_as_the_process_itself_does(prober: Prober, start: Start) -> None:
    made = await run(prober, await start(FOREVER), "pwd; echo $PATH; id -u; cat /proc/1/cmdline")
    assert made.output.split() == ["/", "/usr/local/bin:/usr/bin:/bin", "0", "sleep1000000"]


async def test_a_command_that_is_not_there_has_failed(client: Containerd, prober: Prober, start: Start) -> None:
    target = await start(FOREVER)
    made = await prober.check(target, check(exec={"command": ["no-such-command"]}))
    assert made is not None
    assert made.exit_code == 127
    assert "no-such-command" in made.output
    assert await forgotten(client, target.container_id)


async def test_one_that_hangs_is_killed_with_its_children(client: Containerd, prober: Prober, start: Start) -> None:
    target = await start(FOREVER)
    before = time.monotonic()
    made = await run(prober, target, "echo begun; sleep 777 & sleep 888; wait", timeoutSeconds=0.5)
    assert time.monotonic() - before < 10
    assert made.exit_code == -1
    assert made.output.splitlines() == ["not done within 0.5 s", "begun"]
    assert processes_of(target.container_id) == [FOREVER]
    assert await forgotten(client, target.container_id)


async def test_ten_megabytes_of_output_do_no_harm(prober: Prober, start: Start) -> None:
    made = await run(prober, await start(FOREVER), "echo first; yes | head -c 10000000; exit 4", timeoutSeconds=20)
    assert made.exit_code == 4
    assert made.output.startswith("first\ny\ny")
    assert 1000 < len(made.output) <= 1024


async def test_endless_output_ends_with_the_time(prober: Prober, start: Start) -> None:
    target = await start(FOREVER)
    busy = time.process_time()
    made = await run(prober, target, "yes", timeoutSeconds=1)
    assert made.exit_code == -1
    assert processes_of(target.container_id) == [FOREVER]
    assert time.process_time() - busy < 0.7, "the reader rests"


async def test_a_daemon_that_it_leaves_does_not_hold_it_up(prober: Prober, start: Start) -> None:
    target = await start(FOREVER)
    made = await run(prober, target, "setsid sleep 555 & echo done")
    assert (made.exit_code, made.output) == (0, "done")


async def test_what_a_killed_agent_left_is_cleared_away_by_the_next_check(
    client: Containerd, prober: Prober, start: Start
) -> None:
    target = await start(FOREVER)
    process = {**(await client.containers.get(target.container_id)).spec["process"], "args": ["sleep", "999"]}
    await client.tasks.exec(target.container_id, EXEC_ID, process)
    await client.tasks.start(target.container_id, EXEC_ID)
    assert processes_of(target.container_id) == [FOREVER, "sleep 999"]
    assert (await run(prober, target, "echo well")).output == "well"
    assert processes_of(target.container_id) == [FOREVER]
    assert await forgotten(client, target.container_id)


async def test_a_check_that_is_given_up_leaves_nothing(client: Containerd, prober: Prober, start: Start) -> None:
    target = await start(FOREVER)
    checking = asyncio.create_task(run(prober, target, "sleep 444", timeoutSeconds=60))
    await until(lambda: "sleep 444" in processes_of(target.container_id))
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert processes_of(target.container_id) == [FOREVER]
    assert await forgotten(client, target.container_id)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is found to do so soon."""
    monkeypatch.setattr(commands, "START_SECONDS", 1.0)
    monkeypatch.setattr(commands, "_CLEAR_SECONDS", 1.0)
    monkeypatch.setattr(commands, "_ANSWER_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
async def test_one_that_can_not_be_started_has_failed_and_leaves_nothing(
    client: Containerd, prober: Prober, start: Start
) -> None:
    target, other = await start(STOPS_ALL), await start(FOREVER)
    answers = []
    for _ in range(20):
        hanging, well = await asyncio.gather(
            run(prober, target, "true", timeoutSeconds=0.5), run(prober, other, "echo well")
        )
        assert (well.exit_code, well.output) == (0, "well")
        answers.append((hanging.exit_code, hanging.output))
        if answers.count((-1, "not started within 1 s")) == 2:
            break  # on a busy node a command may be through before it can be stopped
    assert answers.count((-1, "not started within 1 s")) == 2, answers
    await until(lambda: unstarted(target.pid) == [])
    assert await forgotten(client, target.container_id)


@pytest.mark.usefixtures("impatient")
async def test_one_whose_shim_is_stuck_has_failed_until_that_goes_on(
    client: Containerd, prober: Prober, start: Start
) -> None:
    target = await start(FOREVER)
    shim = next(one for one in shims.find(client.address, client.namespace) if one.container_id == target.container_id)
    os.kill(shim.pid, signal.SIGSTOP)
    try:
        made = await run(prober, target, "true", timeoutSeconds=0.5)
        assert (made.exit_code, made.output) == (-1, "not started within 1 s")
    finally:
        os.kill(shim.pid, signal.SIGCONT)
    assert (await run(prober, target, "echo well")).output == "well"
    assert await forgotten(client, target.container_id)


@pytest.mark.usefixtures("impatient")
async def test_a_containerd_that_hangs_while_a_command_is_started_gives_no_answer(
    containerd: containerd_daemon.Containerd,
    client: Containerd,
    prober: Prober,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = await start(FOREVER)
    make = client.tasks.exec

    async def stopped_first(*given: Any, **options: Any) -> None:
        os.kill(containerd.daemon.pid, signal.SIGSTOP)
        await make(*given, **options)

    monkeypatch.setattr(client.tasks, "exec", stopped_first)
    try:
        asked = prober.check(target, check(exec={"command": ["true"]}, timeoutSeconds=5))
        assert await asked is None
    finally:
        os.kill(containerd.daemon.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert (await run(prober, target, "echo well")).output == "well"


async def test_a_container_that_is_gone_gives_no_answer(prober: Prober) -> None:
    assert await prober.check(Target("nobody", 2**22, "shop"), check(exec={"command": ["true"]})) is None
    assert await prober.check(Target("nobody", 2**22, "shop"), check(tcpSocket={"port": 80})) is None
