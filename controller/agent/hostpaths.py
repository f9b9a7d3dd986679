"""Files, directories and devices of the node that a container is given: found, checked, made where asked for.

A `hostPath` is resolved from the node's root, which is `host_root` in the agent's own file system (the agent may run in a
container itself); what is handed on is the path as the node's containerd sees it. A `subPath` is resolved beneath the source,
and no symbolic link in it can lead out (`confined`).

What remains is a race: containerd gets a path, not a descriptor, and whoever may write to the source (another container with the
same hostPath) can exchange a directory for a link between this check and the mount. The kubelet closes the gap by binding the
opened directory to a private path, which leaves mounts to clean up; here the mount is instead confirmed after the container has
been made and before its process is started: `confirm_mount` compares what is mounted with what was checked, by device and inode.

Whoever asks says which real paths may be given (`permit`): a link that leads from an allowed place to another is found here, after
it was followed and before anything is made behind it.

Small synchronous functions; no containerd, no Kubernetes.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.agent import confined
from controller.api.container import Device, HostPathType, Mount
from controller.api.reasons import Reason
from controller.oci.errors import OCIError
from controller.oci.inputs import HostDevice, ResolvedMount
from controller.oci.seccomp import MAX_PROFILE_BYTES

_DIRECTORY_MODE: Final = 0o755
_FILE_MODE: Final = 0o644
"""With these modes Kubernetes makes what is missing with DirectoryOrCreate and FileOrCreate."""

_CHECKS: Final = {
    HostPathType.DIRECTORY: (stat.S_ISDIR, "a directory"),
    HostPathType.DIRECTORY_OR_CREATE: (stat.S_ISDIR, "a directory"),
    HostPathType.FILE: (stat.S_ISREG, "a file"),
    HostPathType.FILE_OR_CREATE: (stat.S_ISREG, "a file"),
    HostPathType.SOCKET: (stat.S_ISSOCK, "a socket"),
    HostPathType.CHAR_DEVICE: (stat.S_ISCHR, "a character device"),
    HostPathType.BLOCK_DEVICE: (stat.S_ISBLK, "a block device"),
}
_ROOT: Final = Path("/")
_PROC: Final = Path("/proc")
_NOT_DEVICES: Final = frozenset({"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "init"})
"""Entries of /dev that belong to the node alone or that every container has of its own."""

Permit = Callable[[str, bool], str]
"""Says why a real path of the node may not be given, or nothing when it may. The second argument: it is only read."""


class HostPathError(OCIError):
    """Something of the node that a container asks for can't be given to it; `field` says where it was asked for."""

    reason = Reason.MOUNT_SOURCE_MISSING

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class MountSourceMissing(HostPathError):
    """The source is not there, not of the type asked for, or can't be reached."""


class SubPathLeadsOut(HostPathError):
    """A symbolic link on the subPath leads out of the source: the fault of what is in the volume, which may be mended."""


class SourceExchanged(HostPathError):
    """What was mounted is not what was checked: somebody exchanged it in between."""

    reason = Reason.START_ERROR


class PathForbidden(HostPathError):
    """What was asked for leads to something that may not be given."""

    reason = Reason.POLICY_FORBIDDEN


class DeviceMissing(HostPathError):
    """The node has no such device."""

    reason = Reason.NODE_UNFIT


class ProfileMissing(HostPathError):
    """The node has no such seccomp profile."""

    reason = Reason.NODE_UNFIT


@dataclass(frozen=True)
class _Gate:
    """Lets pass what one mount or device may be given."""

    field: str
    path: str
    host_root: Path
    permit: Permit

    def check(self, real: str, *, read_only: bool) -> None:
        """Make sure that this path, as this process sees it, may be given.

        Raises:
            PathForbidden: it may not.
        """
        there = _on_node(real, self.host_root)
        problem = self.permit(there, read_only)
        if problem:
            raise PathForbidden(self.field, problem if there == self.path else f"{self.path} leads there: {problem}")

    def check_making(self, real: str) -> None:
        """Make sure that something may be made at this path."""
        self.check(real, read_only=False)


def resolve_mount(mount: Mount, *, field: str, permit: Permit, host_root: Path = _ROOT) -> ResolvedMount:
    """The mount with the real path of its source, made if its type says so, its subPath resolved beneath it.

    `field` is the mount's place in the object (`spec.mounts[0]`), for errors.

    Raises:
        HostPathError: it can't be mounted; the message names field, path and way out.
    """
    if mount.host_path is None:
        raise MountSourceMissing(field, "names no source; set hostPath")
    wanted, path, place = mount.host_path.type, mount.host_path.path, f"{field}.hostPath"
    gate = _Gate(f"{place}.path", path, host_root, permit)
    with _errors_named(place, path), _directory(host_root) as root:
        _make(root, path, wanted, gate)
        with confined.opened(root, path, clamp=True) as source:
            # Also with a subPath: what type the source has, and what is beneath it, is not told of a forbidden one.
            gate.check(confined.real_path(source), read_only=mount.read_only)
            _check_type(source, wanted, place, path)
            if not mount.sub_path:
                return _resolved(mount, source, gate)
            return _beneath(mount, source, f"{field}.subPath", gate)


def confirm_mount(resolved: ResolvedMount, *, field: str, pid: int, proc: Path = _PROC) -> None:
    """Make sure that a created container has mounted what was checked, before its process is started.

    `pid` is the container's first process; after create it waits in the finished root filesystem. Of two mounts on one path
    only the upper one can be confirmed.

    Raises:
        SourceExchanged: it has not.
    """
    target = resolved.mount.mount_path
    try:
        with _directory(proc / str(pid) / "root") as root, confined.opened(root, target, clamp=True) as found:
            status = os.fstat(found)
    except OSError as error:
        raise SourceExchanged(field, f"{target} can't be looked at in the container: {error.strerror}") from error
    if resolved.identity is not None and resolved.identity != (status.st_dev, status.st_ino):
        raise SourceExchanged(field, f"{resolved.source} was exchanged while the container was made; it is not started")


def resolve_device(device: Device, *, field: str, permit: Permit, host_root: Path = _ROOT) -> HostDevice:
    """The device node behind an entry of `devices`; a link such as /dev/disk/by-id/… is followed.

    Raises:
        DeviceMissing: there is none.
        PathForbidden: it may not be given.
    """
    place, path = f"{field}.hostPath", device.host_path
    try:
        with _directory(host_root) as root, confined.opened(root, path, clamp=True) as found:
            status, real = os.fstat(found), confined.real_path(found)
    except OSError as error:
        problem = f"{path} is not on this node ({error.strerror}); remove it, or use another node"
        raise DeviceMissing(place, problem) from error
    if not _is_device(status):
        raise DeviceMissing(
            place, f"{path} is not a device; name a device node, or use mounts for files and directories"
        )
    _Gate(place, path, host_root, permit).check(real, read_only=False)
    return _host_device(device.container_path or path, status, device.permissions)


def node_devices(*, host_root: Path = _ROOT) -> tuple[HostDevice, ...]:
    """Every device node of the node, for privileged containers."""
    with _directory(host_root) as root, confined.opened(root, "/dev", clamp=True) as found:
        return tuple(_host_device(path, status, "rwm") for path, status in _nodes_beneath(found))


def read_profile(directory: Path, name: str, *, field: str = "spec.securityContext.seccompProfile") -> bytes:
    """A seccomp profile from the node's directory of profiles, by its path relative to that.

    Raises:
        ProfileMissing: there is no such file beneath the directory, or it is too large.
    """
    place = f"{field}.localhostProfile"
    try:
        with _directory(directory) as root, confined.opened(root, name, clamp=False) as found:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise ProfileMissing(place, f"{name} is not a file in {directory} on this node")
            with Path(f"/proc/self/fd/{found}").open("rb") as file:
                return file.read(MAX_PROFILE_BYTES + 1)
    except OSError as error:
        raise ProfileMissing(place, f"{name} is not in {directory} on this node: {error.strerror}") from error


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _errors_named(field: str, path: str) -> Iterator[None]:
    """Failures of the system as errors that say where they come from."""
    try:
        yield
    except confined.DanglingLinkError as error:
        problem = f"{path} can't be used: {error.strerror}; create that, or remove the link"
        raise MountSourceMissing(field, problem) from error
    except FileNotFoundError as error:
        problem = f"{path} is not on this node; create it, or use type DirectoryOrCreate or FileOrCreate"
        raise MountSourceMissing(field, problem) from error
    except confined.LeadsOutError as error:
        raise SubPathLeadsOut(
            field, f"{path} leads out of the source; mend the link in it, or choose another subPath"
        ) from error
    except OSError as error:
        raise MountSourceMissing(field, f"{path} can't be used: {error.strerror}") from error


def _make(root: int, path: str, wanted: HostPathType, gate: _Gate) -> None:
    """Make what is missing, as Kubernetes does: a directory with its parents, or an empty file in an existing directory."""
    if wanted is HostPathType.DIRECTORY_OR_CREATE:
        with confined.opened(root, path, clamp=True, make=_DIRECTORY_MODE, ask=gate.check_making):
            return
    if wanted is HostPathType.FILE_OR_CREATE:
        try:
            with confined.opened(root, path, clamp=True):
                return
        except confined.DanglingLinkError:
            raise
        except FileNotFoundError:
            _make_file(root, path, gate)


def _make_file(root: int, path: str, gate: _Gate) -> None:
    parent, _, name = path.rstrip("/").rpartition("/")
    with confined.opened(root, parent, clamp=True) as directory:
        gate.check_making(f"{confined.real_path(directory).rstrip('/')}/{name}")
        flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
        descriptor = os.open(name, flags, _FILE_MODE, dir_fd=directory)
        os.fchmod(descriptor, _FILE_MODE)
        os.close(descriptor)


def _check_type(descriptor: int, wanted: HostPathType, field: str, path: str) -> None:
    check = _CHECKS.get(wanted)
    if check is not None and not check[0](os.fstat(descriptor).st_mode):
        raise MountSourceMissing(f"{field}.type", f"{path} is not {check[1]}; correct path or type")


def _beneath(mount: Mount, source: int, field: str, gate: _Gate) -> ResolvedMount:
    """The subPath, its missing directories made with the source's mode as the kubelet does."""
    mode = stat.S_IMODE(os.fstat(source).st_mode)
    named, sub_path = _errors_named(field, mount.sub_path), mount.sub_path
    with named, confined.opened(source, sub_path, clamp=False, make=mode, ask=gate.check_making) as found:
        return _resolved(mount, found, gate)


def _resolved(mount: Mount, descriptor: int, gate: _Gate) -> ResolvedMount:
    path = confined.real_path(descriptor)
    gate.check(path, read_only=mount.read_only)
    status = os.fstat(descriptor)
    return ResolvedMount(mount, _on_node(path, gate.host_root), (status.st_dev, status.st_ino))


def _on_node(path: str, host_root: Path) -> str:
    """A path as the node's containerd sees it.

    Raises:
        OSError: the node has no such path.
    """
    root = os.path.realpath(host_root).rstrip("/")
    if root and path != root and not path.startswith(f"{root}/"):
        raise OSError(errno.EXDEV, "it is outside of the node's root", path)
    return path[len(root) :] or "/"


def _nodes_beneath(directory: int) -> Iterator[tuple[str, os.stat_result]]:
    """The device nodes of /dev and its directories with their paths, without following links."""
    readable = os.open(f"/proc/self/fd/{directory}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for parent, directories, files, descriptor in os.fwalk(".", dir_fd=readable, follow_symlinks=False):
            skipped = _NOT_DEVICES if parent == "." else frozenset[str]()
            directories[:] = sorted(set(directories) - skipped)
            for name in sorted(set(files) - skipped):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if _is_device(status):
                    yield os.path.normpath(f"/dev/{parent}/{name}"), status
    finally:
        os.close(readable)


def _is_device(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)


def _host_device(path: str, status: os.stat_result, permissions: str) -> HostDevice:
    return HostDevice(
        container_path=path,
        type="b" if stat.S_ISBLK(status.st_mode) else "c",
        major=os.major(status.st_rdev),
        minor=os.minor(status.st_rdev),
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        permissions=permissions,
    )
