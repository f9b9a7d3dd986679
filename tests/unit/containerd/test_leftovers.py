"""What containerd says of an attempt that is still being cleared away, told from what is wrong with a container."""

import grpc
import pytest

from controller.containerd.errors import from_code
from controller.containerd.tasks import _LEFTOVER

BUNDLE = "/run/containerd/io.containerd.runtime.v2.task/tallyman/4f33"


@pytest.mark.parametrize(
    ("detail", "passing"),
    [
        (f"mkdir {BUNDLE}: file exists", True),
        ("io.containerd.runc.v2: getwd: no such file or directory: exit status 1", True),
        (f"rename {BUNDLE[:-4]}.4f33/.address {BUNDLE}/address: no such file or directory", True),
        (f"open {BUNDLE}/shim-binary-path: no such file or directory", True),
        (f"failed to create shim task: mkdir {BUNDLE}/rootfs: no such file or directory: not found", True),
        (f"open o_path procfd: open {BUNDLE}/rootfs/data: no such file or directory: unknown", False),
        ('exec: "web": executable file not found in $PATH', False),
    ],
    ids=[
        "its directory is there",
        "the directory went under the new shim",
        "the address went while it was written",
        "the new directory was taken away",
        "it was taken away a moment later",
        "a mount without its place in the root filesystem",
        "a program that is not there",
    ],
)
def test_only_what_passes_by_itself_is_taken_for_passing(detail: str, *, passing: bool) -> None:
    assert bool(_LEFTOVER.search(detail)) is passing


@pytest.mark.parametrize("detail", ["ttrpc: closed", "ttrpc: closed: unknown"])
def test_a_shim_that_went_away_under_a_call_is_no_fault_of_what_was_asked(detail: str) -> None:
    assert from_code("Tasks.Start", grpc.StatusCode.UNKNOWN, detail).transient
    assert not from_code("Tasks.Start", grpc.StatusCode.UNKNOWN, "OCI runtime start failed").transient
