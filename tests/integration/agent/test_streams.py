"""The output of real containers, through the pipes of real shims, into logs that lose nothing and repeat nothing."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from controller.agent.excerpts import Output
from controller.agent.observation import ObservedContainer, ObservedTask, TaskState
from controller.agent.streams import logs, pipes
from controller.agent.streams.capture import Limits
from controller.agent.streams.hub import Stdio, Streams
from controller.api.container import LoggingDriver
from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.pull.image import Image
from controller.containerd.tasks import Exit
from tests import logged
from tests.integration.containerd.running import SNAPSHOTTER, Box, make_box

RECORD = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) [FP] .*")
SECONDS = 20.0
UID = "11111111-aaaa"
Print = Callable[..., Awaitable["Printer"]]


class NodeWithLogs:
    """A node with an agent's streams, which can be closed and opened anew."""

    def __init__(self, directory: Path) -> None:
        self.run_dir, self.log_dir = directory / "run", directory / "log"
        self.limits = Limits(2**30, 3)
        self.present: list[ObservedContainer] = []
        self.open()

    def open(self) -> None:
        self.streams = Streams(self.run_dir, self.log_dir, lambda _: self.limits)
        self.streams.open(self.present)


class Printer:
    """A container that prints, and what is kept of it."""

    def __init__(self, node: NodeWithLogs, box: Box, driver: LoggingDriver, *, tty: bool) -> None:
        self.node, self.box, self.driver, self.tty = node, box, driver, tty
        task = ObservedTask(TaskState.RUNNING, 1)
        self.observed = ObservedContainer(box.id, ("shop", box.id), UID, "", log_driver=driver, task=task)

    @property
    def directory(self) -> Path:
        return logs.directory_of(self.node.log_dir, self.observed.key, UID)

    @property
    def lines(self) -> list[str]:
        """All lines of the last run."""
        return logged.lines(self.directory)

    async def start(self) -> None:
        stdio = self.node.streams.prepare(self.observed, self.driver, tty=self.tty)
        rootfs = await self.box.client.snapshots.mounts(SNAPSHOTTER, self.box.id)
        await self.box.client.tasks.create(
            self.box.id, rootfs, stdout=stdio.stdout, stderr=stdio.stderr, terminal=self.tty
        )
        await self.box.start()

    async def ended(self) -> Exit:
        return await self.box.client.tasks.wait(self.box.id, timeout=SECONDS)

    async def remove(self) -> None:
        await self.box.remove()
        self.node.streams.release(self.box.id)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds():  # noqa: ASYNC110 - nobody tells when a file has changed
                await asyncio.sleep(0.01)


@pytest.fixture
async def node(node_directory: Path) -> AsyncIterator[NodeWithLogs]:
    made = NodeWithLogs(node_directory)
    yield made
    made.streams.close()
    shutil.rmtree(made.run_dir)  # which ends the holder, too


@pytest.fixture
def printing(client: Containerd, busybox: Image, node: NodeWithLogs) -> Print:
    async def make(script: str, *, driver: LoggingDriver = LoggingDriver.CRI, tty: bool = False) -> Printer:
        box = await make_box(client, busybox, "sh", "-c", script, create=False, terminal=tty)
        made = Printer(node, box, driver, tty=tty)
        node.present.append(made.observed)
        await made.start()
        return made

    return make


@pytest.mark.feature("X1")
async def test_what_a_container_prints_is_in_its_log(printing: Print, node: NodeWithLogs) -> None:
    one = await printing("echo out; echo err >&2; printf 'not ended'")
    await one.ended()
    output = await node.streams.drained(one.observed)
    await one.remove()

    log = (one.directory / "0.log").read_text()
    assert all(RECORD.fullmatch(line) for line in log.splitlines())
    assert sorted(line.split(" ", 1)[1] for line in log.splitlines()) == [
        "stderr F err",
        "stdout F out",
        "stdout P not ended",
    ]
    assert {"out", "err"} <= set(output.text.split("\n"))
    assert list(pipes.found(node.run_dir / "streams")) == []


@pytest.mark.feature("X1")
async def test_a_terminal_has_one_stream(printing: Print) -> None:
    one = await printing("echo out; echo err >&2; test -t 1 && echo terminal", tty=True)
    await one.ended()
    await one.remove()

    assert one.lines == ["out\r", "err\r", "terminal\r"]


@pytest.mark.feature("X1")
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
async def test_driver_file_keeps_the_bytes_without_an_agent(printing: Print, node: NodeWithLogs, tty: bool) -> None:
    one = await printing("sleep 0.3; echo out; echo err >&2", driver=LoggingDriver.FILE, tty=tty)
    node.streams.close()
    await one.ended()
    node.open()
    await one.remove()
    output = await node.streams.drained(one.observed)

    assert sorted((one.directory / "0.out").read_text().split()) == ["err", "out"]
    assert sorted(output.text.split()) == ["err", "out"]


@pytest.mark.feature("X1")
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
async def test_driver_none_keeps_nothing(printing: Print, node: NodeWithLogs, tty: bool) -> None:
    one = await printing("echo out; echo err >&2", driver=LoggingDriver.NONE, tty=tty)
    await one.ended()
    output = await node.streams.drained(one.observed)
    await one.remove()

    assert output == Output()
    assert not node.log_dir.exists()


@pytest.mark.feature("X1", "L15")
async def test_a_container_waits_for_the_next_agent_and_goes_on(printing: Print, node: NodeWithLogs) -> None:
    count, padding = 100_000, "x" * 100
    pause = "[ $((i % 1000)) = 0 ] && sleep 0.02"
    one = await printing(f"i=0; while [ $i -lt {count} ]; do echo $i {padding}; i=$((i+1)); {pause}; done; sleep 1000")
    for _ in range(3):
        seen = len(one.lines)
        await one.until(lambda seen=seen: len(one.lines) > seen)  # type: ignore[misc]
        node.streams.close()
        await asyncio.sleep(0.2)
        node.open()
    await one.until(lambda: len(one.lines) >= count)

    assert one.lines == [f"{number} {padding}" for number in range(count)]


@pytest.mark.feature("X1", "L15")
@pytest.mark.parametrize("tty", [False, True], ids=["pipes", "tty"])
async def test_what_is_printed_last_waits_for_the_next_agent(printing: Print, node: NodeWithLogs, tty: bool) -> None:
    one = await printing(f"sleep 0.5; yes {'x' * 79} | head -n 5000; echo last words", tty=tty)
    node.streams.close()
    await one.ended()
    node.open()
    output = await node.streams.drained(one.observed)
    await one.remove()

    assert len(one.lines) == 5001
    assert output.text.endswith("last words")


@pytest.mark.feature("X1", "L15")
async def test_a_shim_that_has_no_agent_yet_finds_its_pipes_open(
    client: Containerd, busybox: Image, node: NodeWithLogs
) -> None:
    one = Printer(node, await make_box(client, busybox, "true", create=False), LoggingDriver.CRI, tty=False)
    stdio = node.streams.prepare(one.observed, LoggingDriver.CRI, tty=False)
    node.streams.close()
    rootfs = await client.snapshots.mounts(SNAPSHOTTER, one.box.id)
    await client.tasks.create(one.box.id, rootfs, stdout=stdio.stdout, stderr=stdio.stderr, timeout=5)
    node.open()

    await client.tasks.delete(one.box.id)


@pytest.mark.feature("L3", "L15")
async def test_an_attempt_that_is_still_being_cleared_away_is_there_already(
    client: Containerd, busybox: Image, node_directory: Path
) -> None:
    box = await make_box(client, busybox, "true", create=False)
    fifos = [node_directory / name for name in pipes.STREAMS]
    for fifo in fifos:
        pipes.make(fifo)
    rootfs = await client.snapshots.mounts(SNAPSHOTTER, box.id)
    # Nobody reads the pipes, so the shim waits for longer than its caller does.
    with pytest.raises(errors.DeadlineExceeded):
        await client.tasks.create(box.id, rootfs, stdout=str(fifos[0]), stderr=str(fifos[1]), timeout=1)
    with pytest.raises(errors.AlreadyExists):
        await client.tasks.create(box.id, rootfs)
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await client.tasks.create(box.id, rootfs)
                break
            except errors.AlreadyExists:
                await asyncio.sleep(0.1)


@pytest.mark.feature("X1")
async def test_a_container_that_prints_without_an_end_fills_no_disk(printing: Print, node: NodeWithLogs) -> None:
    node.limits = Limits(100_000, 3)
    one = await printing("yes 'the same line again and again'")
    await one.until(lambda: len(logs.rotated(one.directory / "0.log")) == 2)
    first = logs.rotated(one.directory / "0.log")[0]
    await one.until(lambda: not first.exists())
    await one.box.client.tasks.kill(one.box.id, 9)
    await one.ended()
    await one.remove()

    assert len(logs.rotated(one.directory / "0.log")) == 2
    assert set(one.lines[:-1]) == {"the same line again and again"}


@pytest.mark.feature("X1")
async def test_a_second_run_has_a_log_of_its_own(printing: Print, node: NodeWithLogs) -> None:
    one = await printing("echo $$ run")
    await one.ended()
    await one.box.client.tasks.delete(one.box.id)
    node.streams.release(one.box.id)
    await one.start()
    await one.ended()
    await one.remove()

    assert [path.name for path in logs.runs(one.directory)] == ["0.log", "1.log"]
    assert one.lines == ["1 run"]


async def test_a_start_that_is_tried_again_goes_on_in_the_same_log(printing: Print, node: NodeWithLogs) -> None:
    one = await printing("echo out; sleep 1000")
    await one.until(lambda: one.lines == ["out"])
    again = node.streams.prepare(one.observed, LoggingDriver.CRI, tty=False)

    assert again == Stdio(*(str(node.run_dir / "streams" / f"{one.box.id}.{name}") for name in pipes.STREAMS))
    assert [path.name for path in logs.runs(one.directory)] == ["0.log"]


@pytest.mark.feature("L15")
async def test_pipes_of_containers_that_are_gone_are_removed(node: NodeWithLogs) -> None:
    node.streams.close()
    gone = uuid4().hex * 2
    for name in pipes.STREAMS:
        pipes.make(pipes.path_of(node.run_dir / "streams", gone, name))
    Path(pipes.rest_of(pipes.path_of(node.run_dir / "streams", gone, "stdout"))).write_text("the beginning of a line")

    node.open()

    assert [path.name for path in (node.run_dir / "streams").iterdir()] == ["journal"]
