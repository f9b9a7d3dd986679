"""What is cleared away of a container whose runtime can't do it, and how a process is found of which only the cgroup knows."""

from pathlib import Path

import pytest

from controller.agent.remains import RUNTIME_STATE, Remains

ID, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def v1(tmp_path: Path) -> Remains:
    """A node with cgroup v1."""
    for name in ("cpu,cpuacct", "memory"):
        for container_id in (ID, OTHER):
            (tmp_path / "cgroup" / name / "tallyman/test" / container_id).mkdir(parents=True)
    (tmp_path / "cgroup/cpu").symlink_to("cpu,cpuacct")
    return Remains("test", "/tallyman", tmp_path / "root", tmp_path / "cgroup")


@pytest.fixture
def v2(tmp_path: Path) -> Remains:
    """A node with cgroup v2; the container has made a cgroup of its own."""
    (tmp_path / "cgroup/tallyman/test" / ID / "inner").mkdir(parents=True)
    (tmp_path / "cgroup/tallyman/test" / OTHER).mkdir()
    (tmp_path / "cgroup/cgroup.controllers").touch()
    return Remains("test", "/tallyman", tmp_path / "root", tmp_path / "cgroup")


@pytest.mark.feature("L18")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_cgroups_and_runtime_state_of_one_container_go(
    request: pytest.FixtureRequest, tmp_path: Path, version: str
) -> None:
    remains: Remains = request.getfixturevalue(version)
    state = tmp_path / "root" / RUNTIME_STATE / "test"
    for container_id in (ID, OTHER):
        (state / container_id).mkdir(parents=True)
        (state / container_id / "state.json").touch()
    remains.clear(ID)
    remains.clear(ID)  # what is gone is gone
    assert list(tmp_path.rglob(ID)) == []
    assert len(list(tmp_path.rglob(OTHER))) == (3 if version == "v1" else 2)


@pytest.mark.parametrize("text", ["4711\n", ""], ids=["with a process", "without one"])
def test_a_process_is_found_by_its_cgroup_in_version_1(v1: Remains, text: str) -> None:
    (v1.cgroup_root / "memory/tallyman/test" / ID / "cgroup.procs").write_text(text)
    assert v1.live(ID) == bool(text)
    assert not v1.live("c" * 64)


@pytest.mark.parametrize("populated", [1, 0], ids=["with a process", "without one"])
def test_a_process_is_found_by_its_cgroup_in_version_2(v2: Remains, populated: int) -> None:
    (v2.cgroup_root / "tallyman/test" / ID / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
    assert v2.live(ID) == bool(populated)
    assert not v2.live("c" * 64)
