"""What a container uses, read from the files of both versions of cgroups; all of it may be gone at any moment."""

from pathlib import Path

import pytest

from controller.agent import usage
from controller.agent.usage import Usage

pytestmark = pytest.mark.feature("K4", "X5")
CONTAINER = "/tallyman/node/0123"
BY_CONTROLLER = {
    "cpuacct/{}/cpuacct.usage": "2500000000\n",
    "cpu/{}/cpu.stat": "nr_periods 100\nnr_throttled 40\nthrottled_time 1500000000\n",
    "memory/{}/memory.usage_in_bytes": "1000000\n",
    "memory/{}/memory.stat": "cache 5\ninactive_file 7\ntotal_inactive_file 400000\n",
    "memory/{}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "pids/{}/pids.current": "12\n",
}
UNIFIED = {
    "cgroup.controllers": "cpu memory pids\n",
    "{}/cpu.stat": "usage_usec 2500000\nuser_usec 1\nnr_periods 100\nnr_throttled 40\nthrottled_usec 1500000\n",
    "{}/memory.current": "1000000\n",
    "{}/memory.stat": "anon 5\ninactive_file 400000\n",
    "{}/memory.events": "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\n",
    "{}/pids.current": "12\n",
}


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name.format(CONTAINER.lstrip("/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("files", [BY_CONTROLLER, UNIFIED], ids=["version 1", "version 2"])
def test_both_versions_tell_the_same(tmp_path: Path, files: dict[str, str]) -> None:
    _write(tmp_path, files)
    assert usage.read(CONTAINER, tmp_path) == Usage(
        cpu_seconds=2.5,
        cpu_periods=100,
        cpu_throttled_periods=40,
        cpu_throttled_seconds=1.5,
        memory=1000000,
        memory_working_set=600000,
        threads=12,
        oom_kills=3,
    )


@pytest.mark.parametrize("files", [BY_CONTROLLER, UNIFIED], ids=["version 1", "version 2"])
def test_without_a_limit_nothing_is_said_of_throttling(tmp_path: Path, files: dict[str, str]) -> None:
    _write(tmp_path, files)
    for path in tmp_path.rglob("cpu.stat"):
        path.write_text("usage_usec 1\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\nthrottled_time 0\n")
    seen = usage.read(CONTAINER, tmp_path)
    assert (seen.cpu_periods, seen.cpu_throttled_periods, seen.cpu_throttled_seconds) == (None, None, None)
    assert seen.memory == 1000000


@pytest.mark.parametrize("root", [{}, {"cgroup.controllers": "\n"}], ids=["version 1", "version 2"])
def test_a_container_without_a_cgroup_uses_nothing_that_is_known(tmp_path: Path, root: dict[str, str]) -> None:
    _write(tmp_path, root)
    assert usage.read(CONTAINER, tmp_path) == Usage()


def test_files_that_make_no_sense_say_nothing(tmp_path: Path) -> None:
    _write(tmp_path, dict.fromkeys(BY_CONTROLLER, "max\nno number\n\xff 1 2\n"))
    assert usage.read(CONTAINER, tmp_path) == Usage()


def test_a_working_set_is_never_below_nothing(tmp_path: Path) -> None:
    _write(tmp_path, UNIFIED | {"{}/memory.current": "100\n"})
    assert usage.read(CONTAINER, tmp_path).memory_working_set == 0
