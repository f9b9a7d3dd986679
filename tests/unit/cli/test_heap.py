"""The heap of a process: one for all of its threads."""

import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
if sys.argv[1] == "shared":
    from controller.cli.heap import share_heap
    share_heap()
libc = ctypes.CDLL(None)
libc.fopen.restype = libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(4)
def allocate():
    together.wait()
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
page = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, page)
libc.fclose(page)
"""


@pytest.mark.parametrize(("heap", "expected"), [("shared", True), ("as it comes", False)])
def test_threads_allocate_from_one_heap(heap: str, expected: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    page = tmp_path_factory.mktemp("heap") / "page"
    subprocess.run([sys.executable, "-c", COUNT, heap, str(page)], check=True, timeout=60)
    assert (page.read_text().count("<heap ") == 1) is expected
