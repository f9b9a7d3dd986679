"""Lost shims: which of the node's processes are taken for one, and that nothing else is ended."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.agent import shims

ADDRESS, NAMESPACE = "/run/lab/containerd.sock", "tallyman"


def process(proc: Path, pid: int, *words: str, started: float = 100.0) -> None:
    """Put a process into a made-up /proc whose clock stands at 1000 s."""
    directory = proc / str(pid)
    directory.mkdir(parents=True)
    (directory / "cmdline").write_text("\0".join(words) + "\0")
    fields = ["S", *["0"] * 18, str(int(started * 100)), "0"]
    (directory / "stat").write_text(f"{pid} (containerd shim) {' '.join(fields)}")
    (proc / "uptime").write_text("1000.00 2000.00\n")


def shim(proc: Path, pid: int, container_id: str, address: str = ADDRESS, started: float = 100.0) -> None:
    """Put a shim into it."""
    program = "/usr/bin/containerd-shim-runc-v2"
    process(proc, pid, program, "-namespace", NAMESPACE, "-id", container_id, "-address", address, started=started)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A real process to be ended."""
    with subprocess.Popen(["sleep", "60"]) as running:
        yield running
        running.kill()


@pytest.mark.feature("L15")
def test_a_shim_of_no_known_container_is_ended(tmp_path: Path, victim: subprocess.Popen[bytes]) -> None:
    shim(tmp_path, victim.pid, "lost")

    lost = shims.sweep(ADDRESS, NAMESPACE, {"other"}, tmp_path)

    assert [(one.pid, one.container_id) for one in lost] == [(victim.pid, "lost")]
    assert victim.wait(timeout=10) == -signal.SIGKILL


@pytest.mark.parametrize(
    "case", ["it is known", "it is young", "it is another containerd's", "it is another namespace's", "it is no shim"]
)
def test_a_shim_is_left_alone_when(case: str, tmp_path: Path, victim: subprocess.Popen[bytes]) -> None:
    match case:
        case "it is young":
            shim(tmp_path, victim.pid, "lost", started=995)
        case "it is another containerd's":
            shim(tmp_path, victim.pid, "lost", address="/run/containerd/containerd.sock")
        case "it is no shim":
            process(tmp_path, victim.pid, "/bin/sh", "-namespace", NAMESPACE, "-id", "lost", "-address", ADDRESS)
        case _:
            shim(tmp_path, victim.pid, "lost")
    namespace = "elsewhere" if case == "it is another namespace's" else NAMESPACE

    assert shims.sweep(ADDRESS, namespace, {"lost"} if case == "it is known" else set(), tmp_path) == []
    assert victim.poll() is None


def test_a_process_that_goes_meanwhile_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "uptime").write_text("1000.00 2000.00\n")

    assert list(shims.find(ADDRESS, NAMESPACE, tmp_path)) == []
