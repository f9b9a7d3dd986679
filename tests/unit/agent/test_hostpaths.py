"""hostPath, subPath and devices on a real file system."""

import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from controller.agent import hostpaths
from controller.api.container import Device, HostPathSource, HostPathType, Mount
from controller.api.policy import read
from controller.api.reasons import Reason
from controller.oci.inputs import ResolvedMount

FIELD = "spec.mounts[0]"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="device nodes can be made by root only")


def mount(path: str, kind: str = "", sub_path: str = "") -> Mount:
    return Mount(mount_path="/data", host_path=HostPathSource(path=path, type=HostPathType(kind)), sub_path=sub_path)


def anything(_path: str, _read_only: bool) -> str:
    return ""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The root of a node."""
    root = tmp_path / "node"
    (root / "srv/data/web").mkdir(parents=True)
    (root / "srv/file").write_text("x")
    (root / "etc").mkdir()
    (root / "link").symlink_to("/srv/data")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(root / "srv/socket"))
    os.mkfifo(root / "srv/fifo")
    return root


@pytest.mark.feature("S1")
@pytest.mark.parametrize(
    ("path", "kind"),
    [("/srv/data", ""), ("/srv/data", "Directory"), ("/srv/data", "DirectoryOrCreate"), ("/srv/file", "File"),
     ("/srv/file", "FileOrCreate"), ("/srv/socket", "Socket"), ("/srv/fifo", ""), ("/srv//data/", "Directory")],
)  # fmt: skip
def test_what_is_there_and_of_its_type_is_found(node: Path, path: str, kind: str) -> None:
    resolved = hostpaths.resolve_mount(mount(path, kind), field=FIELD, permit=anything, host_root=node)

    status = (node / path.lstrip("/")).stat()
    assert resolved.source == os.path.normpath(path)
    assert resolved.identity == (status.st_dev, status.st_ino)


def test_a_link_of_the_node_is_followed_within_the_node(node: Path) -> None:
    resolved = hostpaths.resolve_mount(mount("/link/web"), field=FIELD, permit=anything, host_root=node)

    assert resolved.source == "/srv/data/web"


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("/srv/missing", "", "is not on this node; create it"),
        ("/srv/missing", "Directory", "is not on this node"),
        ("/missing/file", "FileOrCreate", "is not on this node"),
        ("/srv/file", "Directory", "is not a directory; correct path or type"),
        ("/srv/file", "DirectoryOrCreate", "is not a directory"),
        ("/srv/data", "File", "is not a file"),
        ("/srv/data", "FileOrCreate", "is not a file"),
        ("/srv/file", "Socket", "is not a socket"),
        ("/srv/file", "CharDevice", "is not a character device"),
        ("/srv/file", "BlockDevice", "is not a block device"),
        ("/srv/file/x", "", "Not a directory"),
    ],
)
def test_what_is_missing_or_of_another_type_is_an_error(node: Path, path: str, kind: str, part: str) -> None:
    with pytest.raises(hostpaths.MountSourceMissing, match=part) as caught:
        hostpaths.resolve_mount(mount(path, kind), field=FIELD, permit=anything, host_root=node)

    assert str(caught.value).startswith(f"{FIELD}.hostPath")
    assert caught.value.reason is Reason.MOUNT_SOURCE_MISSING


def test_a_missing_directory_is_made_with_its_parents_as_kubernetes_does(node: Path) -> None:
    hostpaths.resolve_mount(mount("/srv/new/deep", "DirectoryOrCreate"), field=FIELD, permit=anything, host_root=node)

    assert stat.S_IMODE((node / "srv/new/deep").stat().st_mode) == 0o755


def test_a_missing_file_is_made_empty_and_an_existing_one_kept(node: Path) -> None:
    hostpaths.resolve_mount(mount("/srv/new", "FileOrCreate"), field=FIELD, permit=anything, host_root=node)
    hostpaths.resolve_mount(mount("/srv/file", "FileOrCreate"), field=FIELD, permit=anything, host_root=node)

    assert (node / "srv/new").read_bytes() == b""
    assert stat.S_IMODE((node / "srv/new").stat().st_mode) == 0o644
    assert (node / "srv/file").read_text() == "x"


@pytest.mark.parametrize("kind", ["", "Directory", "DirectoryOrCreate", "FileOrCreate"])
@pytest.mark.parametrize("target", ["/etc/made", "../etc/made", "made"])
@pytest.mark.parametrize("path", ["/srv/link", "/srv/link/deeper"])
def test_nothing_is_made_where_a_dangling_link_leads(node: Path, kind: str, target: str, path: str) -> None:
    (node / "srv/link").symlink_to(target)

    with pytest.raises(hostpaths.MountSourceMissing, match="symbolic link on it leads to something that is missing"):
        hostpaths.resolve_mount(mount(path, kind), field=FIELD, permit=anything, host_root=node)

    assert not (node / "etc/made").exists()
    assert not (node / "srv/made").exists()


def test_nothing_is_made_where_a_dangling_link_in_a_sub_path_leads(node: Path) -> None:
    (node / "srv/data/link").symlink_to("made")

    with pytest.raises(hostpaths.MountSourceMissing, match=r"spec.mounts\[0\].subPath: link can't be used"):
        hostpaths.resolve_mount(mount("/srv/data", sub_path="link"), field=FIELD, permit=anything, host_root=node)

    assert not (node / "srv/data/made").exists()


def test_a_sub_path_is_resolved_beneath_its_source(node: Path) -> None:
    (node / "srv/data/current").symlink_to("web")

    resolved = hostpaths.resolve_mount(
        mount("/srv/data", sub_path="current"), field=FIELD, permit=anything, host_root=node
    )

    assert resolved.source == "/srv/data/web"


def test_a_missing_sub_path_is_made_with_the_mode_of_its_source(node: Path) -> None:
    (node / "srv/data").chmod(0o750)

    hostpaths.resolve_mount(mount("/srv/data", sub_path="a/b"), field=FIELD, permit=anything, host_root=node)

    assert stat.S_IMODE((node / "srv/data/a/b").stat().st_mode) == 0o750


@pytest.mark.feature("S1")
@pytest.mark.parametrize("target", ["/etc", "../../etc", "..", "/proc/self/root/etc", "web/../../../etc"])
def test_a_link_in_a_sub_path_cannot_lead_out(node: Path, target: str) -> None:
    (node / "srv/data/evil").symlink_to(target)

    with pytest.raises(hostpaths.SubPathLeadsOut, match=r"spec.mounts\[0\].subPath: evil leads out") as caught:
        hostpaths.resolve_mount(mount("/srv/data", sub_path="evil"), field=FIELD, permit=anything, host_root=node)

    assert caught.value.reason is Reason.MOUNT_SOURCE_MISSING


def test_a_mount_without_a_source_is_an_error(node: Path) -> None:
    with pytest.raises(hostpaths.MountSourceMissing, match="names no source"):
        hostpaths.resolve_mount(Mount(mount_path="/data"), field=FIELD, permit=anything, host_root=node)


class TestConfirm:
    """This process stands in for a container: its root is the node's root."""

    def resolved(self, source: Path, target: Path) -> ResolvedMount:
        found = hostpaths.resolve_mount(mount(str(source)), field=FIELD, permit=anything)
        return ResolvedMount(Mount(mount_path=str(target)), found.source, found.identity)

    def test_a_mount_of_what_was_checked_passes(self, tmp_path: Path) -> None:
        hostpaths.confirm_mount(self.resolved(tmp_path, tmp_path), field=FIELD, pid=os.getpid())

    def test_an_exchanged_source_is_found_out(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        with pytest.raises(hostpaths.SourceExchanged, match="exchanged while the container was made"):
            hostpaths.confirm_mount(self.resolved(tmp_path, tmp_path / "other"), field=FIELD, pid=os.getpid())

    def test_a_process_that_is_gone_is_an_error_too(self, tmp_path: Path) -> None:
        with pytest.raises(hostpaths.SourceExchanged, match="can't be looked at"):
            hostpaths.confirm_mount(self.resolved(tmp_path, tmp_path), field=FIELD, pid=2**22 + 1)


class TestDevices:
    def test_a_device_of_the_node_is_described(self) -> None:
        found = hostpaths.resolve_device(
            Device(host_path="/dev/null", permissions="rw"), field="spec.devices[0]", permit=anything
        )

        assert (found.type, found.major, found.minor, found.permissions) == ("c", 1, 3, "rw")
        assert found.container_path == "/dev/null"
        assert found.mode & 0o666

    def test_a_missing_device_is_named(self) -> None:
        with pytest.raises(
            hostpaths.DeviceMissing, match=r"spec.devices\[0\].hostPath: /dev/nosuch is not on this node"
        ):
            hostpaths.resolve_device(Device(host_path="/dev/nosuch"), field="spec.devices[0]", permit=anything)

    def test_what_is_no_device_is_an_error(self, node: Path) -> None:
        with pytest.raises(hostpaths.DeviceMissing, match="is not a device"):
            hostpaths.resolve_device(
                Device(host_path="/srv/file"), field="spec.devices[0]", permit=anything, host_root=node
            )

    @as_root
    def test_links_and_block_devices_are_found(self, node: Path) -> None:
        (node / "dev/disk").mkdir(parents=True)
        os.mknod(node / "dev/loop7", 0o660 | stat.S_IFBLK, os.makedev(7, 7))
        (node / "dev/disk/x").symlink_to("../loop7")

        device = Device(host_path="/dev/disk/x", container_path="/dev/data")
        found = hostpaths.resolve_device(device, field="spec.devices[0]", permit=anything, host_root=node)

        assert (found.type, found.major, found.minor, found.container_path) == ("b", 7, 7, "/dev/data")

    @as_root
    def test_all_devices_of_the_node_are_found_without_those_of_terminals(self, node: Path) -> None:
        (node / "dev/pts").mkdir(parents=True)
        (node / "dev/snd").mkdir()
        for path in ("dev/fuse", "dev/snd/timer", "dev/pts/0", "dev/console"):
            os.mknod(node / path, 0o660 | stat.S_IFCHR, os.makedev(10, 229))
        (node / "dev/fd").symlink_to("/proc/self/fd")
        (node / "dev/plain").write_text("")

        found = hostpaths.node_devices(host_root=node)

        assert [device.container_path for device in found] == ["/dev/fuse", "/dev/snd/timer"]


class TestProfile:
    def test_a_profile_beneath_the_directory_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "web").mkdir()
        (tmp_path / "web/strict.json").write_text("{}")

        assert hostpaths.read_profile(tmp_path, "web/strict.json") == b"{}"

    @pytest.mark.parametrize("name", ["missing.json", "../secret", "/etc/passwd", "link", "directory"])
    def test_nothing_else_is(self, tmp_path: Path, name: str) -> None:
        profiles = tmp_path / "profiles"
        (profiles / "directory").mkdir(parents=True)
        (tmp_path / "secret").write_text("{}")
        (profiles / "link").symlink_to("../secret")

        with pytest.raises(hostpaths.ProfileMissing, match="localhostProfile"):
            hostpaths.read_profile(profiles, name)


@pytest.mark.feature("P6")
class TestWhatALinkLeadsTo:
    """/srv is allowed, /usr/share to read only."""

    @staticmethod
    def permit(path: str, read_only: bool) -> str:
        grants = read(
            {
                "rules": [
                    {
                        "namespaces": ["*"],
                        "allow": {"hostPaths": [{"path": "/srv"}, {"path": "/usr/share", "readOnly": True}]},
                    }
                ]
            }
        ).grants("shop")
        return grants.path_problem(path, read_only=read_only)

    def resolve(self, node: Path, path: str, kind: str = "", **fields: Any) -> str:
        wanted = mount(path, kind).model_copy(update=fields)
        return hostpaths.resolve_mount(wanted, field=FIELD, permit=self.permit, host_root=node).source

    def test_what_stays_in_the_allowed_place_is_given(self, node: Path) -> None:
        (node / "srv/inner").symlink_to("data/web")

        assert self.resolve(node, "/srv/inner") == "/srv/data/web"
        assert self.resolve(node, "/srv/new/deep", "DirectoryOrCreate") == "/srv/new/deep"
        assert self.resolve(node, "/srv/data", sub_path="a/b") == "/srv/data/a/b"

    @pytest.mark.parametrize("target", ["/etc", "../etc", "/srv/../etc", "/link/../../etc", "../../../../etc", "/"])
    @pytest.mark.parametrize("kind", ["", "Directory", "DirectoryOrCreate"])
    def test_a_link_out_of_it_is_refused(self, node: Path, target: str, kind: str) -> None:
        (node / "srv/evil").symlink_to(target)

        with pytest.raises(hostpaths.PathForbidden) as refused:
            self.resolve(node, "/srv/evil", kind)

        assert refused.value.reason is Reason.POLICY_FORBIDDEN
        assert "/srv/evil leads there: " in str(refused.value)

    @pytest.mark.parametrize("kind", ["", "Socket", "FileOrCreate"])
    def test_nothing_is_told_of_what_is_forbidden(self, node: Path, kind: str) -> None:
        (node / "etc/shadow").write_text("x")
        (node / "srv/evil").symlink_to("/etc/shadow")

        with pytest.raises(hostpaths.PathForbidden):
            self.resolve(node, "/srv/evil", kind)

    @pytest.mark.parametrize(
        ("link", "target", "path", "kind"),
        [
            ("srv/evil", "/etc", "/srv/evil/made", "DirectoryOrCreate"),
            ("srv/evil", "/etc", "/srv/evil/made", "FileOrCreate"),
            ("srv/evil", "/etc/made", "/srv/evil", "DirectoryOrCreate"),
            ("srv/evil", "/etc/made", "/srv/evil/deeper", "DirectoryOrCreate"),
            ("srv/evil", "../etc/made", "/srv/evil/deeper", "DirectoryOrCreate"),
        ],
    )
    def test_nothing_is_made_behind_a_link(self, node: Path, link: str, target: str, path: str, kind: str) -> None:
        (node / link).symlink_to(target)

        with pytest.raises(hostpaths.HostPathError):
            self.resolve(node, path, kind)

        assert not (node / "etc/made").exists()

    def test_nothing_is_made_where_only_reading_is_allowed(self, node: Path) -> None:
        (node / "usr/share").mkdir(parents=True)

        assert self.resolve(node, "/usr/share", "DirectoryOrCreate", read_only=True) == "/usr/share"
        for kind in ("DirectoryOrCreate", "FileOrCreate"):
            with pytest.raises(hostpaths.PathForbidden):
                self.resolve(node, "/usr/share/made", kind, read_only=True)
        with pytest.raises(hostpaths.PathForbidden):
            self.resolve(node, "/usr/share", read_only=True, sub_path="made")
        assert not (node / "usr/share/made").exists()

    def test_a_link_to_where_only_reading_is_allowed(self, node: Path) -> None:
        (node / "usr/share").mkdir(parents=True)
        (node / "srv/shared").symlink_to("/usr/share")

        assert self.resolve(node, "/srv/shared", read_only=True) == "/usr/share"
        with pytest.raises(hostpaths.PathForbidden):
            self.resolve(node, "/srv/shared")

    def test_a_link_to_a_device_is_refused_by_its_real_path(self, tmp_path: Path) -> None:
        (tmp_path / "disk").symlink_to("/dev/null")
        link = Device(host_path=str(tmp_path / "disk"))

        def permit(path: str, _read_only: bool) -> str:
            return "" if path == str(tmp_path / "disk") else f"{path} is not allowed"

        with pytest.raises(hostpaths.PathForbidden, match="/dev/null is not allowed"):
            hostpaths.resolve_device(link, field="spec.devices[0]", permit=permit)
