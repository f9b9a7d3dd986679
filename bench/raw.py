"""The floor: the bare sequence of containerd calls that runs a container, by grpc.aio, with nothing around it.

Containers.Create, Snapshots.Prepare, Tasks.Create, Tasks.Start, with the very runtime spec that the agent made.
"""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, TypeVar
from uuid import uuid4

from controller.containerd.client import Containerd
from controller.containerd.event_types import TaskExit

SNAPSHOTTER = "overlayfs"
T = TypeVar("T")


@dataclass(frozen=True)
class Template:
    """What a container is made from: the parent snapshot and the runtime spec."""

    parent: str
    spec: dict[str, Any]


async def template(client: Containerd, container_id: str) -> Template:
    """Take the template from a container that the agent made."""
    record = await client.containers.get(container_id)
    parent = (await client.snapshots.stat(SNAPSHOTTER, record.snapshot_key)).parent
    return Template(parent, json.loads(record.spec_json))


async def start(client: Containerd, made_from: Template, *, stdout: str = "", stderr: str = "") -> str:
    """Run one container and return its id."""
    container_id = uuid4().hex * 2
    spec = json.loads(json.dumps(made_from.spec))
    spec["linux"]["cgroupsPath"] = f"/tallyman/{client.namespace}/{container_id}"
    await client.containers.create(
        container_id=container_id, spec=spec, snapshotter=SNAPSHOTTER, snapshot_key=container_id
    )
    # After the record: garbage collection may take a snapshot that nothing refers to at any moment.
    rootfs = await client.snapshots.prepare(SNAPSHOTTER, container_id, made_from.parent)
    await client.tasks.create(container_id, rootfs, stdout=stdout, stderr=stderr)
    await client.tasks.start(container_id)
    return container_id


async def remove(client: Containerd, container_id: str) -> None:
    """Kill and remove one container."""
    waiting = asyncio.create_task(client.tasks.wait(container_id))
    await client.tasks.kill(container_id, signal.SIGKILL, all_processes=True)
    await waiting
    await client.tasks.delete(container_id)
    await client.snapshots.remove(SNAPSHOTTER, container_id)
    await client.containers.delete(container_id)


async def serial(client: Containerd, made_from: Template, count: int) -> list[float]:
    """Seconds of each start, one at a time."""
    seconds = []
    for _ in range(count):
        since = perf_counter()
        container_id = await start(client, made_from)
        seconds.append(perf_counter() - since)
        await remove(client, container_id)
    return seconds


async def burst(client: Containerd, made_from: Template, count: int, at_once: int) -> float:
    """Containers a second, with so many in flight."""
    seats = asyncio.Semaphore(at_once)
    since = perf_counter()
    ids = await asyncio.gather(*(_seated(seats, lambda: start(client, made_from)) for _ in range(count)))
    rate = count / (perf_counter() - since)
    await asyncio.gather(*(_seated(seats, lambda one=one: remove(client, one)) for one in ids))  # type: ignore[misc]
    return rate


async def _seated(seats: asyncio.Semaphore, work: Callable[[], Awaitable[T]]) -> T:
    async with seats:
        return await work()


async def exits(client: Containerd, made_from: Template, count: int) -> list[float]:
    """Seconds from SIGKILL to containerd's exit event."""
    seconds = []
    for _ in range(count):
        container_id = await start(client, made_from)
        async with client.events.subscribe(("/tasks/exit",)) as events:
            since = perf_counter()
            await client.tasks.kill(container_id, signal.SIGKILL, all_processes=True)
            async for event in events:
                if isinstance(event, TaskExit) and event.container_id == container_id:
                    break
            seconds.append(perf_counter() - since)
        await client.tasks.delete(container_id)
        await client.snapshots.remove(SNAPSHOTTER, container_id)
        await client.containers.delete(container_id)
    return seconds
