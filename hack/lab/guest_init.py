"""The first process of a guest kernel: mounts what a program expects, runs one command, and powers the guest off.

Copied beside its job by `guest`, and run by the guest's kernel alone. Standard library only.
"""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_POWER_OFF = 0x4321FEDC
_MOUNTS = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tmpfs", "/run"),
)


def main(directory: Path) -> None:
    """Do the job that is written down in the directory, and leave its output and its exit code there."""
    job = json.loads((directory / "job.json").read_text())
    with (directory / "output").open("wb") as output:
        try:
            for kind, target in _MOUNTS:
                _mount(kind, target)
            done = subprocess.run(
                job["argv"], cwd=job["cwd"], env=job["env"], stdout=output, stderr=subprocess.STDOUT, check=False
            )
            (directory / "code").write_text(str(done.returncode))
        except OSError as error:
            output.write(f"{error}\n".encode())
    os.sync()
    _LIBC.reboot(_POWER_OFF)


def _mount(kind: str, target: str) -> None:
    if _LIBC.mount(kind.encode(), target.encode(), kind.encode(), 0, None):
        raise OSError(ctypes.get_errno(), f"mounting {kind}", target)


if __name__ == "__main__":
    # NB: anywhere else it would power off the machine itself.
    if os.getpid() != 1 or os.environ.get("TALLYMAN_GUEST") != "1":
        sys.exit("this is the first process of a guest kernel, and nothing else")
    main(Path(__file__).parent)
