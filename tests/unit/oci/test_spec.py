"""What each field of the Container does to the runtime spec."""

from typing import Any

import pytest

from controller.api.capabilities import KNOWN_CAPABILITIES
from controller.api.container import ContainerSpec
from controller.api.reasons import Reason
from controller.oci import capabilities, resources, seccomp, spec
from controller.oci.errors import InvalidProfile, NodeUnfit, OCIError
from controller.oci.image import ImageConfig
from controller.oci.inputs import HostDevice, Inputs, NodeFacts, ResolvedMount
from controller.oci.user import User

NODE = NodeFacts(hostname="node-a")


def build(
    image: ImageConfig = ImageConfig(),  # noqa: B008 - frozen
    node: NodeFacts = NODE,
    user: User = User(),  # noqa: B008 - frozen
    devices: tuple[HostDevice, ...] = (),
    profile: dict[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    declared = ContainerSpec.model_validate({"image": "web:1", "command": ["/bin/true"], **fields})
    mounts = tuple(ResolvedMount(mount, f"/node{mount.mount_path}") for mount in declared.mounts)
    return spec.build(Inputs(declared, image, "ab" * 32, "ns", node, user, mounts, devices, profile))


def bind(path: str, **fields: Any) -> dict[str, Any]:
    return {"mountPath": path, "hostPath": {"path": "/x"}, **fields}


def destinations(document: dict[str, Any]) -> list[str]:
    return [mount["destination"] for mount in document["mounts"]]


def mounted(document: dict[str, Any], path: str) -> dict[str, Any]:
    [found] = [mount for mount in document["mounts"] if mount["destination"] == path]
    return dict(found)


@pytest.mark.feature("P1")
class TestIsolation:
    def test_a_plain_container_has_every_namespace_of_its_own(self) -> None:
        linux = build()["linux"]
        assert [kind["type"] for kind in linux["namespaces"]] == ["pid", "ipc", "uts", "mount", "network"]

    def test_on_cgroup_v2_it_has_a_cgroup_namespace_too(self) -> None:
        linux = build(node=NodeFacts(hostname="n", cgroup_v2=True))["linux"]
        assert {"type": "cgroup"} in linux["namespaces"]

    @pytest.mark.feature("N1")
    def test_the_host_network_is_the_nodes_and_its_names_are_too(self) -> None:
        document = build(network={"mode": "host"})
        assert {"type": "network"} not in document["linux"]["namespaces"]
        assert document["hostname"] == "node-a"
        assert mounted(document, "/etc/hosts")["options"] == ["rbind", "rprivate", "ro"]
        assert mounted(document, "/etc/resolv.conf")["source"] == "/etc/resolv.conf"

    def test_files_that_the_node_does_not_have_are_not_mounted(self) -> None:
        document = build(node=NodeFacts(hostname="n", hosts=None, resolv_conf=None), network={"mode": "host"})
        assert not [path for path in destinations(document) if path.startswith("/etc")]

    def test_a_mount_over_etc_keeps_the_nodes_files_out(self) -> None:
        document = build(network={"mode": "host"}, mounts=[bind("/etc")])
        assert [path for path in destinations(document) if path.startswith("/etc")] == ["/etc"]

    @pytest.mark.feature("L1")
    def test_the_hostname_is_the_beginning_of_the_id(self) -> None:
        document = build()
        assert document["hostname"] == "abababababab"
        assert "HOSTNAME=abababababab" in document["process"]["env"]

    def test_sysctls_of_the_node_are_refused(self) -> None:
        with pytest.raises(OCIError, match=r"sysctl net.core.somaxconn belongs to the node on the host network"):
            build(sysctls={"net.core.somaxconn": "1"}, network={"mode": "host"})

    def test_privileged_lifts_masks_filter_and_device_rules(self) -> None:
        document = build(securityContext={"privileged": True})
        assert not {"maskedPaths", "readonlyPaths", "seccomp"} & document["linux"].keys()
        assert document["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
        assert document["process"]["noNewPrivileges"] is False
        assert set(document["process"]["capabilities"]["bounding"]) == KNOWN_CAPABILITIES
        assert mounted(document, "/sys")["options"][-1] == "rw"

    def test_privileged_is_limited_to_what_the_node_has(self) -> None:
        node = NodeFacts(hostname="n", capabilities=KNOWN_CAPABILITIES - {"CAP_SYS_RESOURCE"})
        document = build(node=node, securityContext={"privileged": True})
        assert "CAP_SYS_RESOURCE" not in document["process"]["capabilities"]["bounding"]


class TestProcess:
    def test_variables_of_the_container_win_over_those_of_the_image(self) -> None:
        image = ImageConfig(env=(("PATH", "/image"), ("A", "image"), ("B", "image")))
        env = build(image, env=[{"name": "B", "value": "own"}])["process"]["env"]
        assert env == ["PATH=/image", "HOSTNAME=abababababab", "A=image", "B=own"]

    def test_a_terminal_has_a_type(self) -> None:
        process = build(tty=True)["process"]
        assert process["terminal"] is True
        assert "TERM=xterm" in process["env"]

    def test_home_is_the_users_unless_somebody_sets_it(self) -> None:
        user = User(1000, 1000, (1000,), "/home/app")
        assert "HOME=/home/app" in build(user=user)["process"]["env"]
        assert "HOME=/x" in build(user=user, env=[{"name": "HOME", "value": "/x"}])["process"]["env"]
        assert not [entry for entry in build()["process"]["env"] if entry.startswith("HOME")]

    @pytest.mark.parametrize(
        ("own", "image", "expected"),
        [
            (None, "", "/"),
            (None, "/srv", "/srv"),
            (None, "srv/", "/srv"),
            ("/own", "/srv", "/own"),
            (None, "../..", "/"),
        ],
    )
    def test_the_working_directory(self, own: str | None, image: str, expected: str) -> None:
        assert build(ImageConfig(working_dir=image), workingDir=own)["process"]["cwd"] == expected

    def test_no_limit_is_set_unless_it_is_asked_for(self) -> None:
        process = build()["process"]
        assert not {"rlimits", "oomScoreAdj"} & process.keys()

    def test_an_unlimited_ulimit_is_the_largest_number(self) -> None:
        process = build(ulimits=[{"name": "core", "soft": 0, "hard": -1}])["process"]
        assert process["rlimits"] == [{"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}]

    def test_init_runs_the_command_as_its_child(self) -> None:
        document = build(node=NodeFacts(hostname="n", init_path="/usr/bin/tini"), init=True)
        assert document["process"]["args"] == ["/dev/init", "--", "/bin/true"]
        assert mounted(document, "/dev/init")["source"] == "/usr/bin/tini"
        assert destinations(document)[-1] == "/dev/init"

    @pytest.mark.parametrize("path", ["/dev", "/dev/init"])
    def test_init_stays_out_of_a_dev_that_is_the_nodes(self, path: str) -> None:
        document = build(node=NodeFacts(hostname="n", init_path="/usr/bin/tini"), init=True, mounts=[bind(path)])
        assert document["process"]["args"][0] == "/.tallyman-init"
        assert destinations(document)[-1] == "/.tallyman-init"

    def test_init_without_a_binary_says_what_to_install(self) -> None:
        with pytest.raises(NodeUnfit, match="install tini") as caught:
            build(init=True)
        assert caught.value.reason is Reason.NODE_UNFIT


class TestMounts:
    def test_parents_come_before_what_is_mounted_beneath_them(self) -> None:
        document = build(mounts=[bind("/a/b/c"), bind("/a"), bind("/a/b")])
        assert destinations(document)[-3:] == ["/a", "/a/b", "/a/b/c"]

    @pytest.mark.parametrize(
        ("path", "gone"),
        [
            ("/dev/shm", ["/dev/shm"]),
            ("/dev", ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"]),
            ("/sys", ["/sys", "/sys/fs/cgroup"]),
            ("/sys/fs/cgroup", ["/sys/fs/cgroup"]),
            ("/device", []),
        ],
    )
    def test_a_mount_takes_the_place_of_what_every_container_has(self, path: str, gone: list[str]) -> None:
        before, document = destinations(build()), build(mounts=[bind(path)])
        assert destinations(document) == [*(other for other in before if other not in gone), path]

    @pytest.mark.parametrize(
        ("fields", "options", "rootfs"),
        [
            ({}, ["rbind", "rprivate", "rw"], None),
            ({"readOnly": True}, ["rbind", "rprivate", "ro"], None),
            ({"mountPropagation": "HostToContainer"}, ["rbind", "rslave", "rw"], "rslave"),
            ({"mountPropagation": "Bidirectional"}, ["rbind", "rshared", "rw"], "rshared"),
        ],
    )
    def test_options_of_a_bind(self, fields: dict[str, Any], options: list[str], rootfs: str | None) -> None:
        document = build(mounts=[bind("/data", **fields)])
        assert mounted(document, "/data")["options"] == options
        assert document["linux"].get("rootfsPropagation") == rootfs

    def test_read_only_is_recursive_where_the_node_can(self) -> None:
        node = NodeFacts(hostname="n", recursive_read_only=True)
        assert mounted(build(node=node, mounts=[bind("/a", readOnly=True)]), "/a")["options"][-1] == "rro"
        received = bind("/a", readOnly=True, mountPropagation="HostToContainer")
        assert mounted(build(node=node, mounts=[received]), "/a")["options"][-1] == "ro"


class TestDevices:
    def test_nothing_but_the_defaults_is_allowed(self) -> None:
        rules = build()["linux"]["resources"]["devices"]
        assert rules[0] == {"allow": False, "access": "rwm"}
        assert all(rule["type"] == "c" and rule["major"] in (1, 5, 136) for rule in rules[1:])

    def test_a_device_is_made_and_allowed_as_asked_for(self) -> None:
        device = HostDevice("/dev/x", "b", 8, 1, mode=0o660, gid=6, permissions="r")
        linux = build(devices=(device,))["linux"]
        assert linux["resources"]["devices"][-1] == {"allow": True, "type": "b", "major": 8, "minor": 1, "access": "r"}
        assert linux["devices"] == [
            {"path": "/dev/x", "type": "b", "major": 8, "minor": 1, "fileMode": 0o660, "uid": 0, "gid": 6}
        ]

    def test_the_containers_device_wins_over_one_of_the_node_in_its_place(self) -> None:
        node = NodeFacts(hostname="n", devices=(HostDevice("/dev/x", "c", 1, 1),))
        own = HostDevice("/dev/x", "c", 2, 2)
        linux = build(node=node, devices=(own,), securityContext={"privileged": True})["linux"]
        assert [device["major"] for device in linux["devices"]] == [2]


class TestResources:
    @pytest.mark.parametrize(
        ("declared", "expected"),
        [
            pytest.param({}, {}, id="nothing declared, nothing limited"),
            pytest.param({"limits": {"cpu": "1500m"}}, {"cpu": {"shares": 1536, "quota": 150000, "period": 100000}}, id="a cpu limit is the request, too"),
            pytest.param({"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}}, {"cpu": {"shares": 102, "quota": 100000, "period": 100000}}, id="request and limit"),
            pytest.param({"requests": {"cpu": "250m"}}, {"cpu": {"shares": 256}}, id="a request alone limits nothing"),
            pytest.param({"limits": {"cpu": "1m"}}, {"cpu": {"shares": 2, "quota": 1000, "period": 100000}}, id="the kernel's smallest"),
            pytest.param({"requests": {"cpu": "1000"}}, {"cpu": {"shares": 262144}}, id="the kernel's largest"),
            pytest.param({"limits": {"memory": "64Mi"}}, {"memory": {"limit": 67108864}}, id="memory"),
            pytest.param({"limits": {"pids": 20}}, {"pids": {"limit": 20}}, id="processes"),
        ],
    )  # fmt: skip
    def test_limits(self, declared: dict[str, Any], expected: dict[str, Any]) -> None:
        limits = build(resources=declared)["linux"]["resources"]
        limits.pop("devices")
        assert limits == expected

    def test_swap_is_limited_where_the_kernel_counts_it(self) -> None:
        node = NodeFacts(hostname="n", swap_accounting=True)
        limits = build(node=node, resources={"limits": {"memory": "1Mi"}})["linux"]["resources"]
        assert limits["memory"] == {"limit": 1048576, "swap": 1048576}

    def test_an_update_lifts_what_is_not_limited_any_more(self) -> None:
        node = NodeFacts(hostname="n", swap_accounting=True)
        assert resources.update(ContainerSpec(image="a"), node) == {
            "memory": {"limit": -1, "swap": -1},
            "cpu": {"shares": 1024, "quota": -1, "period": 100000},
            "pids": {"limit": -1},
        }

    def test_an_update_carries_what_is_limited(self) -> None:
        declared = ContainerSpec.model_validate(
            {"image": "a", "resources": {"limits": {"cpu": "2", "memory": "1Gi", "pids": 5}}}
        )
        assert resources.update(declared, NODE) == {
            "memory": {"limit": 2**30},
            "cpu": {"shares": 2048, "quota": 200000, "period": 100000},
            "pids": {"limit": 5},
        }


class TestCapabilities:
    @pytest.mark.parametrize(
        ("add", "drop", "expected"),
        [
            pytest.param([], [], capabilities.DEFAULT, id="the default"),
            pytest.param(["NET_ADMIN"], [], capabilities.DEFAULT | {"CAP_NET_ADMIN"}, id="one more"),
            pytest.param([], ["cap_mknod"], capabilities.DEFAULT - {"CAP_MKNOD"}, id="one less"),
            pytest.param(["NET_RAW"], ["ALL"], {"CAP_NET_RAW"}, id="one alone"),
            pytest.param(["ALL"], [], KNOWN_CAPABILITIES, id="all"),
            pytest.param(["ALL"], ["ALL"], KNOWN_CAPABILITIES, id="add comes after drop"),
            pytest.param([], ["ALL"], set(), id="none"),
        ],
    )
    def test_add_and_drop(self, add: list[str], drop: list[str], expected: set[str]) -> None:
        sets = build(securityContext={"capabilities": {"add": add, "drop": drop}})["process"]["capabilities"]
        assert set(sets["bounding"]) == set(sets["effective"]) == set(sets["permitted"]) == expected
        assert not {"ambient", "inheritable"} & sets.keys()

    def test_there_are_fourteen_by_default(self) -> None:
        assert len(capabilities.DEFAULT) == 14

    def test_what_a_user_is_given_by_name_is_in_force(self) -> None:
        user, security = User(1000, 1000), {"capabilities": {"add": ["NET_BIND_SERVICE"]}}
        sets = build(user=user, securityContext=security)["process"]["capabilities"]
        assert set(sets["bounding"]) == capabilities.DEFAULT
        assert sets["ambient"] == sets["effective"] == ["CAP_NET_BIND_SERVICE"]

    def test_what_the_node_lacks_is_an_error_only_when_it_is_asked_for(self) -> None:
        node = NodeFacts(hostname="n", capabilities=KNOWN_CAPABILITIES - {"CAP_SYS_RESOURCE", "CAP_MKNOD"})
        sets = build(node=node, securityContext={"capabilities": {"add": ["ALL"]}})["process"]["capabilities"]
        assert set(sets["bounding"]) == node.capabilities
        assert "CAP_MKNOD" not in build(node=node)["process"]["capabilities"]["bounding"]
        with pytest.raises(NodeUnfit, match="CAP_SYS_RESOURCE"):
            build(node=node, securityContext={"capabilities": {"add": ["SYS_RESOURCE"]}})

    def test_a_mask_of_the_kernel_is_read(self) -> None:
        assert capabilities.from_mask(0b11 | 1 << 40 | 1 << 63) == {
            "CAP_CHOWN",
            "CAP_DAC_OVERRIDE",
            "CAP_CHECKPOINT_RESTORE",
        }


def allowed(profile: dict[str, Any]) -> set[str]:
    return {name for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


class TestSeccomp:
    def test_the_default_refuses_what_it_does_not_know(self) -> None:
        profile = seccomp.default(capabilities.DEFAULT, "x86_64")
        assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)
        assert profile["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
        assert {"openat", "execve", "chroot", "arch_prctl"} <= allowed(profile)
        refused = {"mount", "unshare", "setns", "bpf", "keyctl", "add_key", "userfaultfd", "kexec_load", "init_module",
                   "io_uring_setup", "io_uring_enter", "io_uring_register", "open_by_handle_at", "perf_event_open", "clone3"}  # fmt: skip
        assert not refused & allowed(profile)

    @pytest.mark.parametrize(
        ("capability", "calls"),
        [("CAP_SYS_ADMIN", {"mount", "unshare", "clone3", "setns"}), ("CAP_SYS_TIME", {"clock_settime"}), ("CAP_BPF", {"bpf"}),
         ("CAP_SYS_MODULE", {"init_module"}), ("CAP_SYS_PTRACE", {"process_vm_writev"}), ("CAP_SYSLOG", {"syslog"})],
    )  # fmt: skip
    def test_a_capability_allows_its_calls(self, capability: str, calls: set[str]) -> None:
        assert not calls & allowed(seccomp.default(frozenset(), "x86_64"))
        assert calls <= allowed(seccomp.default(frozenset({capability}), "x86_64"))

    def test_clone_may_not_make_namespaces_and_clone3_seems_not_to_exist(self) -> None:
        rules = seccomp.default(frozenset(), "x86_64")["syscalls"]
        [clone] = [rule for rule in rules if rule["names"] == ["clone"]]
        [clone3] = [rule for rule in rules if rule["names"] == ["clone3"]]
        assert clone["args"] == [{"index": 0, "value": 0x7E020000, "op": "SCMP_CMP_MASKED_EQ", "valueTwo": 0}]
        assert clone3 == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}

    def test_on_s390x_the_flags_are_the_second_argument(self) -> None:
        rules = seccomp.default(frozenset(), "s390x")["syscalls"]
        assert [rule["args"][0]["index"] for rule in rules if rule["names"] == ["clone"]] == [1]

    def test_an_unknown_architecture_gets_the_native_filter(self) -> None:
        assert "architectures" not in seccomp.default(frozenset(), "sparc")

    def test_a_node_without_filters_runs_without_one(self) -> None:
        assert "seccomp" not in build(node=NodeFacts(hostname="n", seccomp=False))["linux"]

    def test_a_profile_of_the_node_that_is_not_there_is_an_error(self) -> None:
        with pytest.raises(InvalidProfile, match=r"audit.json is not on this node"):
            build(securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "audit.json"}})

    @pytest.mark.parametrize(
        "document", [b"", b"[]", b"{}", b'{"defaultAction": 1}', b"[" * 100000, b" " * (2**20 + 1)]
    )
    def test_a_broken_profile_is_refused(self, document: bytes) -> None:
        with pytest.raises(InvalidProfile):
            seccomp.localhost(document)


def test_the_cgroup_is_named_by_namespace_and_id() -> None:
    assert build()["linux"]["cgroupsPath"] == f"/tallyman/ns/{'ab' * 32}"


def test_the_same_inputs_give_the_same_spec() -> None:
    assert build() == build()
