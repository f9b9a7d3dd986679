"""A private containerd: its own root, state, sockets and cgroups, so that any number run side by side.

It needs root. It touches neither the machine's containerd nor its configuration; the only shared places are those that
containerd's shims have built in (`/run/containerd/s` and `/run/containerd/runc/<namespace>`), in which our entries are
named by our socket or by our namespace.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

from hack.lab import containerd_release, leftovers
from hack.lab.command import run
from hack.lab.daemon import Daemon
from hack.lab.errors import LabError

READY_TIMEOUT = 30.0
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LONGEST_SOCKET_PATH = 107
PARENT_CGROUP = "/tallyman"  # of every agent on the machine: never removed here as a tree


@dataclass
class Containerd:
    """One containerd with its data below `directory` (a disk file system) and its sockets below `run_dir`.

    `start()` twice is fine; `kill()` ends the daemon as a crash would and leaves containers running, `start()` then finds
    them again; `restart()` does the same politely; `stop()` ends the containers too and removes every trace.
    """

    directory: Path
    version: str = "1.6"
    namespace: str = ""
    run_dir: Path | None = None

    def __post_init__(self) -> None:
        self.directory = self.directory.absolute()
        mark = hashlib.sha256(str(self.directory).encode()).hexdigest()[:8]
        self.namespace = self.namespace or f"tallyman-{mark}"
        self.sockets = self.run_dir or Path(f"/run/tallyman-{mark}")
        if len(str(self.sockets / "containerd.sock.ttrpc")) > LONGEST_SOCKET_PATH:
            raise LabError(f"{self.sockets} is too long for sockets: choose a shorter run_dir")

    def __enter__(self) -> Containerd:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """The path of the gRPC socket (without `unix://`)."""
        return str(self.sockets / "containerd.sock")

    @property
    def root(self) -> Path:
        """Where images and snapshots are."""
        return self.directory / "root"

    @property
    def state(self) -> Path:
        """Where running tasks have their bundles."""
        return self.sockets / "state"

    @property
    def init_path(self) -> Path:
        """A static init program on this node."""
        return containerd_release.init_program()

    @property
    def network_plugins(self) -> Path:
        """The CNI plugins of this node."""
        return containerd_release.network_plugins()

    @property
    def search_path(self) -> str:
        """The PATH on which ctr, the shims, runc and crun of this instance are found."""
        programs = containerd_release.release(self.version).programs
        return f"{programs}:{containerd_release.runtime_programs()}:{SYSTEM_PATH}"

    @cached_property
    def daemon(self) -> Daemon:
        """The process, with its log."""
        program = containerd_release.release(self.version).programs / "containerd"
        argv: list[str | Path] = [program, "--config", self.directory / "config.toml"]
        return Daemon("containerd", self.directory, argv, {"PATH": self.search_path, "HOME": "/root"})

    def start(self) -> None:
        """Start containerd unless it runs, and return when it answers."""
        if os.geteuid() != 0:
            raise LabError("containerd needs root here: run this as root")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.sockets.mkdir(parents=True, exist_ok=True, mode=0o711)
        (self.directory / "config.toml").write_text(
            containerd_release.configuration(
                root=self.root,
                state=self.state,
                address=Path(self.address),
                ttrpc=Path(self.address + ".ttrpc"),
            )
        )
        self.daemon.start(ready=self.healthy, timeout=READY_TIMEOUT)

    def healthy(self) -> bool:
        """Say whether containerd answers on its socket."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(self.address)
            except OSError:
                return False
        try:
            self.ctr("version")
        except LabError:
            return False
        return True

    def ctr(self, *words: str, timeout: float = 60) -> str:
        """Run containerd's own client against this instance and namespace and return what it printed."""
        program = containerd_release.release(self.version).programs / "ctr"
        argv: list[str | Path] = [program, "--address", self.address, "--namespace", self.namespace, *words]
        return run(argv, timeout=timeout, env={"PATH": self.search_path, "HOME": "/root"})

    def kill(self) -> None:
        """End the daemon with SIGKILL; its containers go on."""
        self.daemon.kill()

    def restart(self) -> None:
        """Stop the daemon politely and start it again; its containers go on."""
        self.daemon.stop()
        self.start()

    def cut_power(self) -> None:
        """End daemon and containers without a word, and forget all that a node forgets that way; `start()` boots it again."""
        self.kill()
        namespaces = self._end_containers()
        self._remove_runtime_state(namespaces)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def stop(self, *, keep_log: bool = False) -> None:
        """End daemon and containers and remove mounts, cgroups, sockets and data."""
        Daemon("containerd", self.directory).stop()
        namespaces = self._end_containers()
        self._remove_directories(namespaces, keep_log=keep_log)

    def _end_containers(self) -> set[str]:
        """Kill all containers and take down what the kernel has of them; returns the namespaces that they were in."""
        tasks = leftovers.tasks(self.state)
        cgroups = {task.cgroup for task in tasks if task.cgroup}
        leftovers.end_shims(self.address, cgroups)
        leftovers.unmount_below([self.directory, self.sockets])
        namespaces = {self.namespace, *leftovers.namespaces(self.state, self.root)}
        own = {f"{PARENT_CGROUP}/{name}" for name in namespaces} | {f"/{name}" for name in namespaces}
        leftovers.remove_cgroups([*sorted(cgroups), *sorted(own - {PARENT_CGROUP})])
        for task in tasks:
            shutil.rmtree(task.runtime_state, ignore_errors=True)
            for path in task.sockets:
                path.unlink(missing_ok=True)
        return namespaces

    def _remove_directories(self, namespaces: set[str], *, keep_log: bool) -> None:
        self._remove_runtime_state(namespaces)
        shutil.rmtree(self.sockets, ignore_errors=True)
        if keep_log:
            shutil.rmtree(self.root, ignore_errors=True)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    @staticmethod
    def _remove_runtime_state(namespaces: set[str]) -> None:
        for name in namespaces:
            runtime = leftovers.RUNC_ROOT / name
            if runtime.is_dir() and not any(runtime.iterdir()):
                runtime.rmdir()
