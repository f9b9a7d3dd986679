"""What the hierarchy of cgroups tells of a node."""

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
