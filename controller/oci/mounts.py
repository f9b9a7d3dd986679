"""The mounts of a container: what every container has, and what its Container adds or puts in their place.

The default set is containerd's without the tmpfs on /run, which would hide what an image has there (Docker and Kubernetes leave
it out, too). Pure: the sources of the Container's mounts were resolved on the node before.
"""

import posixpath
from collections.abc import Iterable
from typing import Any, Final

from controller.api.container import MountPropagation, NetworkMode
from controller.oci.errors import NodeUnfit
from controller.oci.inputs import Inputs, ResolvedMount

INIT_TARGET: Final = "/dev/init"
_INIT_FALLBACK: Final = "/.tallyman-init"
_PROPAGATION: Final = {
    MountPropagation.NONE: "rprivate",
    MountPropagation.HOST_TO_CONTAINER: "rslave",
    MountPropagation.BIDIRECTIONAL: "rshared",
}
_KERNEL: Final = ("nosuid", "noexec", "nodev")


def mounts(inputs: Inputs) -> list[dict[str, Any]]:
    """The runtime spec's `mounts`, in the order in which they are made: parents before what is mounted beneath them."""
    own = sorted((_bind(mount, inputs) for mount in inputs.mounts), key=lambda bind: bind["destination"].count("/"))
    taken = _targets(inputs)
    basic = [mount for mount in _defaults(inputs) if not _covered(mount["destination"], taken)]
    return [*basic, *_network_files(inputs, taken), *own, *_init(inputs)]


def rootfs_propagation(inputs: Inputs) -> str | None:
    """How mounts travel between the root filesystem and the node, as far as one of the Container's mounts needs it."""
    wanted = {resolved.mount.mount_propagation for resolved in inputs.mounts}
    if MountPropagation.BIDIRECTIONAL in wanted:
        return "rshared"
    return "rslave" if MountPropagation.HOST_TO_CONTAINER in wanted else None


def init_target(inputs: Inputs) -> str:
    """Where the init binary is in the container: beneath the container's own /dev, or in its root if /dev is not its own.

    The runtime makes the file to mount onto; in a /dev bound from the node that file would appear on the node.
    """
    return _INIT_FALLBACK if _covered(INIT_TARGET, _targets(inputs)) else INIT_TARGET


def _defaults(inputs: Inputs) -> list[dict[str, Any]]:
    access = "rw" if inputs.spec.security_context.privileged else "ro"
    return [
        _mount("/proc", "proc", "proc", *_KERNEL),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
        ),
        _mount("/dev/shm", "tmpfs", "shm", *_KERNEL, "mode=1777", "size=65536k"),  # noqa: S108 - a path in the container
        _mount("/dev/mqueue", "mqueue", "mqueue", *_KERNEL),
        _mount("/sys", "sysfs", "sysfs", *_KERNEL, access),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", *_KERNEL, "relatime", access),
    ]


def _network_files(inputs: Inputs, taken: frozenset[str]) -> list[dict[str, Any]]:
    """The node's resolver files: on the node's network its names are the right ones."""
    if inputs.spec.network.mode is not NetworkMode.HOST:
        return []
    files = {"/etc/resolv.conf": inputs.node.resolv_conf, "/etc/hosts": inputs.node.hosts}
    return [
        _mount(target, "bind", source, "rbind", "rprivate", "ro")
        for target, source in files.items()
        if source and not _covered(target, taken)
    ]


def _bind(resolved: ResolvedMount, inputs: Inputs) -> dict[str, Any]:
    mount = resolved.mount
    options = ["rbind", _PROPAGATION[mount.mount_propagation], "ro" if mount.read_only else "rw"]
    # Recursive read-only is only defined for private mounts: what arrives later would be writable.
    if mount.read_only and inputs.node.recursive_read_only and mount.mount_propagation is MountPropagation.NONE:
        options.append("rro")
    return _mount(_normal(mount.mount_path), "bind", resolved.source, *options)


def _init(inputs: Inputs) -> list[dict[str, Any]]:
    if not inputs.spec.init:
        return []
    if inputs.node.init_path is None:
        raise NodeUnfit("init: this node has no init binary; install tini or catatonit on it, or set init to false")
    return [_mount(init_target(inputs), "bind", inputs.node.init_path, "bind", "rprivate", "ro", "nosuid", "nodev")]


def _targets(inputs: Inputs) -> frozenset[str]:
    return frozenset(_normal(resolved.mount.mount_path) for resolved in inputs.mounts)


def _covered(path: str, targets: Iterable[str]) -> bool:
    """Whether the path is one of the targets or lies beneath one."""
    return any(path == target or path.startswith(f"{target}/") for target in targets)


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
