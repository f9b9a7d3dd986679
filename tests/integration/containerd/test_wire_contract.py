"""Our wire definitions against containerd's own `.proto` files, as Debian ships them for each supported version.

Held together are, for every message in use: package and name, and for every field name, number, type and whether it is
repeated; for every method in use: its path, what goes in, what comes out, and which way it streams.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from grpc_tools import protoc

from controller.containerd import (
    containers,
    content,
    diff,
    events,
    images,
    introspection,
    leases,
    namespaces,
    snapshots,
    tasks,
    version,
)
from controller.containerd.caller import Method
from hack.lab import debian

WIRE = Path(__file__).parents[3] / "controller" / "containerd" / "wire"
REFERENCES = {
    "1.6": (debian.BOOKWORM, "golang-github-containerd-containerd-dev"),
    "1.7": (debian.TRIXIE, "golang-github-containerd-containerd-dev"),
    "2": (debian.SID, "golang-github-containerd-containerd-api-dev"),
}
SERVICES = (containers, content, diff, events, images, introspection, leases, namespaces, snapshots, tasks, version)

OURS_FOR_THEIRS = {
    ".containerd.services.introspection.v1.InitError": ".google.rpc.Status",
    ".containerd.services.events.v1.Envelope": ".containerd.types.Envelope",
}
"""Types that we name otherwise, each for the reason beside its definition. On the wire a name is nothing."""

Definition = DescriptorProto | EnumDescriptorProto | MethodDescriptorProto


def definitions(file: FileDescriptorProto) -> Iterator[tuple[str, Definition]]:
    """Give every message, enum and method of a file by its full name, nested messages too."""

    def of_message(prefix: str, message: DescriptorProto) -> Iterator[tuple[str, Definition]]:
        name = f"{prefix}.{message.name}"
        yield name, message
        for nested in message.nested_type:
            yield from of_message(name, nested)

    prefix = f".{file.package}"
    for message in file.message_type:
        yield from of_message(prefix, message)
    for enum in file.enum_type:
        yield f"{prefix}.{enum.name}", enum
    for service in file.service:
        for method in service.method:
            yield f"{prefix}.{service.name}/{method.name}", method


@pytest.fixture(scope="module")
def ours() -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for path in sorted(WIRE.glob("*.proto")):
        file = FileDescriptorProto()
        import_module(f"controller.containerd.wire.{path.stem}_pb2").DESCRIPTOR.CopyToProto(file)
        found |= dict(definitions(file))
    return found


@pytest.fixture(scope="module", params=REFERENCES)
def theirs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Definition]:
    suite, package = REFERENCES[request.param]
    tree = debian.package(suite, package) / "usr/share/gocode/src"
    return compiled(tree, tmp_path_factory.mktemp("reference"))


def compiled(tree: Path, scratch: Path) -> dict[str, Definition]:
    """Compile the reference's files with what only Go needs taken out of them."""
    kept = [path for path in tree.rglob("*.proto") if re.search(r"/(api|runtime)/", str(path))]
    for path in kept:
        target = scratch / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(without_go(path.read_text()))
    names = [str(path.relative_to(tree)) for path in kept if "ttrpc" not in str(path) and "/shim" not in str(path)]
    (scratch / "google/rpc").mkdir(parents=True)
    (scratch / "google/rpc/status.proto").write_text(
        'syntax = "proto3"; package google.rpc; message Status { int32 code = 1; string message = 2; }'
    )
    output = scratch / "reference.binpb"
    arguments = ["protoc", f"-I{scratch}", f"-I{files('grpc_tools') / '_proto'}", f"--descriptor_set_out={output}"]
    assert protoc.main([*arguments, "google/rpc/status.proto", *names]) == 0
    found: dict[str, Definition] = {}
    for file in FileDescriptorSet.FromString(output.read_bytes()).file:
        found |= dict(definitions(file))
    return found


def without_go(text: str) -> str:
    """Take out imports, options and annotations that are about Go's code, and keep everything about the wire."""
    text = re.sub(r'^import (?:weak )?"[^"]*(?:gogo|fieldpath)[^"]*";$', "", text, flags=re.MULTILINE)
    text = re.sub(r"^\s*option \(.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\s*\[\(gogoproto[^;]*\](?=;)", "", text)


def their_name(name: str, theirs: dict[str, Definition]) -> str:
    return name if name in theirs else OURS_FOR_THEIRS.get(name, name)


def shape(field: FieldDescriptorProto, theirs: dict[str, Definition]) -> tuple[Any, ...]:
    return field.number, field.type, field.label, their_name(field.type_name, theirs)


def test_every_message_enum_and_method_is_theirs(ours: dict[str, Definition], theirs: dict[str, Definition]) -> None:
    missing = [name for name in ours if their_name(name, theirs) not in theirs]
    assert missing == []
    assert len(ours) > 100


def test_every_field_is_theirs(ours: dict[str, Definition], theirs: dict[str, Definition]) -> None:
    wrong = []
    for name, message in ours.items():
        if not isinstance(message, DescriptorProto):
            continue
        reference = theirs[their_name(name, theirs)]
        assert isinstance(reference, DescriptorProto)
        known = {field.name: shape(field, theirs) for field in reference.field}
        wrong += [f"{name}.{field.name}" for field in message.field if known.get(field.name) != shape(field, theirs)]
    assert wrong == []


def test_every_enum_value_is_theirs(ours: dict[str, Definition], theirs: dict[str, Definition]) -> None:
    for name, enum in ours.items():
        if isinstance(enum, EnumDescriptorProto):
            reference = theirs[name]
            assert isinstance(reference, EnumDescriptorProto)
            assert {value.name: value.number for value in enum.value} == {
                value.name: value.number for value in reference.value
            }


def test_every_method_is_theirs(ours: dict[str, Definition], theirs: dict[str, Definition]) -> None:
    for name, method in ours.items():
        if isinstance(method, MethodDescriptorProto):
            reference = theirs[name]
            assert isinstance(reference, MethodDescriptorProto)
            assert their_name(method.input_type, theirs) == reference.input_type
            assert their_name(method.output_type, theirs) == reference.output_type
            assert method.client_streaming == reference.client_streaming
            assert method.server_streaming == reference.server_streaming


def test_the_services_call_what_is_defined(ours: dict[str, Definition]) -> None:
    """Each `Method` that the client uses is in our definitions, with these types; and each one defined is used."""
    used = {}
    for module in SERVICES:
        for method in vars(module).values():
            if isinstance(method, Method):
                used[method.path.replace("/", ".", 1)] = method
    defined = {name: method for name, method in ours.items() if isinstance(method, MethodDescriptorProto)}
    assert {name: (f".{one.request.DESCRIPTOR.full_name}", f".{one.response.DESCRIPTOR.full_name}") for name, one in used.items()} == {
        name: (one.input_type, one.output_type) for name, one in defined.items()
    }  # fmt: skip
    assert used.keys() == defined.keys()
