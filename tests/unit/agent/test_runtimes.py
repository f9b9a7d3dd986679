"""Which OCI runtimes a node has: looked for as the process behind containerd's socket would find them."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.agent.runtimes import SHIM, RuntimeMissing, Runtimes

LISTEN = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listening:
    listening.bind(sys.argv[1])
    listening.listen()
    print("ready", flush=True)
    while True:
        listening.accept()[0].close()
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory on the PATH of the process behind the socket."""
    made = tmp_path / "bin"
    made.mkdir()
    return made


@pytest.fixture
def address(tmp_path: Path, programs: Path) -> Iterator[str]:
    """The socket of a process that stands for containerd."""
    path = str(tmp_path / "containerd.sock")
    argv = [sys.executable, "-c", LISTEN, path]
    with subprocess.Popen(argv, env={"PATH": f"/nonexistent:{programs}"}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"unix://{path}"
        process.kill()


def program(path: Path, mode: int = 0o755) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)


@pytest.mark.feature("L18")
async def test_what_goes_and_comes_back_is_told_once(address: str, programs: Path) -> None:
    program(programs / "runc")
    program(programs / "special")
    runtimes = Runtimes({"runc": "runc", "other": str(programs / "special")}, "runc", address)
    assert await runtimes.look() == frozenset()
    (programs / "runc").unlink()
    (programs / "special").rename(programs / "hidden")
    assert await runtimes.look() == {"runc", "other"}
    assert runtimes.missing == {"runc": "runc", "other": str(programs / "special")}
    assert await runtimes.look() == frozenset()
    (programs / "hidden").rename(programs / "special")
    assert await runtimes.look() == {"other"}
    assert runtimes.missing == {"runc": "runc"}


@pytest.mark.feature("L18")
@pytest.mark.parametrize("kind", ["a directory", "not executable", "a dead link", "a link in a loop", "through a file"])
async def test_what_is_no_program_counts_as_gone(address: str, programs: Path, kind: str) -> None:
    binary = programs / "runc"
    match kind:
        case "a directory":
            binary.mkdir()
        case "not executable":
            program(binary, 0o644)
        case "a dead link":
            binary.symlink_to("nothing")
        case "a link in a loop":
            binary.symlink_to("runc")
        case _:
            program(binary)
            binary /= "runc"
    runtimes = Runtimes({"runc": str(binary)}, "runc", address)
    await runtimes.look()
    assert runtimes.missing == {"runc": str(binary)}


async def test_links_are_followed(address: str, programs: Path) -> None:
    program(programs / "runc-1.1")
    (programs / "alternatives").symlink_to(programs / "runc-1.1")
    (programs / "runc").symlink_to("alternatives")
    runtimes = Runtimes({"runc": "runc"}, "runc", address)
    assert await runtimes.look() == frozenset()


@pytest.mark.parametrize("kind", ["no socket", "no process"])
async def test_where_containerd_can_not_be_seen_every_runtime_counts_as_there(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as bound:
        if kind == "no process":
            bound.bind(str(path))  # nobody listens on it
        runtimes = Runtimes({"runc": "/nonexistent/runc"}, "runc", str(path))
        assert await runtimes.look() == frozenset()
        await runtimes.check(runtimes.find(None))


@pytest.mark.feature("L1")
async def test_a_container_is_made_only_where_shim_and_runtime_are(address: str, programs: Path) -> None:
    runtimes = Runtimes({"runc": "runc"}, "runc", address)
    with pytest.raises(RuntimeMissing, match=SHIM):
        await runtimes.check(runtimes.find("runc"))
    program(programs / SHIM)
    with pytest.raises(RuntimeMissing, match="runtime 'runc' needs runc, which is not in containerd's PATH"):
        await runtimes.check(runtimes.find("runc"))
    program(programs / "runc")
    await runtimes.check(runtimes.find("runc"))


@pytest.mark.feature("D7")
async def test_each_is_listed_with_whether_it_is_there_the_default_first(address: str, programs: Path) -> None:
    runtimes = Runtimes({"crun": "crun", "runc": "runc"}, "runc", address)
    program(programs / "crun")
    await runtimes.look()

    assert [(runtime.name, there) for runtime, there in runtimes.each()] == [("runc", False), ("crun", True)]
