"""What cannot be run: a clear reason, nothing left on the node, and a corrected spec that runs without further help."""

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hack import lab
from hack.lab import ports
from tests.e2e import waiting
from tests.e2e.cluster import Namespace
from tests.e2e.conftest import Images
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, because, condition, container_id, status

RUNS = {"command": ["sleep", FOREVER]}


@dataclass(frozen=True)
class Impossible:
    """A spec that is valid and cannot be run here. `{shared}` is a directory of the node that the test has made."""

    id: str
    spec: dict[str, Any]
    reason: str
    says: str
    correction: dict[str, Any]
    exit_code: int | None = None
    features: tuple[str, ...] = ("L4",)
    retried: bool = False
    """Whether the agent goes on trying, because somebody may mend the node."""


def _mount(source: str, target: str, kind: str = "") -> dict[str, Any]:
    host_path = {"path": source} | ({"type": kind} if kind else {})
    return {"mounts": [{"mountPath": target, "hostPath": host_path}]}


IMPOSSIBLE = [
    Impossible(
        "the command is not in the image",
        {"command": ["/bin/no-such-program"]},
        "CommandNotFound",
        "'/bin/no-such-program' not found",
        RUNS,
        exit_code=127,
    ),
    Impossible(
        "the command is not on the PATH",
        {"command": ["no-such-program"]},
        "CommandNotFound",
        "'no-such-program' not found",
        RUNS,
        exit_code=127,
    ),
    Impossible(
        "the command is not executable",
        {"command": ["/etc/passwd"]},
        "CommandNotExecutable",
        "'/etc/passwd' can't be executed",
        RUNS,
        exit_code=126,
    ),
    Impossible(
        "the command is a directory",
        {"command": ["/etc"]},
        "CommandNotExecutable",
        "'/etc' can't be executed",
        RUNS,
        exit_code=126,
    ),
    Impossible(
        "a directory is mounted onto a file",
        RUNS | _mount("{shared}/directory", "/etc/passwd"),
        "MountTypeMismatch",
        "directory",
        {"mounts": []},
        exit_code=128,
    ),
    Impossible(
        "a file is mounted onto a directory",
        RUNS | _mount("{shared}/file", "/www"),
        "MountTypeMismatch",
        "directory",
        _mount("{shared}/file", "/www/index.html"),
        exit_code=128,
    ),
    Impossible(
        "the source of a mount is missing",
        RUNS | _mount("{shared}/missing", "/data"),
        "MountSourceMissing",
        "spec.mounts[0]",
        _mount("{shared}/missing", "/data", "DirectoryOrCreate"),
        features=("L1", "S1"),
        retried=True,
    ),
    Impossible(
        "the source of a mount is of another type",
        RUNS | _mount("{shared}/file", "/data", "Directory"),
        "MountSourceMissing",
        "spec.mounts[0]",
        _mount("{shared}/file", "/data", "File"),
        features=("L1", "S1"),
        retried=True,
    ),
    Impossible(
        "the device is missing",
        RUNS | {"devices": [{"hostPath": "/dev/no-such-device"}]},
        "NodeUnfit",
        "spec.devices[0]",
        {"devices": [{"hostPath": "/dev/zero"}]},
        features=("L1", "P1"),
        retried=True,
    ),
    Impossible(
        "the runtime is unknown",
        RUNS | {"runtimeName": "no-such-runtime"},
        "RuntimeMissing",
        "spec.runtimeName: runtime 'no-such-runtime' is not known",
        {"runtimeName": "runc"},
        features=("L1",),
        retried=True,
    ),
    Impossible(
        "the user is not in the image",
        RUNS | {"securityContext": {"user": "no-such-user"}},
        "UserNotFound",
        "no-such-user",
        {"securityContext": {"user": "app"}},
        features=("P1", "L4"),
    ),
    Impossible(
        "the group is not in the image",
        RUNS | {"securityContext": {"user": "app:no-such-group"}},
        "UserNotFound",
        "no-such-group",
        {"securityContext": {"user": "app:audio"}},
        features=("P1", "L4"),
    ),
    Impossible(
        "the ulimit is above what the node may give",
        RUNS | {"ulimits": [{"name": "nproc", "soft": 2**50, "hard": 2**50}]},
        "LimitNotPermitted",
        "nproc",
        {"ulimits": [{"name": "nproc", "soft": 64, "hard": 64}]},
        exit_code=128,
        features=("P1", "L4"),
    ),
]


def _filled(value: Any, shared: Path) -> Any:
    if isinstance(value, str):
        return value.replace("{shared}", str(shared))
    if isinstance(value, dict):
        return {name: _filled(one, shared) for name, one in value.items()}
    return [_filled(one, shared) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.id, marks=pytest.mark.feature(*case.features)) for case in IMPOSSIBLE],
)
def test_what_the_node_cannot_run(namespace: Namespace, node: Node, shared: Path, case: Impossible) -> None:
    (shared / "directory").mkdir()
    (shared / "file").touch()
    namespace.create("web", **_filled(case.spec, shared))
    body = namespace.wait("web", because(case.reason), case.reason)
    shown, ready = status(body), condition(body, "Ready")
    assert ready["status"] == "False"
    assert case.says in ready["message"]
    assert (shown.get("exitCode"), shown["state"]) == (case.exit_code, "Exited" if case.exit_code else "Pending")
    assert container_id(body) == ""
    assert condition(body, "Stalled")["status"] == str(not case.retried)
    assert condition(body, "Reconciling")["status"] == str(case.retried)
    assert condition(body, "Accepted")["status"] == "True"
    [event] = waiting.until(lambda: namespace.events("web", case.reason), "an event")
    assert (event.type, event.message) == ("Warning", ready["message"])
    node.wait_clean()

    namespace.change("web", **_filled(case.correction, shared))
    after = namespace.running("web")
    assert not {"exitCode", "finishedAt"} & status(after).keys()
    assert [one.id for one in node.of(namespace.name, "web")] == [container_id(after)]


def _refused(namespace: Namespace, node: Node, reason: str, *says: str) -> None:
    """The image can't be had: this is said, nothing is made, and another image helps."""
    body = namespace.wait("web", because(reason), reason)
    ready = condition(body, "Ready")
    for text in says:
        assert text in ready["message"]
    assert condition(body, "ImageReady")["status"] == "False"
    assert condition(body, "ImageReady")["reason"] == reason
    assert condition(body, "Reconciling")["status"] == "True"
    assert (status(body)["state"], container_id(body), status(body).get("pull")) == ("Pending", "", None)
    [event] = waiting.until(lambda: namespace.events("web", reason), "an event")
    assert event.type == "Warning"
    node.wait_clean()
    namespace.change("web", image=namespace.image, imagePullPolicy="IfNotPresent")
    namespace.running("web")


@pytest.mark.feature("I1", "I2")
def test_an_image_that_the_registry_does_not_have(namespace: Namespace, node: Node, images: Images) -> None:
    namespace.sleeper("web", image=f"{images.registry.address}/no-such-image:1")
    _refused(namespace, node, "ErrImagePull", "no-such-image:1", "no manifest 1")


@pytest.mark.feature("I1", "I2")
def test_a_registry_that_refuses_connections(namespace: Namespace, node: Node) -> None:
    address = f"127.0.0.1:{ports.free_port()}"
    namespace.sleeper("web", image=f"{address}/busybox:1")
    _refused(namespace, node, "ErrImagePull", address, "refused")


@pytest.mark.feature("I1", "I2")
def test_a_layer_that_is_not_what_its_digest_says(namespace: Namespace, node: Node, images: Images) -> None:
    layer = lab.layer({"data": uuid.uuid4().bytes * 4096}, compression="none")
    lab.push(images.registry.address, "damaged:1", lab.Image([*lab.busybox().layers, layer]))
    stored = images.registry.blob_path(layer.digest)
    damaged = bytearray(stored.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    stored.write_bytes(damaged)
    namespace.sleeper("web", image=f"{images.registry.address}/damaged:1")
    _refused(namespace, node, "ErrImagePull", layer.digest)


@pytest.mark.feature("I2")
def test_an_image_that_may_not_be_pulled_and_is_not_there(namespace: Namespace, node: Node, images: Images) -> None:
    namespace.sleeper("web", image=f"{images.registry.address}/absent:1", imagePullPolicy="Never")
    _refused(namespace, node, "ErrImageNeverPull", "imagePullPolicy is Never")


@pytest.mark.feature("I2")
def test_an_image_that_is_there_needs_no_registry_unless_always_is_asked_for(
    namespace: Namespace, images: Images
) -> None:
    image = f"{images.registry.address}/once:1"
    lab.push(images.registry.address, "once:1", lab.busybox())
    namespace.sleeper("first", image=image)
    namespace.running("first")
    images.registry.kill()
    try:
        namespace.sleeper("absent", image=image, imagePullPolicy="IfNotPresent")
        namespace.sleeper("never", image=image, imagePullPolicy="Never")
        namespace.running("absent")
        namespace.running("never")
        namespace.sleeper("always", image=image, imagePullPolicy="Always")
        namespace.wait("always", because("ErrImagePull"))
    finally:
        images.registry.start()
    namespace.running("always")


@pytest.mark.feature("I2")
@pytest.mark.parametrize(
    "image", ["localhost/UPPER/case", "busybox:tag:tag", "busybox@sha256:beef", "http://registry/busybox"]
)
def test_a_name_that_is_no_image(namespace: Namespace, node: Node, image: str) -> None:
    namespace.sleeper("web", image=image)
    body = namespace.wait("web", because("InvalidImageName"))
    assert condition(body, "Accepted")["status"] == "False"
    assert "spec.image" in condition(body, "Accepted")["message"]
    assert condition(body, "Stalled")["status"] == "True"
    node.wait_clean()
    namespace.change("web", image=namespace.image)
    namespace.running("web")
