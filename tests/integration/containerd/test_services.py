"""The services one by one where the life of a container does not show them, errors and measurement among them."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from controller.containerd import errors
from controller.containerd.client import Containerd
from controller.containerd.content import ContentTooLarge
from controller.containerd.descriptors import Descriptor
from controller.containerd.digests import digest_of
from controller.containerd.snapshots import SnapshotKind
from hack.lab import containerd_daemon, waiting
from tests.integration.conftest import collect_garbage
from tests.integration.containerd.pulling import SNAPSHOTTER


async def test_which_containerd_it_is(client: Containerd, containerd: containerd_daemon.Containerd) -> None:
    assert (await client.version.get()).version.startswith(containerd.version)
    assert len(await client.introspection.uuid()) == 36
    plugins = await client.introspection.plugins(["type==io.containerd.snapshotter.v1"])
    assert next(plugin for plugin in plugins if plugin.id == SNAPSHOTTER).error is None


async def test_namespaces(client: Containerd) -> None:
    await client.namespaces.ensure(client.namespace)
    assert client.namespace in await client.namespaces.list()


async def test_container_records(client: Containerd) -> None:
    labels = {"tallyman.dev/uid": "u", "plain": "x"}
    made = await client.containers.create(
        container_id="one", spec={"a": [1]}, snapshotter=SNAPSHOTTER, snapshot_key="k", image="i", labels=labels
    )
    read = await client.containers.get("one")
    assert read == made
    assert (read.labels, read.spec, read.image, read.runtime_name) == (labels, {"a": [1]}, "i", "io.containerd.runc.v2")
    assert read.created_at is not None
    with pytest.raises(errors.AlreadyExists):
        await client.containers.create(container_id="one", spec={}, snapshotter=SNAPSHOTTER, snapshot_key="k")
    changed = await client.containers.update_labels("one", {"tallyman.dev/uid": "v", "plain": "", "new.label": "n"})
    assert changed.labels == {"tallyman.dev/uid": "v", "new.label": "n"}
    assert (await client.containers.update_spec("one", b'{"b":2}')).spec == {"b": 2}
    assert [one.id for one in await client.containers.list(['labels."tallyman.dev/uid"==v'])] == ["one"]
    assert await client.containers.list(['labels."tallyman.dev/uid"==w']) == ()
    await client.containers.delete("one")
    with pytest.raises(errors.NotFound, match="one"):
        await client.containers.update_labels("one", {"a": "b"})


async def test_a_bad_identifier_is_an_invalid_argument(client: Containerd) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        await client.containers.create(container_id="a b/c", spec={}, snapshotter=SNAPSHOTTER, snapshot_key="k")
    assert caught.value.operation == "Containers.Create"
    assert not caught.value.transient


async def test_snapshots(client: Containerd) -> None:
    leased = client.leased((await client.leases.create("keep")).id)
    mounts = await leased.snapshots.prepare(SNAPSHOTTER, "base-active")
    assert mounts[0].type in {"bind", "overlay"}
    assert await leased.snapshots.mounts(SNAPSHOTTER, "base-active") == mounts
    await leased.snapshots.commit(SNAPSHOTTER, "base", "base-active")
    await leased.snapshots.view(SNAPSHOTTER, "seen", "base")
    record = await client.snapshots.stat(SNAPSHOTTER, "seen")
    assert (record.kind, record.parent) == (SnapshotKind.VIEW, "base")
    assert {one.name for one in await client.snapshots.list(SNAPSHOTTER)} == {"base", "seen"}
    with pytest.raises(errors.FailedPrecondition):
        await client.snapshots.remove(SNAPSHOTTER, "base")
    with pytest.raises(errors.NotFound):
        await leased.snapshots.prepare(SNAPSHOTTER, "orphan", "no-such-parent")


async def test_a_lease_keeps_and_its_end_lets_go(client: Containerd) -> None:
    lease = await client.leases.create("keeper", expires_in=timedelta(hours=1), labels={"for": "a test"})
    assert lease.labels["containerd.io/gc.expire"].endswith("Z")
    await client.leased("keeper").snapshots.prepare(SNAPSHOTTER, "kept")
    await collect_garbage(client)
    assert (await client.snapshots.stat(SNAPSHOTTER, "kept")).kind is SnapshotKind.ACTIVE
    await client.leases.delete("keeper", wait_for_collection=True)
    with pytest.raises(errors.NotFound):
        await client.snapshots.stat(SNAPSHOTTER, "kept")


async def test_a_lease_that_has_expired_keeps_nothing(client: Containerd) -> None:
    await client.leases.create("expired", expires_in=timedelta(seconds=-5))
    await collect_garbage(client)
    assert await client.leases.list() == ()


async def test_content_is_written_resumed_and_bounded(client: Containerd) -> None:
    data = bytes(range(256)) * 8192
    digest = digest_of(data)
    async with client.content.writer("ref", total=len(data), expected=digest) as writer:
        await writer.write(data[:1000])
    assert (await client.content.status("ref")).offset == 1000
    async with client.content.writer("ref", total=len(data), expected=digest) as writer:
        assert writer.offset == 1000
        with pytest.raises(errors.Unavailable, match="locked"):
            async with client.content.writer("ref"):
                pass
        await writer.write(data[1000:])
        await writer.commit(len(data), digest, {"containerd.io/gc.root": "now"})
    assert (await client.content.info(digest)).size == len(data)
    assert await client.content.read(digest, len(data)) == data
    with pytest.raises(ContentTooLarge):
        await client.content.read(digest, 1000)
    with pytest.raises(errors.AlreadyExists):
        async with client.content.writer("again", total=len(data), expected=digest):
            pass
    assert (await client.content.update_labels(digest, {"a": "b"})).labels["a"] == "b"
    await client.content.delete(digest)
    with pytest.raises(errors.NotFound):
        await client.content.read(digest, 1000)


async def write_all(client: Containerd, ref: str, data: bytes, digest: str) -> None:
    async with client.content.writer(ref, total=len(data), expected=digest) as writer:
        await writer.write(data)
        await writer.commit(len(data), digest, {})


async def test_a_commit_of_wrong_content_is_refused(client: Containerd) -> None:
    wrong = digest_of(b"something else")
    with pytest.raises(errors.FailedPrecondition):
        await write_all(client, "wrong", b"data", wrong)
    await client.content.abort("wrong")
    with pytest.raises(errors.NotFound):
        await client.content.abort("wrong")


async def test_a_writer_starts_over(client: Containerd) -> None:
    digest = digest_of(b"right")
    async with client.content.writer("over", total=5, expected=digest) as writer:
        await writer.write(b"wro")
        writer.restart()
        await writer.write(b"right")
        await writer.commit(5, digest, {"containerd.io/gc.root": "now"})
    assert await client.content.read(digest, 10) == b"right"
    await client.content.delete(digest)


async def test_image_records(client: Containerd) -> None:
    data = b"{}"
    target = Descriptor("application/json", digest_of(data), len(data))
    await client.images.create("name", target, {"a": "b"})
    with pytest.raises(errors.AlreadyExists):
        await client.images.create("name", target)
    updated = await client.images.update("name", target, {"c": "d"})
    assert (updated.target, updated.labels) == (target, {"a": "b", "c": "d"})
    assert [one.name for one in await client.images.list(["name==name"])] == ["name"]
    await client.images.delete("name", wait_for_collection=True)
    with pytest.raises(errors.NotFound):
        await client.images.get("name")


async def test_each_call_is_told_to_the_observer(containerd: containerd_daemon.Containerd) -> None:
    seen: list[tuple[str, float, str]] = []
    async with Containerd(containerd.address, "observed", lambda *call: seen.append(call)) as client:
        await client.version.get()
        with pytest.raises(errors.NotFound):
            await client.tasks.get("nobody")
        await client.snapshots.list(SNAPSHOTTER)
    assert [(operation, code) for operation, _, code in seen] == [
        ("Version.Version", "OK"), ("Tasks.Get", "NOT_FOUND"), ("Snapshots.List", "OK"),
    ]  # fmt: skip
    assert all(0 < seconds < 5 for _, seconds, _ in seen)


def _is_stopped(pid: int) -> bool:
    """Whether a signal to stop has come to all threads of a process; until then it may still answer."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(thread.read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


async def test_a_containerd_that_hangs(containerd: containerd_daemon.Containerd) -> None:
    async with Containerd(containerd.address, "hangs") as client:
        await client.version.get()
        os.kill(containerd.daemon.pid, signal.SIGSTOP)
        try:
            waiting.until(lambda: _is_stopped(containerd.daemon.pid), what="every thread stopped", timeout=10)
            with pytest.raises(errors.DeadlineExceeded) as caught:
                await client.version.get(timeout=0.2)
            with pytest.raises(errors.DeadlineExceeded):
                async with client.events.subscribe(timeout=0.2):
                    pass
        finally:
            os.kill(containerd.daemon.pid, signal.SIGCONT)
        assert caught.value.transient
        await client.version.get()


async def test_closing_ends_what_is_under_way(containerd: containerd_daemon.Containerd) -> None:
    client = Containerd(containerd.address, "closing")
    async with client.events.subscribe() as events:
        stream = events.__aiter__()
        listening = asyncio.ensure_future(stream.__anext__())
        await asyncio.wait({listening}, timeout=0.05)
        await client.close()
        with pytest.raises(errors.Unavailable):
            await listening
    with pytest.raises(errors.Unavailable, match="closed"):
        await client.version.get()


async def test_a_containerd_that_is_not_there() -> None:
    async with Containerd("/nowhere/containerd.sock", "absent") as nobody:
        with pytest.raises(errors.Unavailable):
            await nobody.version.get()


async def test_a_long_list_is_not_too_long(client: Containerd) -> None:
    """Above the 4 MiB at which Python's gRPC stops by itself."""
    spec = {"filler": "x" * 150_000}
    for number in range(40):
        await client.containers.create(
            container_id=f"c{number}", spec=spec, snapshotter=SNAPSHOTTER, snapshot_key=f"c{number}"
        )
    assert len(await client.containers.list()) == 40
