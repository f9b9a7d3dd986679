"""The agent's own check of a spec: what is refused, in which words, and what is accepted in which spellings."""

from typing import Any

import pytest

from controller.api.container import ContainerState
from controller.api.validation import read_status, validate
from tests.bad_containers import BAD_CONTAINERS, BASE, BadContainer

JARGON = ("pydantic", "Input should", "validation error", "https://", "type=", "NoneType", "dict", "ctx")


@pytest.mark.feature("D2")
@pytest.mark.parametrize("case", BAD_CONTAINERS, ids=lambda case: case.id)
def test_bad_input_is_refused_with_the_field_and_the_rule(case: BadContainer) -> None:
    result = validate(case.spec)

    assert result.spec is None
    told = [str(error) for error in result.errors if error.field.startswith(case.field) and case.says in error.message]
    assert told, f"expected {case.field!r} with {case.says!r}, got {result.message!r}"


@pytest.mark.feature("D2")
@pytest.mark.parametrize("case", BAD_CONTAINERS, ids=lambda case: case.id)
def test_messages_are_short_and_free_of_jargon(case: BadContainer) -> None:
    message = validate(case.spec).message

    assert not [word for word in JARGON if word in message]
    assert message.isprintable()
    assert len(message) < 1500


def test_the_table_has_no_two_cases_of_one_name() -> None:
    names = [case.id for case in BAD_CONTAINERS]

    assert len(names) == len(set(names)) >= 60


GOOD: dict[str, dict[str, Any]] = {
    "an image alone": {},
    "every optional field null": {"hostname": None, "env": None, "resources": None, "mounts": None, "sysctls": None},
    "an unknown field, which the API server prunes": {"futureField": {"a": 1}},
    "a stop signal by full name": {"stopSignal": "SIGTERM"},
    "a stop signal by short name": {"stopSignal": "hup"},
    "a stop signal by number in quotes": {"stopSignal": "15"},
    "a stop signal by bare number": {"stopSignal": 15},
    "a real-time stop signal": {"stopSignal": "SIGRTMIN+3"},
    "an empty command, which means the image's": {"command": []},
    "an empty argument": {"args": ["--name", ""]},
    "a longest argument": {"args": ["x" * 131071]},
    "a variable with an odd but legal name": {"env": [{"name": "my.app-mode x", "value": "=;\n\t"}]},
    "a variable without a value": {"env": [{"name": "EMPTY"}]},
    "two variables that differ in case": {"env": [{"name": "a"}, {"name": "A"}]},
    "cpu and memory as numbers": {"resources": {"limits": {"cpu": 2, "memory": 268435456}}},
    "cpu in thousandths and memory in powers of two": {"resources": {"limits": {"cpu": "1m", "memory": "6Mi"}}},
    "cpu as a fraction": {"resources": {"limits": {"cpu": "0.5"}, "requests": {"cpu": ".25", "memory": "1e6"}}},
    "a request without a limit": {"resources": {"requests": {"cpu": "4", "memory": "1Gi"}}},
    "a request equal to its limit in another unit": {
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1000m"}}
    },
    "an unlimited ulimit": {"ulimits": [{"name": "core", "soft": -1, "hard": -1}]},
    "a soft ulimit below an unlimited hard one": {"ulimits": [{"name": "nofile", "soft": 1024, "hard": -1}]},
    "a device under another name": {"devices": [{"hostPath": "/dev/null", "containerPath": "/dev/void"}]},
    "a device for reading only": {"devices": [{"hostPath": "/dev/fuse", "permissions": "r"}]},
    "sysctls of the container's own namespaces": {
        "sysctls": {"net.core.somaxconn": "1024", "kernel.shmmax": "1", "fs.mqueue.msg_max": "8"}
    },
    "an IPC sysctl on the host network": {"sysctls": {"kernel.shmmax": "1"}, "network": {"mode": "host"}},
    "a user by name": {"securityContext": {"user": "app"}},
    "a user by bare number": {"securityContext": {"user": 1000}},
    "a user and a group": {"securityContext": {"user": "app:1000"}},
    "a user by name and a group by number": {"securityContext": {"user": "app", "runAsGroup": 1000}},
    "user and group by number": {"securityContext": {"runAsUser": 0, "runAsGroup": 2147483647}},
    "capabilities in each spelling": {
        "securityContext": {"capabilities": {"add": ["NET_ADMIN", "CAP_CHOWN", "sys_time"], "drop": ["ALL"]}}
    },
    "a privileged container": {"securityContext": {"privileged": True, "capabilities": {"add": ["ALL"]}}},
    "a privileged container that says that it may escalate": {
        "securityContext": {"privileged": True, "allowPrivilegeEscalation": True}
    },
    "an unprivileged container that forbids escalation": {"securityContext": {"allowPrivilegeEscalation": False}},
    "a seccomp profile of the node": {
        "securityContext": {"seccompProfile": {"type": "Localhost", "localhostProfile": "shop/web.json"}}
    },
    "an empty seccomp profile, which means the default": {"securityContext": {"seccompProfile": {}}},
    "mounts on /dev, /sys and a file that lxcfs provides": {
        "mounts": [
            {"mountPath": "/dev", "hostPath": {"path": "/dev"}},
            {"mountPath": "/sys", "hostPath": {"path": "/sys"}, "readOnly": True},
            {"mountPath": "/proc/meminfo", "hostPath": {"path": "/var/lib/lxcfs/proc/meminfo"}},
        ]
    },
    "a mount inside a mount": {
        "mounts": [
            {"mountPath": "/data", "hostPath": {"path": "/srv"}},
            {"mountPath": "/data/sub", "hostPath": {"path": "/", "type": ""}, "subPath": "a/b"},
        ]
    },
    "a path with dots that do not climb": {
        "mounts": [{"mountPath": "/..data/...", "hostPath": {"path": "/.hidden/a..b"}, "subPath": "..x/.y/."}]
    },
    "two-way propagation in a privileged container": {
        "securityContext": {"privileged": True},
        "mounts": [
            {"mountPath": "/mnt", "hostPath": {"path": "/mnt"}, "mountPropagation": "Bidirectional"},
        ],
    },
    "a containerd runtime type": {"runtimeName": "io.containerd.runc.v2"},
    "the longest grace period": {"terminationGracePeriodSeconds": 86400},
    "a node's name with dots": {"nodeName": "node-1.example.com"},
    "labels of a node, with and without a prefix": {"nodeSelector": {"disk": "ssd", "example.com/zone": ""}},
    "tolerations in each spelling": {
        "tolerations": [
            {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
            {"key": "example.com/gpu", "operator": "Exists"},
            {"operator": "Exists"},
        ]
    },
    "a container that moves": {"reschedule": "WhenNodeGone"},
    "a host name with capitals": {"hostname": "Web-1"},
}


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD.keys())
def test_good_input_is_accepted(change: dict[str, Any]) -> None:
    result = validate({**BASE, **change})

    assert result.message == ""
    assert result.spec is not None


def test_paths_are_kept_in_their_shortest_form() -> None:
    mount = {"mountPath": "//data/./web//", "hostPath": {"path": "/srv/"}}

    spec = validate({**BASE, "mounts": [mount], "workingDir": "/"}).spec

    assert spec is not None
    assert spec.mounts[0].mount_path == "/data/web"
    assert spec.mounts[0].host_path is not None
    assert spec.mounts[0].host_path.path == "/srv"
    assert spec.working_dir == "/"


def test_field_names_of_the_code_are_not_names_of_the_api() -> None:
    result = validate({**BASE, "mounts": [{"mount_path": "/data", "host_path": {"path": "/srv"}}]})

    assert [error.field for error in result.errors] == ["spec.mounts[0].mountPath"]


def test_every_broken_field_is_told_at_once() -> None:
    result = validate({"image": "", "workingDir": "srv", "mounts": [{"mountPath": "x"}]})

    assert [error.field for error in result.errors] == ["spec.image", "spec.workingDir", "spec.mounts[0].mountPath"]


def test_a_flood_of_errors_is_cut() -> None:
    result = validate({**BASE, "env": [{"name": "A=B"}] * 1000})

    assert len(result.errors) == 1000
    assert result.message.endswith("and 992 more")
    assert len(result.message) < 2000


def test_a_secret_is_not_repeated_in_a_message() -> None:
    change = {"env": [{"name": "TOKEN", "value": "s3cret\0"}], "args": ["s3cret\0"], "command": ["s3cret\0"]}

    result = validate({**BASE, **change})

    assert len(result.errors) == 3
    assert "s3cret" not in result.message


def test_a_hostile_value_is_escaped_and_shortened() -> None:
    result = validate({**BASE, "workingDir": "\x1b[2J\n\u202e" + "x" * 2000})

    assert result.message == (
        "spec.workingDir: must be an absolute path without `..`, such as /data; "
        f"got '\\x1b[2J\\n\\u202e{'x' * 54}'… (2006 characters)"
    )


def test_a_hostile_key_is_escaped_and_shortened() -> None:
    result = validate({**BASE, "sysctls": {"\x1b[2J": "1", "y" * 500: "1"}})

    assert result.message.isprintable()
    assert len(result.message) < 600


def test_a_spec_that_is_no_object_at_all_is_refused() -> None:
    assert validate(["image"]).message == "spec: must be an object (names and their values); got a list"  # type: ignore[arg-type]


class TestReadStatus:
    def test_what_an_agent_wrote_is_read_back(self) -> None:
        status = read_status({"state": "Running", "pid": 42, "startedAt": "2026-11-22T10:00:00Z", "finishedAt": None})

        assert status.state is ContainerState.RUNNING
        assert status.pid == 42
        assert status.finished_at is None

    def test_what_can_not_be_read_counts_as_absent(self) -> None:
        status = read_status({"state": "Levitating", "pid": "many", "containerID": "abc", "exitCode": 3})

        assert (status.state, status.pid, status.container_id, status.exit_code) == (
            None,
            None,
            "abc",
            3,
        )

    def test_a_condition_of_another_version_does_not_hide_the_others(self) -> None:
        ready = {"type": "Ready", "status": "True", "reason": "Running"}

        status = read_status({"conditions": [{"type": "Enlightened", "status": "True", "reason": "X"}, ready, 5]})

        assert [condition.type for condition in status.conditions] == ["Ready"]

    @pytest.mark.parametrize("conditions", [5, "x", {}, None])
    def test_conditions_that_are_no_list_count_as_absent(self, conditions: object) -> None:
        assert read_status({"conditions": conditions, "pid": 1}).conditions == []
