"""The lab's processes: found again by their pid file, and never mistaken for a later process of the same id."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from hack.lab import LabError, cache
from hack.lab.daemon import Daemon, Process


def _sleeper(directory: Path) -> Daemon:
    return Daemon("sleeper", directory, ["/bin/sleep", "60"], {"PATH": "/bin"})


def test_a_second_start_finds_the_running_process(tmp_path: Path) -> None:
    first = _sleeper(tmp_path)
    first.start(ready=first.alive, timeout=5)
    second = _sleeper(tmp_path)
    second.start(ready=second.alive, timeout=5)
    assert second.pid == first.pid
    second.stop()
    assert not first.alive()
    first.stop()


def test_a_killed_process_counts_as_gone_and_starts_again(tmp_path: Path) -> None:
    daemon = _sleeper(tmp_path)
    daemon.start(ready=daemon.alive, timeout=5)
    before = daemon.pid
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while daemon.alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    daemon.start(ready=daemon.alive, timeout=5)
    assert daemon.pid != before
    daemon.kill()


def test_a_process_that_got_the_same_id_later_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        process = Process.of(stranger.pid)
        assert process is not None
        daemon = _sleeper(tmp_path)
        daemon.pid_file.write_text(f"{stranger.pid} {process.started - 1}\n")
        assert not daemon.alive()
        daemon.stop(grace=0)
        assert stranger.poll() is None
        stranger.kill()


def test_a_process_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    daemon = Daemon("talker", tmp_path, ["/bin/sh", "-c", "echo no such luck; exit 3"], {"PATH": "/bin"})
    with pytest.raises(LabError, match="no such luck"):
        daemon.start(ready=lambda: False, timeout=5)
    daemon.stop()


def test_an_artefact_is_made_once_however_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYMAN_CACHE", str(tmp_path))
    made: list[Path] = []

    def make(target: Path) -> None:
        made.append(target)
        time.sleep(0.05)
        target.write_text("done")

    threads = [threading.Thread(target=cache.artefact, args=("some/thing", make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert (tmp_path / "some/thing").read_text() == "done"
    assert [path.name for path in (tmp_path / "some").iterdir()] == ["thing"]


def test_an_artefact_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYMAN_CACHE", str(tmp_path))

    def fail(target: Path) -> None:
        target.write_text("half")
        raise LabError("no")

    with pytest.raises(LabError):
        cache.artefact("thing", fail)
    assert not (tmp_path / "thing").exists()
