"""Files are read out of real snapshots: overlays and binds, mounted in a namespace of the reader's own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.agent import rootfs

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts can be made by root only")


@dataclass(frozen=True)
class Mount:
    type: str
    source: str
    options: tuple[str, ...] = ()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[rootfs.RootfsReader]:
    made = rootfs.RootfsReader(tmp_path / "mount-point")
    yield made
    made.close()


def layer(path: Path, **files: str) -> str:
    (path / "etc").mkdir(parents=True)
    for name, content in files.items():
        (path / "etc" / name).write_text(content)
    return str(path)


def overlay(*layers: str, upper: str | None = None) -> Mount:
    options = ["index=off", "ro", f"lowerdir={':'.join(layers)}"]
    if upper:
        options += [f"upperdir={upper}", f"workdir={upper}-work"]
    return Mount("overlay", "overlay", tuple(options))


def mounts_of_the_node() -> str:
    return Path("/proc/self/mountinfo").read_text()


@as_root
async def test_the_uppermost_layer_wins(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    lower = layer(tmp_path / "1/fs", passwd="old", group="group")
    upper = layer(tmp_path / "2/fs", passwd="new")

    found = await reader.read([overlay(upper, lower)], ["etc/passwd", "/etc/group", "/etc/shadow"])

    assert found == {"etc/passwd": b"new", "/etc/group": b"group", "/etc/shadow": None}


@as_root
async def test_a_writable_snapshot_is_read_without_being_written(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    lower = layer(tmp_path / "1/fs", passwd="old")
    upper = layer(tmp_path / "2/fs", passwd="new")

    found = await reader.read([overlay(lower, upper=upper)], ["/etc/passwd"])

    assert found == {"/etc/passwd": b"new"}
    assert not Path(f"{upper}-work").exists()


@as_root
async def test_more_layers_than_a_page_of_options_holds(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    base = tmp_path / ("long" * 20)
    layers = [layer(base / str(number) / "fs", **{f"file{number}": "x"}) for number in range(100)]
    assert len(":".join(layers)) > 4096

    found = await reader.read([overlay(*layers)], ["/etc/file0", "/etc/file99"])

    assert found == {"/etc/file0": b"x", "/etc/file99": b"x"}


async def test_a_bind_is_read_in_place(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("a mount namespace can be made by root only")
    source = layer(tmp_path / "1/fs", passwd="bound")

    assert await reader.read([Mount("bind", source, ("ro", "rbind"))], ["/etc/passwd"]) == {"/etc/passwd": b"bound"}


@as_root
async def test_links_in_the_image_stay_in_the_image(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    source = layer(tmp_path / "1/fs", real="real")
    (tmp_path / "1/fs/etc/passwd").symlink_to("/etc/real")
    (tmp_path / "1/fs/etc/group").symlink_to(tmp_path / "secret")
    (tmp_path / "1/fs/etc/shadow").symlink_to("../../../secret")

    found = await reader.read([Mount("bind", source)], ["/etc/passwd", "/etc/group", "/etc/shadow"])

    assert found == {"/etc/passwd": b"real", "/etc/group": None, "/etc/shadow": None}


@as_root
async def test_only_regular_files_are_read_and_only_so_much(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    source = layer(tmp_path / "1/fs", passwd="x" * 100)
    os.mkfifo(tmp_path / "1/fs/etc/group")

    found = await reader.read([Mount("bind", source)], ["/etc/passwd", "/etc/group", "/etc"], max_bytes=10)

    assert found == {"/etc/passwd": b"x" * 10, "/etc/group": None, "/etc": None}


@as_root
async def test_the_node_never_sees_a_mount(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    before = mounts_of_the_node()
    layers = [layer(tmp_path / name / "fs", passwd=name) for name in ("1", "2")]

    for _ in range(3):
        await reader.read([overlay(*layers)], ["/etc/passwd"])

    assert mounts_of_the_node() == before
    assert list((tmp_path / "mount-point").iterdir()) == []


@as_root
async def test_a_snapshot_that_cannot_be_mounted_is_an_error(reader: rootfs.RootfsReader, tmp_path: Path) -> None:
    with pytest.raises(rootfs.RootfsError, match="No such file"):
        await reader.read([overlay(str(tmp_path / "no"), str(tmp_path / "nono"))], ["/etc/passwd"])
    with pytest.raises(rootfs.RootfsError):
        await reader.read([Mount("nosuchfs", "x")], ["/etc/passwd"])


_KILLED = """
import asyncio, sys, pathlib, os, signal
from controller.agent import rootfs
class Mount:
    type, source = "overlay", "overlay"
    options = ("lowerdir=" + sys.argv[1] + ":" + sys.argv[2],)
rootfs._contents = lambda *_: (print("mounted", flush=True), signal.pause())
asyncio.run(rootfs.RootfsReader(pathlib.Path(sys.argv[3])).read([Mount()], ["/etc/passwd"]))
"""


@as_root
def test_nothing_is_left_when_the_process_is_killed_in_the_middle(tmp_path: Path) -> None:
    layers = [layer(tmp_path / name / "fs", passwd=name) for name in ("1", "2")]
    point = tmp_path / "mount-point"
    command = [sys.executable, "-c", _KILLED, *layers, str(point)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(Path.cwd())}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mounted\n"
        seen = [
            (task / "mountinfo").read_text().count(str(point)) for task in Path(f"/proc/{process.pid}/task").iterdir()
        ]
        process.kill()

    assert sorted(seen) == [0] * (len(seen) - 1) + [1], "only the reader's thread has the mount"
    assert str(point) not in mounts_of_the_node()
    point.rmdir()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["ro", "rbind"], [], id="flags are no options of the file system"),
        pytest.param(["lowerdir=/b:/a"], ["lowerdir=/b:/a"], id="a view stays as it is"),
        pytest.param(
            ["index=off", "workdir=/c/work", "upperdir=/c/fs", "lowerdir=/b:/a", "volatile"],
            ["index=off", "lowerdir=/c/fs:/b:/a"],
            id="the upper directory goes in front",
        ),
    ],
)
def test_options_of_a_mount_that_writes_nothing(options: list[str], expected: list[str]) -> None:
    assert rootfs.read_only_options(options) == expected


@pytest.mark.parametrize(
    ("layers", "base", "short"),
    [
        pytest.param("/s/2/fs:/s/1/fs", "/s", "2/fs:1/fs", id="snapshots of one snapshotter"),
        pytest.param("/a/fs:/b/fs", "/", "a/fs:b/fs", id="nothing in common"),
        pytest.param("/s/fs", "/s", "fs", id="a single layer"),
        pytest.param(r"/s/a\:b:/s/c", "/", r"/s/a\:b:/s/c", id="an escaped colon is left alone"),
        pytest.param("x:y", "/", "x:y", id="relative layers are left alone"),
    ],
)
def test_layers_are_named_relative_to_their_common_directory(layers: str, base: str, short: str) -> None:
    assert rootfs.relative_layers(["index=off", f"lowerdir={layers}"]) == (base, ["index=off", f"lowerdir={short}"])
