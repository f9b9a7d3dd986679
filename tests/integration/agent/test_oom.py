"""Kills for want of memory, by the kernel itself: what its counters say in the moment in which a process's end is known.

By the machine's own kernel, be its cgroups v1 or v2, and by one with v2 that is booted for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from controller.agent import cgroups
from hack.lab import guest

pytestmark = pytest.mark.feature("L11")

LIMIT = 16 * 1024 * 1024
GREEDY = "exec tail /dev/zero"
CHECKOUT = Path(__file__).parents[3]
GUEST_SECONDS = 240.0
ROOT = cgroups.ROOT if cgroups.unified() else cgroups.ROOT / "memory"


@pytest.fixture
def box() -> Iterator[Path]:
    """A cgroup that may have 16 MiB, as a container's is, and one below it, as a container may make one."""
    if os.geteuid() != 0:
        pytest.skip("to make cgroups takes root")
    made = ROOT / f"tallyman-test-{uuid4().hex[:12]}"
    below = made / "below"
    if cgroups.unified():
        (ROOT / "cgroup.subtree_control").write_text("+memory")
    made.mkdir()
    (made / ("memory.max" if cgroups.unified() else "memory.limit_in_bytes")).write_text(str(LIMIT))
    with suppress(FileNotFoundError):  # where there is no swap
        (made / ("memory.swap.max" if cgroups.unified() else "memory.memsw.limit_in_bytes")).write_text(
            "0" if cgroups.unified() else str(LIMIT)
        )
    below.mkdir()
    yield made
    below.rmdir()
    made.rmdir()


def _run(cgroup: Path, script: str) -> int:
    """Run a script as a process of the cgroup, to its end."""
    enter = 'echo $$ >"$0/cgroup.procs" && '
    return subprocess.run(["sh", "-c", enter + script, cgroup], timeout=60, check=False).returncode


def _kills(cgroup: Path) -> int:
    return cgroups.oom_kills(f"/{cgroup.relative_to(ROOT)}")


def test_a_process_that_the_kernel_has_killed_is_counted_when_its_end_is_known(box: Path) -> None:
    for count in range(1, 4):
        assert _run(box, GREEDY) == -signal.SIGKILL
        assert _kills(box) == count


def test_one_in_a_cgroup_that_the_container_has_made_is_counted_too(box: Path) -> None:
    if cgroups.unified():
        (box / "cgroup.subtree_control").write_text("+memory")
    assert _run(box / "below", GREEDY) == -signal.SIGKILL
    assert _kills(box) == 1


def test_a_child_is_counted_though_its_parent_goes_on(box: Path) -> None:
    assert _run(box, "tail /dev/zero; exit 3") == 3
    assert _kills(box) == 1


def test_one_that_somebody_has_killed_is_not_counted(box: Path) -> None:
    assert _run(box, "kill -9 $$") == -signal.SIGKILL
    assert _kills(box) == 0


@pytest.mark.skipif(not guest.is_possible(), reason="there is no guest kernel for this machine")
def test_all_of_it_holds_with_cgroup_v2(tmp_path: Path) -> None:
    if guest.is_inside():
        pytest.skip("this is the guest")
    outcome = guest.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-v", Path(__file__).relative_to(CHECKOUT)],
        directory=tmp_path,
        cwd=CHECKOUT,
        timeout=GUEST_SECONDS,
    )
    assert outcome.code == 0, outcome.output
    assert "4 passed, 1 skipped" in outcome.output, outcome.output
