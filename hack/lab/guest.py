"""A second Linux kernel, run as an ordinary process (User Mode Linux): for what this machine's own kernel is not set up for.

A command in it is root of a kernel with cgroup v2 and all its controllers. It sees the machine's files as they are and can change
them, for they are its root filesystem; processes, mounts, cgroups and networks are its own. It is there for x86-64 only.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hack.lab import cache, debian
from hack.lab import guest_init as init
from hack.lab.errors import LabError

MEMORY = "512M"
MACHINES = ("x86_64",)
_LOADER = b"/lib64/ld-linux-x86-64.so.2\0"
_LOADER_BESIDE_IT = b"./ld.so\0"


@dataclass(frozen=True)
class Outcome:
    """How a command in a guest ended."""

    code: int
    output: str


def is_possible() -> bool:
    """Whether there is such a kernel for this machine."""
    return platform.machine() in MACHINES


def is_inside() -> bool:
    """Whether this very process runs in a guest."""
    return "User Mode Linux" in Path("/proc/cpuinfo").read_text()


def run(argv: Sequence[str | Path], *, directory: Path, cwd: Path, timeout: float) -> Outcome:
    """Boot a guest, run one command in it, and power it off; the (empty) directory keeps what both have said.

    Raises:
        LabError: the guest did not come so far, or not to an end in time.
    """
    kernel = fetch()
    job = {"argv": [str(word) for word in argv], "cwd": str(cwd), "env": {"PATH": os.environ["PATH"], "TMPDIR": "/run"}}
    (directory / "job.json").write_text(json.dumps(job))
    first = directory / "init"
    first.write_text(f"#!{sys.executable} -I\n{Path(init.__file__).read_text()}")
    first.chmod(0o755)
    _boot(kernel, first, directory, timeout)
    try:
        return Outcome(int((directory / "code").read_text()), (directory / "output").read_text(errors="replace"))
    except FileNotFoundError:
        raise LabError("the guest kernel did not run the command", log=directory / "console") from None


def fetch() -> Path:
    """Return the directory with the kernel and the C library that it is linked with."""
    if not is_possible():
        raise LabError(f"there is no User Mode Linux for {platform.machine()}, only for {', '.join(MACHINES)}")
    return cache.artefact("guest/sid", _make)


def _boot(kernel: Path, first: Path, directory: Path, timeout: float) -> None:
    """Run the kernel to its end, and let nothing of it stay."""
    words = [
        *("./linux", f"mem={MEMORY}", "rootfstype=hostfs", "rootflags=/", "rw", f"init={first}", "TALLYMAN_GUEST=1"),
        *("con=null", "con0=null,fd:1", "quiet", "panic=-1", f"uml_dir={directory}"),
    ]
    # NB: by a relative path, since a program's loader is named in it, in as many bytes as the former name had.
    environment = {"LD_LIBRARY_PATH": "lib", "HOME": str(directory)}
    with (directory / "console").open("wb") as console:
        process = subprocess.Popen(
            words,
            cwd=kernel,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
        )
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"the guest did not end within {timeout:g} s", log=directory / "console") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _make(target: Path) -> None:
    """The kernel of Debian's sid with the libc of sid, which older systems do not have."""
    unpacked = target.parent / "package"
    debian.unpack(debian.SID, "user-mode-linux", unpacked)
    program = (unpacked / "usr/bin/linux.uml").read_bytes()
    if program.count(_LOADER) != 1:
        raise LabError("the kernel of user-mode-linux does not name its loader as it used to")
    target.mkdir()
    (target / "linux").write_bytes(program.replace(_LOADER, _LOADER_BESIDE_IT.ljust(len(_LOADER), b"\0")))
    (target / "linux").chmod(0o755)
    [loader] = debian.package(debian.SID, "libc6").glob("usr/lib/*-linux-gnu/ld-linux-x86-64.so.2")
    (target / "ld.so").symlink_to(loader)
    (target / "lib").symlink_to(loader.parent)
    shutil.rmtree(unpacked)
