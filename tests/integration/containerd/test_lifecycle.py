"""A container's whole life over nothing but the client: what containerd answers at each step."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.event_types import TaskExit
from controller.containerd.pull.image import Image
from controller.containerd.tasks import RuncOptions, TaskStatus
from hack.lab import containerd_daemon
from tests.integration.containerd.running import eventually, make_box

pytestmark = pytest.mark.feature("L4", "L7", "L8", "L11")


async def test_from_created_to_deleted(client: Containerd, busybox: Image) -> None:
    box = await make_box(client, busybox, "sleep", "60")
    created = await client.tasks.get(box.id)
    assert (created.id, created.status, created.exited_at) == (box.id, TaskStatus.CREATED, None)
    exit_of = asyncio.create_task(client.tasks.wait(box.id))
    pid = await box.start()
    assert pid == created.pid
    assert (await client.tasks.get(box.id)).status is TaskStatus.RUNNING
    assert [task.id for task in await client.tasks.list()] == [box.id]
    with pytest.raises(errors.ContainerdError):
        await client.tasks.delete(box.id)
    await client.tasks.kill(box.id, signal.SIGKILL)
    ended = await asyncio.wait_for(exit_of, 10)
    assert ended.status == 128 + signal.SIGKILL
    assert ended.exited_at is not None
    stopped = await client.tasks.get(box.id)
    assert (stopped.status, stopped.exit_status) == (TaskStatus.STOPPED, 137)
    assert (await box.remove()).status == 137
    for gone in (client.tasks.get(box.id), client.tasks.delete(box.id), client.containers.get(box.id)):
        with pytest.raises(errors.NotFound):
            await gone


async def test_a_fast_exit_is_not_missed(client: Containerd, busybox: Image) -> None:
    """By the event, by a wait begun before the start, and by one begun long after."""
    boxes = [await make_box(client, busybox, "sh", "-c", f"exit {code}") for code in range(5)]
    async with client.events.subscribe() as events:
        waits = [asyncio.create_task(client.tasks.wait(box.id, timeout=30)) for box in boxes]
        await asyncio.gather(*(box.start() for box in boxes))
        codes: dict[str, int] = {}
        async with asyncio.timeout(20):
            async for event in events:
                if isinstance(event, TaskExit) and event.is_task:
                    codes[event.container_id] = event.exit_status
                if len(codes) == len(boxes):
                    break
    assert codes == {box.id: code for code, box in enumerate(boxes)}
    assert [one.status for one in await asyncio.gather(*waits)] == [0, 1, 2, 3, 4]
    assert [(await client.tasks.wait(box.id, timeout=5)).status for box in boxes] == [0, 1, 2, 3, 4]
    for box in boxes:
        await box.remove()


async def test_pause_and_resume(client: Containerd, busybox: Image) -> None:
    box = await make_box(client, busybox, "sleep", "60")
    await box.start()
    await client.tasks.pause(box.id)
    assert (await client.tasks.get(box.id)).status is TaskStatus.PAUSED
    await client.tasks.resume(box.id)
    assert (await client.tasks.get(box.id)).status is TaskStatus.RUNNING


async def test_resources_change_while_it_runs(client: Containerd, busybox: Image) -> None:
    box = await make_box(client, busybox, "sleep", "60")
    pid = await box.start()
    await client.tasks.update(box.id, {"memory": {"limit": 64 << 20}, "pids": {"limit": 33}})
    assert _memory_limit(pid) == 64 << 20


def _memory_limit(pid: int) -> int:
    """Return the memory limit that the kernel knows for a process, on cgroup v1 or v2."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return int(Path(f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes").read_text())
        if not controllers and Path(f"/sys/fs/cgroup{path}/memory.max").exists():
            return int(Path(f"/sys/fs/cgroup{path}/memory.max").read_text())
    raise AssertionError("no memory cgroup")


async def test_output_through_fifos(client: Containerd, busybox: Image, tmp_path: Path) -> None:
    readers = {}
    for name in ("stdout", "stderr"):
        os.mkfifo(tmp_path / name, 0o700)
        readers[name] = os.open(tmp_path / name, os.O_RDONLY | os.O_NONBLOCK)
    try:
        out, err = str(tmp_path / "stdout"), str(tmp_path / "stderr")
        box = await make_box(client, busybox, "sh", "-c", "echo out; echo err >&2", stdout=out, stderr=err)
        task = await client.tasks.get(box.id)
        assert (task.stdout, task.stderr) == (out, err)
        await box.start()
        await client.tasks.wait(box.id, timeout=20)
        await box.remove()
        assert {name: os.read(reader, 100) for name, reader in readers.items()} == {
            "stdout": b"out\n",
            "stderr": b"err\n",
        }
    finally:
        for reader in readers.values():
            os.close(reader)


async def test_a_further_process_ends_with_the_first_one_and_is_in_nobodys_way(
    client: Containerd, busybox: Image
) -> None:
    box = await make_box(client, busybox, "sleep", "1000")
    await box.start()
    process = {**(await client.containers.get(box.id)).spec["process"], "args": ["sleep", "1000"]}
    await client.tasks.exec(box.id, "session", process)
    ended = asyncio.create_task(client.tasks.wait(box.id, "session", timeout=20))
    pid = await client.tasks.start(box.id, "session")
    waiting = asyncio.create_task(client.tasks.wait(box.id, timeout=20))
    await client.tasks.kill(box.id, 9)  # the first process alone
    assert [(await one).status for one in (waiting, ended)] == [137, 137]
    await box.remove()
    assert not Path(f"/proc/{pid}").exists()


async def test_a_command_that_is_not_there(client: Containerd, busybox: Image) -> None:
    """With runc the creation succeeds and the start says so."""
    box = await make_box(client, busybox, "no-such-command", create=False)
    with pytest.raises(errors.ContainerdError, match="no-such-command") as caught:
        await box.create_and_start()
    assert caught.value.operation in {"Tasks.Create", "Tasks.Start"}


async def test_another_runtime_binary(client: Containerd, busybox: Image, tmp_path: Path) -> None:
    wrapper, mark = tmp_path / "wrapper", tmp_path / "mark"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {mark}\nexec runc "$@"\n')
    wrapper.chmod(0o755)
    options = RuncOptions(binary_name=str(wrapper))
    box = await make_box(client, busybox, "true", options=options)
    await box.start()
    assert (await client.tasks.wait(box.id, timeout=20)).status == 0
    await box.remove()
    assert "create --bundle" in mark.read_text()


async def test_signals_to_what_is_not_there(client: Containerd) -> None:
    for call in (client.tasks.kill("nobody", 15), client.tasks.pause("nobody"), client.tasks.resume("nobody")):
        with pytest.raises(errors.NotFound):
            await call


async def test_a_running_container_outlives_containerd(
    client: Containerd, busybox: Image, containerd: containerd_daemon.Containerd
) -> None:
    box = await make_box(client, busybox, "sleep", "60")
    pid = await box.start()
    waiting = asyncio.create_task(client.tasks.wait(box.id))
    await client.version.get()
    containerd.kill()
    with pytest.raises(errors.Unavailable):
        await waiting
    with pytest.raises(errors.Unavailable):
        await client.tasks.get(box.id)
    await asyncio.to_thread(containerd.start)
    task = await eventually(lambda: client.tasks.get(box.id), within=2)
    assert (task.status, task.pid) == (TaskStatus.RUNNING, pid)
