"""What a process finds itself to be: who it is, what it may do, what it sees. Told by the process, in a file of the node."""

import platform
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hack import lab
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.conftest import Images
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, condition, container_id, has_exited, status

Tell = Callable[..., str]
DOCKERS_DEFAULT = 0xA80425FB
NET_ADMIN = 1 << 12
CHOWN = 1 << 0


@pytest.fixture
def tell(namespace: Namespace, shared: Path) -> Tell:
    """Run a script in a container with this spec, and return what it printed."""
    count = iter(range(100))

    def run(script: str, *, code: int = 0, **spec: Any) -> str:
        name = f"box-{next(count)}"
        mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}, *spec.pop("mounts", [])]
        namespace.shell(name, f"exec > /shared/{name} 2>&1; {script}", mounts=mounts, **spec)
        body = namespace.wait(name, has_exited)
        said = (shared / name).read_text() if (shared / name).exists() else ""
        assert status(body)["exitCode"] == code, f"{condition(body, 'Ready')}: {said}"
        return said.strip()

    return run


def _fields(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def _bounding_set() -> int:
    """What this machine can give at all."""
    return int(_fields(Path("/proc/self/status").read_text())["CapBnd"], 16)


@pytest.mark.feature("P1")
def test_a_process_is_safe_by_default(tell: Tell) -> None:
    found = _fields(tell("cat /proc/self/status"))
    expected = DOCKERS_DEFAULT & _bounding_set()
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {expected}
    assert {int(found[name], 16) for name in ("CapInh", "CapAmb")} == {0}
    tried = tell(
        "for path in /proc/sys/kernel/panic /sys/kernel/profiling; do echo x > $path; done;"
        "mount -t tmpfs none /tmp; hostname other; cat /proc/kcore | wc -c; ls /dev; readlink /proc/self/fd/0",
    )
    assert tried.count("Read-only file system") == 2
    assert "permission denied" in tried.lower() or "operation not permitted" in tried.lower()
    assert "\n0\n" in tried
    assert not {"kmsg", "mem", "sda", "vda"} & set(tried.split())
    assert tried.splitlines()[-1] == "/dev/null"


@pytest.mark.feature("P1")
def test_capabilities_are_those_that_are_asked_for(tell: Tell) -> None:
    bounding = _bounding_set()

    def effective(**context: Any) -> int:
        return int(_fields(tell("cat /proc/self/status", securityContext=context))["CapEff"], 16)

    assert effective(capabilities={"drop": ["ALL"]}) == 0
    assert effective(capabilities={"drop": ["ALL"], "add": ["CAP_NET_ADMIN"]}) == NET_ADMIN
    assert (
        effective(capabilities={"add": ["NET_ADMIN"], "drop": ["CHOWN"]})
        == ((DOCKERS_DEFAULT & bounding) | NET_ADMIN) & ~CHOWN
    )
    assert effective(user="app") == 0
    assert effective(privileged=True) == bounding


@pytest.mark.feature("P1")
def test_escalation_and_system_calls_are_open_when_asked_for(tell: Tell, agent: AgentProcess) -> None:
    found = _fields(tell("cat /proc/self/status", securityContext={"allowPrivilegeEscalation": True}))
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "2")
    found = _fields(tell("cat /proc/self/status", securityContext={"seccompProfile": {"type": "Unconfined"}}))
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "0")
    found = _fields(tell("cat /proc/self/status; ls /dev > /dev/null", securityContext={"privileged": True}))
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("0", "0")

    profiles = agent.directory / "seccomp"
    profiles.mkdir(exist_ok=True)
    (profiles / "no-directories.json").write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}'
    )
    own = {"type": "Localhost", "localhostProfile": "no-directories.json"}
    said = tell("touch /tmp/file && mkdir /tmp/directory", code=1, securityContext={"seccompProfile": own})
    assert "can't create directory" in said


@pytest.mark.feature("P1")
def test_a_user_is_looked_up_in_the_image(tell: Tell) -> None:
    assert tell("id; echo $HOME", securityContext={"user": "app"}).splitlines() == [
        "uid=1000(app) gid=1000(app) groups=29(audio),1000(app)",
        "/home/app",
    ]
    assert tell("id", securityContext={"user": "app:daemon", "supplementalGroups": [2000, 3000]}) == (
        "uid=1000(app) gid=1(daemon) groups=1(daemon),2000,3000"
    )
    assert tell("id", securityContext={"runAsUser": 1234}).startswith("uid=1234 gid=0(root)")
    assert tell("id", securityContext={"runAsUser": 1234, "runAsGroup": 5678}).startswith("uid=1234 gid=5678")
    assert tell("id", securityContext={"user": "4321:8765"}).startswith("uid=4321 gid=8765")


@pytest.mark.feature("S1")
def test_the_root_filesystem_is_read_only_when_asked_for(tell: Tell) -> None:
    said = tell("touch /etc/x; touch /shared/y; ls /shared/y", securityContext={"readOnlyRootFilesystem": True})
    assert "touch: /etc/x: Read-only file system" in said
    assert said.endswith("/shared/y")
    assert tell("touch /etc/x && ls /etc/x") == "/etc/x"


@pytest.mark.feature("S1")
def test_a_read_only_mount_cannot_be_written_through(tell: Tell, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content\n")
    mounted = {"mountPath": "/data", "hostPath": {"path": str(source)}, "readOnly": True}
    said = tell("cat /data/file; echo other > /data/file; touch /data/new", code=1, mounts=[mounted])
    assert said.startswith("content")
    assert said.count("Read-only file system") == 2
    assert [path.name for path in source.iterdir()] == ["file"]


@pytest.mark.feature("S1")
def test_a_symbolic_link_cannot_lead_a_sub_path_out(
    namespace: Namespace, node: Node, tell: Tell, tmp_path: Path
) -> None:
    """Links of whoever writes into the volume: relative, absolute, and one after the other."""
    source = tmp_path / "volume"
    (source / "releases/1").mkdir(parents=True)
    (source / "releases/1/file").write_text("inside\n")
    (tmp_path / "secret").write_text("outside\n")
    (source / "current").symlink_to("releases/1")
    (source / "climbing").symlink_to("../secret")
    (source / "absolute").symlink_to(tmp_path / "secret")
    (source / "first").symlink_to("second")
    (source / "second").symlink_to("releases/../../secret")
    (source / "loop").symlink_to("loop")

    def mount(sub_path: str) -> dict[str, Any]:
        return {"mountPath": "/data", "hostPath": {"path": str(source)}, "subPath": sub_path}

    assert tell("cat /data/file", mounts=[mount("current")]) == "inside"
    leading_out = ["climbing", "absolute", "first", "second", "loop"]
    for name in leading_out:
        namespace.shell(name, f"cat /data; sleep {FOREVER}", mounts=[mount(name)])
    bodies = namespace.wait_all(leading_out, lambda body: "spec.mounts[0]" in condition(body, "Ready")["message"])
    for name, body in bodies.items():
        why = condition(body, "Ready")
        assert why["reason"] == "MountSourceMissing"
        assert name == "loop" or "leads out of the source" in why["message"]
        assert condition(body, "Accepted")["status"] == "True", "the spec is not at fault"
        assert condition(body, "Stalled")["status"] == "False", "the volume may be mended"
        assert container_id(body) == ""
    assert not [one for one in node.containers(namespace.name).values() if one.object in leading_out]


@pytest.mark.feature("P1")
def test_an_init_reaps_what_its_children_left_behind(tell: Tell) -> None:
    left = "sh -c 'sleep 0.1 & exit 0'"
    told = tell(f"{left}; while ps -o stat,comm | grep -q sleep; do usleep 20000; done; cat /proc/1/comm", init=True)
    assert told == "init"


@pytest.mark.feature("N1", "L1")
def test_the_network_is_the_nodes_or_none(tell: Tell, namespace: Namespace) -> None:
    look = "hostname; ls /sys/class/net | sort | tr '\\n' ' '; echo; cat /etc/hosts || true"
    alone = tell(look).splitlines()
    assert alone[0] == container_id(namespace.get("box-0"))[:12]
    assert alone[1].split() == ["lo"]

    with_node = tell(look, network={"mode": "host"}).splitlines()
    assert with_node[0] == socket.gethostname() == platform.node()
    assert set(with_node[1].split()) == {path.name for path in Path("/sys/class/net").iterdir()}
    assert "\n".join(with_node[2:]).strip() == Path("/etc/hosts").read_text().strip()
    assert tell("hostname", hostname="front") == "front"


@pytest.mark.feature("L1", "P1")
def test_command_arguments_environment_and_directory_follow_kubernetes(
    tell: Tell, namespace: Namespace, images: Images, shared: Path
) -> None:
    show = lab.layer({"bin/show": lab.File(b'#!/bin/sh\necho "$0 $*" > /shared/$HOSTNAME\n', mode=0o755)})
    image = lab.Image(
        [*lab.busybox().layers, show],
        entrypoint=["/bin/show", "entry"],
        cmd=["default"],
        env={"PATH": "/bin", "FROM": "image", "KEPT": "yes"},
        working_dir="/www",
    )
    lab.push(images.registry.address, "entry:1", image)
    reference = f"{images.registry.address}/entry:1"
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    cases: dict[str, dict[str, Any]] = {
        "neither": {},
        "args": {"args": ["mine"]},
        "command": {"command": ["/bin/show", "other"]},
        "both": {"command": ["/bin/show", "other"], "args": ["mine"]},
    }
    for name, spec in cases.items():
        namespace.create(name, image=reference, hostname=name, mounts=mounts, **spec)
    namespace.wait_all(cases, has_exited)
    assert {name: (shared / name).read_text().strip() for name in cases} == {
        "neither": "/bin/show entry default",
        "args": "/bin/show entry mine",
        "command": "/bin/show other",
        "both": "/bin/show other mine",
    }
    env = [{"name": "FROM", "value": "object"}, {"name": "LITERAL", "value": "$(KEPT) $KEPT"}]
    said = tell('pwd; echo "$FROM $KEPT $LITERAL"', image=reference, env=env)
    assert said.splitlines() == ["/www", "object yes $(KEPT) $KEPT"]
    assert tell("pwd", image=reference, workingDir="/tmp") == "/tmp"


@pytest.mark.feature("P1")
def test_limits_devices_and_kernel_parameters_reach_the_process(tell: Tell, namespace: Namespace, node: Node) -> None:
    said = tell(
        "ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn; head -c 3 /dev/mine | od -An -tx1",
        ulimits=[{"name": "nofile", "soft": 100, "hard": 200}],
        sysctls={"net.core.somaxconn": "321"},
        devices=[{"hostPath": "/dev/zero", "containerPath": "/dev/mine", "permissions": "r"}],
    )
    assert said.split() == ["100", "200", "321", "00", "00", "00"]
    namespace.sleeper(
        "limited", resources={"limits": {"cpu": "250m", "memory": "32Mi", "pids": 7}, "requests": {"cpu": "100m"}}
    )
    own = container_id(namespace.running("limited"))
    assert node.cgroup_file(own, "memory/memory.limit_in_bytes", "memory.max") == str(32 << 20)
    assert node.cgroup_file(own, "cpu/cpu.cfs_quota_us", "cpu.max").split()[0] == "25000"
    assert node.cgroup_file(own, "pids/pids.max", "pids.max") == "7"


@pytest.mark.feature("P1")
def test_a_terminal_is_there_when_asked_for(namespace: Namespace, shared: Path) -> None:
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    script = "tty > /shared/told; echo $TERM >> /shared/told; if [ -t 1 ]; then touch /shared/done; fi"
    namespace.shell("terminal", script, tty=True, mounts=mounts)
    assert status(namespace.wait("terminal", has_exited))["exitCode"] == 0
    assert (shared / "told").read_text().splitlines() == ["/dev/pts/0", "xterm"]
    assert (shared / "done").exists()
