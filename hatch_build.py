"""Compile the wire definitions when the package is built.

The `.proto` files in the `wire` directories are written by hand and hold just what is in use; what protoc makes of them is a
build product and is never committed. Runs for wheels and for editable installs alike.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
WIRE = ("controller/containerd/wire", "controller/agent/checks/wire")


def compile_wire(root: Path = ROOT) -> None:
    """Compile every `.proto` in the wire directories to a module and its type stub beside it."""
    for directory in WIRE:
        _compile(root, root / directory)


def _compile(root: Path, directory: Path) -> None:
    well_known = str(files("grpc_tools") / "_proto")
    protos = [str(path.relative_to(root)) for path in sorted(directory.glob("*.proto"))]
    if not protos:
        raise FileNotFoundError(f"no .proto files in {directory}")
    arguments = [
        "protoc",
        f"-I{root}",
        f"-I{well_known}",
        f"--python_out={root}",
        f"--pyi_out={root}",
        *protos,
    ]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"protoc failed on {', '.join(protos)}")


class WireBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Hatchling's hook: compile before files are collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Compile the wire definitions; raises when protoc finds fault with them."""
        compile_wire()
        build_data["artifacts"].extend(f"{directory}/*_pb2.py*" for directory in WIRE)


if __name__ == "__main__":
    compile_wire()
