"""What the hierarchy of cgroups tells of a node, and of a container's processes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from controller.agent import cgroups


@pytest.mark.feature("L8")
@pytest.mark.parametrize("there", [True, False])
def test_version_1_has_a_freezer_where_the_controller_is_mounted(tmp_path: Path, there: bool) -> None:
    (tmp_path / "freezer").mkdir()
    if there:
        (tmp_path / "freezer/tasks").touch()
    assert cgroups.freezer(tmp_path) == there


@pytest.mark.feature("L8")
@pytest.mark.parametrize("there", [True, False])
def test_version_2_has_a_freezer_where_a_cgroup_can_be_frozen(tmp_path: Path, there: bool) -> None:
    (tmp_path / "cgroup.controllers").touch()
    assert cgroups.freezer(tmp_path), "nothing is known of a node without cgroups"
    for name in ("init.scope", "system.slice"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.type").touch()
        if there:
            (tmp_path / name / "cgroup.freeze").touch()
    assert cgroups.freezer(tmp_path) == there


# --- kills for want of memory; what the files look like is the kernel's own text -----------------------------------------

OOM_CONTROL = "oom_kill_disable 0\nunder_oom 0\noom_kill {}\n"
EVENTS = "low 0\nhigh 0\nmax 41\noom 3\noom_kill {}\noom_group_kill 7\n"
PATH = "/tallyman/tallyman/box"


def _v1(root: Path, text: str, below: str = "") -> None:
    directory = root / "memory" / PATH.lstrip("/") / below
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "memory.oom_control").write_text(text)


def _v2(root: Path, text: str, below: str = "", name: str = "memory.events") -> None:
    (root / "cgroup.controllers").touch()
    directory = root / PATH.lstrip("/") / below
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(text)


@pytest.mark.feature("L11")
@pytest.mark.parametrize("write", [_v1, _v2], ids=["v1", "v2"])
@pytest.mark.parametrize(
    ("text", "kills"),
    [
        pytest.param(OOM_CONTROL.format(0), 0, id="none"),
        pytest.param(OOM_CONTROL.format(2), 2, id="two, in the words of v1"),
        pytest.param(EVENTS.format(2), 2, id="two, in the words of v2"),
        pytest.param(EVENTS.format(2**64 - 1), 2**64 - 1, id="as many as the kernel can count"),
        pytest.param("oom_kill 1", 1, id="a last line without an end"),
        pytest.param("low 0\nhigh 0\nmax 0\noom 5\n", 0, id="a kernel that does not count kills (before 4.13)"),
        pytest.param("oom_kill_disable 1\nunder_oom 1\n", 0, id="the same with v1"),
        pytest.param("oom_group_kill 4\n", 0, id="another counter whose name is like it"),
        pytest.param("", 0, id="an empty file"),
        pytest.param("oom_kill", 0, id="a name without a number"),
        pytest.param("oom_kill \n", 0, id="a name with nothing"),
        pytest.param("oom_kill many\n", 0, id="a number that is a word"),
        pytest.param("oom_kill -1\n", 0, id="a number that is negative"),
        pytest.param("oom_kill \u00b2\n", 0, id="a digit that is no number"),
        pytest.param("\x00\x01garbage\x7f", 0, id="garbage"),
        pytest.param("x" * 10_000_000 + "\noom_kill 1\n", 0, id="garbage without end"),
    ],
)
def test_the_kills_of_a_container_are_counted(
    tmp_path: Path, write: Callable[[Path, str], None], text: str, kills: int
) -> None:
    write(tmp_path, text)
    assert cgroups.oom_kills(PATH, tmp_path) == kills


@pytest.mark.feature("L11")
@pytest.mark.parametrize("v2", [False, True], ids=["v1", "v2"])
@pytest.mark.parametrize("there", [False, True], ids=["without its cgroup", "without the file"])
def test_what_is_gone_counts_for_nothing(tmp_path: Path, v2: bool, there: bool) -> None:
    if v2:
        (tmp_path / "cgroup.controllers").touch()
    if there:
        (tmp_path / ("" if v2 else "memory") / PATH.lstrip("/")).mkdir(parents=True)
    assert cgroups.oom_kills(PATH, tmp_path) == 0


@pytest.mark.feature("L11")
def test_bytes_that_are_no_text_count_for_nothing(tmp_path: Path) -> None:
    _v1(tmp_path, "")
    (tmp_path / "memory" / PATH.lstrip("/") / "memory.oom_control").write_bytes(b"\xff\xfe\noom_kill \xff\n")
    assert cgroups.oom_kills(PATH, tmp_path) == 0


@pytest.mark.feature("L11")
def test_with_version_1_those_of_cgroups_below_are_added(tmp_path: Path) -> None:
    _v1(tmp_path, OOM_CONTROL.format(1))
    _v1(tmp_path, OOM_CONTROL.format(2), "init.scope")
    _v1(tmp_path, OOM_CONTROL.format(4), "system.slice/web.service")
    assert cgroups.oom_kills(PATH, tmp_path) == 7


@pytest.mark.feature("L11")
def test_with_version_2_the_kernel_has_added_them(tmp_path: Path) -> None:
    _v2(tmp_path, EVENTS.format(3))
    _v2(tmp_path, EVENTS.format(1), name="memory.events.local")
    _v2(tmp_path, EVENTS.format(2), "init.scope")
    assert cgroups.oom_kills(PATH, tmp_path) == 3


def test_cgroups_without_end_are_not_read_without_end(tmp_path: Path) -> None:
    for number in range(1100):
        _v1(tmp_path, OOM_CONTROL.format(1), str(number))
    assert cgroups.oom_kills(PATH, tmp_path) < 1000
