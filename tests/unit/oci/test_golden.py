"""Runtime specs as a whole, compared with the files in golden/.

After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/unit/oci/test_golden.py`, then read the difference before committing.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from controller.api.container import ContainerSpec
from controller.oci import seccomp, spec
from controller.oci.image import ImageConfig
from controller.oci.inputs import HostDevice, Inputs, NodeFacts, ResolvedMount
from controller.oci.user import User

GOLDEN = Path(__file__).parent / "golden"
ID = "0123456789abcdef" * 4
NODE = NodeFacts(hostname="node-a")
IMAGE = ImageConfig(
    entrypoint=("/srv/web",),
    cmd=("--port", "80"),
    env=(("PATH", "/srv:/bin"), ("LANG", "C.UTF-8"), ("MODE", "image")),
    working_dir="srv",
)
FUSE = HostDevice("/dev/fuse", "c", 10, 229, mode=0o666)
DISK = HostDevice("/dev/data", "b", 8, 1, mode=0o660, gid=6, permissions="r")


def made(
    image: ImageConfig = IMAGE,
    node: NodeFacts = NODE,
    user: User | None = None,
    devices: tuple[HostDevice, ...] = (),
    seccomp_profile: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """The runtime spec of a Container with these fields, its mounts taken as resolved."""
    declared = ContainerSpec.model_validate({"image": "web:1", **fields})
    mounts = tuple(ResolvedMount(mount, _source(mount)) for mount in declared.mounts)
    return spec.build(
        Inputs(
            spec=declared,
            image=image,
            container_id=ID,
            namespace="tallyman",
            node=node,
            user=user or User(additional_gids=(0,)),
            mounts=mounts,
            devices=devices,
            seccomp_profile=seccomp_profile,
        )
    )


def _readable(value: Any) -> Any:
    """Lists of words on one line: a list of 300 system calls is not read word by word."""
    if isinstance(value, dict):
        return {key: _readable(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, str) and " " not in item for item in value):
        return " ".join(value)
    return [_readable(item) for item in value] if isinstance(value, list) else value


def _source(mount: Any) -> str:
    return str(mount.host_path.path) + (f"/{mount.sub_path}" if mount.sub_path else "")


CASES: dict[str, dict[str, Any]] = {
    "minimal": {"image": ImageConfig(cmd=("/bin/true",))},
    "full": {
        "node": NodeFacts(
            hostname="node-a", swap_accounting=True, recursive_read_only=True, init_path="/usr/bin/tini-static"
        ),
        "user": User(1000, 1001, (44, 1001, 2000), "/home/app"),
        "devices": (FUSE, DISK),
        "args": ["--port", "8080"],
        "workingDir": "/srv/work",
        "env": [{"name": "MODE", "value": "production"}, {"name": "HOSTNAME", "value": "own"}, {"name": "EMPTY"}],
        "hostname": "web",
        "resources": {
            "limits": {"cpu": "1500m", "memory": "256Mi", "pids": 200},
            "requests": {"cpu": "100m", "memory": "128Mi"},
        },
        "ulimits": [{"name": "nofile", "soft": 1024, "hard": 4096}, {"name": "core", "soft": 0, "hard": -1}],
        "sysctls": {"net.core.somaxconn": "1024", "kernel.shmmax": "1048576"},
        "mounts": [
            {"mountPath": "/srv/assets/deep", "hostPath": {"path": "/srv/deep"}},
            {"mountPath": "/srv/assets", "hostPath": {"path": "/srv/assets"}, "readOnly": True, "subPath": "web"},
            {
                "mountPath": "/mnt",
                "hostPath": {"path": "/mnt"},
                "mountPropagation": "HostToContainer",
                "readOnly": True,
            },
            {"mountPath": "/dev/shm", "hostPath": {"path": "/srv/shm"}},
        ],
        "securityContext": {
            "user": "app",
            "supplementalGroups": [2000],
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["MKNOD"]},
        },
    },
    "host-network": {"network": {"mode": "host"}},
    "host-network-with-own-resolver": {
        "network": {"mode": "host"},
        "mounts": [{"mountPath": "/etc/resolv.conf", "hostPath": {"path": "/srv/resolv.conf"}}],
    },
    "privileged": {"securityContext": {"privileged": True}, "node": NodeFacts(hostname="node-a", devices=(FUSE,))},
    "tty-and-init": {"tty": True, "init": True, "node": NodeFacts(hostname="node-a", init_path="/usr/bin/tini-static")},
    "read-only": {"securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": True}},
    "one-capability-as-root": {"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}}},
    "one-capability-as-user": {
        "securityContext": {"user": "1000:1000", "capabilities": {"add": ["CAP_NET_BIND_SERVICE"], "drop": ["all"]}},
        "user": User(1000, 1000, (1000,)),
    },
    "cgroup-v2": {
        "node": NodeFacts(hostname="node-a", cgroup_v2=True, swap_accounting=True),
        "resources": {"limits": {"memory": "1Gi"}},
    },
    "arm64": {"node": NodeFacts(hostname="node-a", architecture="aarch64")},
    "unconfined": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "own-seccomp-profile": {
        "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "audit.json"}},
        "seccomp_profile": seccomp.localhost(
            b'{"defaultAction": "SCMP_ACT_LOG", "listenerPath": "/run/x", "comment": "x"}'
        ),
    },
}


@pytest.mark.feature("P1")
@pytest.mark.parametrize("name", CASES)
def test_the_spec_is_as_recorded(name: str) -> None:
    path = GOLDEN / f"{name}.json"
    text = json.dumps(_readable(made(**CASES[name])), indent=2) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)

    assert json.loads(path.read_text()) == json.loads(text), "run with UPDATE_GOLDEN=1 if the change is meant"


def test_no_recorded_spec_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CASES)
