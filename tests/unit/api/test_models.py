"""The models read and write what the API server stores, and their scalars agree with the code that uses them."""

import re
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api import capabilities, scalars, signals
from controller.api.conditions import Condition, ConditionStatus, ConditionType, merged
from controller.api.container import ContainerSpec, ContainerState, ContainerStatus, PullProgress
from controller.api.model import Change, fields_that_change, wire_name
from controller.api.reasons import Reason
from controller.oci import fingerprint

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)

WHOLE = {
    "nodeName": "node-a",
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "reschedule": "WhenNodeGone",
    "desiredState": "Paused",
    "image": "registry.example.com/shop/web:1.4",
    "imagePullPolicy": "Never",
    "command": ["/srv/web"],
    "args": ["--port", "8080"],
    "workingDir": "/srv",
    "env": [{"name": "MODE", "value": "production"}],
    "tty": True,
    "init": True,
    "stopSignal": "SIGINT",
    "dependsOn": [{"name": "db", "condition": "Healthy"}],
    "terminationGracePeriodSeconds": 5,
    "restartPolicy": {
        "name": "OnFailure",
        "maximumRetryCount": 5,
        "backoff": {"initialSeconds": 1.5, "factor": 3.0, "maxSeconds": 30.0, "resetAfterSeconds": 5.0},
        "successExitCodes": [0, 143],
        "neverRestartExitCodes": [78],
    },
    "autoRemove": True,
    "hostname": "web",
    "runtimeName": "crun",
    "healthCheck": {
        "httpGet": {
            "path": "/healthz?full=1",
            "port": 8080,
            "host": "127.0.0.1",
            "scheme": "HTTPS",
            "httpHeaders": [{"name": "Host", "value": "web.example.com"}],
        },
        "intervalSeconds": 10,
        "timeoutSeconds": 0.5,
        "retries": 0,
        "startPeriodSeconds": 20,
        "startIntervalSeconds": 1,
        "onFailure": "Restart",
    },
    "resources": {
        "limits": {"cpu": "1", "memory": "256Mi", "pids": 200},
        "requests": {"cpu": "100m", "memory": 8388608},
    },
    "ulimits": [{"name": "nofile", "soft": 1024, "hard": 4096}],
    "devices": [{"hostPath": "/dev/fuse", "containerPath": "/dev/fuse2", "permissions": "rw"}],
    "sysctls": {"net.core.somaxconn": "1024"},
    "securityContext": {
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "supplementalGroups": [2000],
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
        "seccompProfile": {"type": "Localhost", "localhostProfile": "web.json"},
    },
    "network": {"mode": "host"},
    "mounts": [
        {
            "mountPath": "/srv/assets",
            "hostPath": {"path": "/srv/assets", "type": "Directory"},
            "readOnly": True,
            "subPath": "web",
            "mountPropagation": "HostToContainer",
        }
    ],
    "logging": {"driver": "file", "maxSize": "1Mi", "maxFiles": 9},
}


def _pattern(scalar: object) -> str:
    return next(mark.pattern for mark in get_args(scalar) if isinstance(mark, scalars.Matches))


@pytest.mark.feature("D1")
def test_a_spec_with_every_field_comes_back_as_it_was() -> None:
    spec = ContainerSpec.model_validate(WHOLE)

    assert spec.model_dump(mode="json", by_alias=True, exclude_unset=True) == WHOLE
    assert {wire_name(name) for name in ContainerSpec.model_fields} == set(WHOLE)


def test_a_status_comes_back_as_it_was() -> None:
    status = ContainerStatus(
        state=ContainerState.EXITED,
        container_id="ab" * 32,
        exit_code=137,
        oom_killed=True,
        started_at=NOW,
        pull=PullProgress(received_bytes=1, total_bytes=2, started_at=NOW),
        conditions=[Condition(type=ConditionType.READY, status=ConditionStatus.FALSE, reason=Reason.OOM_KILLED)],
    )

    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert written["containerID"] == "ab" * 32
    assert written["startedAt"] == "2026-11-22T10:00:00Z"
    assert ContainerStatus.model_validate(written) == status


def test_null_and_absent_are_one() -> None:
    nulls = {name: None for name in WHOLE if name != "image"}

    assert ContainerSpec.model_validate({"image": "x", **nulls}) == ContainerSpec(image="x")


@pytest.mark.parametrize(
    ("name", "wire"),
    [("container_id", "containerID"), ("oom_killed", "oomKilled"), ("run_as_user", "runAsUser"), ("host_ip", "hostIP")],
)
def test_names_on_the_wire(name: str, wire: str) -> None:
    assert wire_name(name) == wire


def test_the_marks_of_the_fields_and_the_fingerprint_agree_on_what_recreates() -> None:
    kept = fields_that_change(ContainerSpec, Change.IN_PLACE) | fields_that_change(ContainerSpec, Change.IMMUTABLE)

    assert {wire_name(name) for name in kept} == {name for name in fingerprint.IN_PLACE if name in WHOLE}


@given(st.text(alphabet="SIGRTMNAXHUPKLE+-0123456789", max_size=11))
def test_the_schema_knows_a_signal_exactly_when_the_code_does(text: str) -> None:
    try:
        signals.parse_signal(text)
        known = True
    except ValueError:
        known = False

    assert (re.fullmatch(_pattern(scalars.Signal), text) is not None) == known


@pytest.mark.parametrize(
    "text", [*signals.SIGNALS, "rtmin", "SIGRTMAX-30", "RTMIN+05", "sigcld", *map(str, range(1, 65)), "01", "09"]
)
def test_the_schema_knows_every_signal(text: str) -> None:
    assert signals.parse_signal(text)
    assert re.fullmatch(_pattern(scalars.Signal), text)


@pytest.mark.parametrize("name", [*capabilities.ORDERED, "ALL", "CAP_ALL", "net_admin", "cap_Net_Admin"])
def test_the_schema_knows_every_capability(name: str) -> None:
    assert capabilities.normalise(name)
    assert re.fullmatch(_pattern(scalars.CapabilityName), name)


@given(st.lists(st.sampled_from(["", ".", "..", "...", "a", ".a", "..a", "a..", "a.b"]), max_size=6))
def test_a_path_is_refused_exactly_when_a_part_of_it_climbs(parts: list[str]) -> None:
    absolute, relative = "/" + "/".join(parts), "/".join(parts)

    assert (re.fullmatch(_pattern(scalars.AbsolutePath), absolute) is None) == (".." in parts)
    if not relative.startswith("/"):
        assert (re.fullmatch(_pattern(scalars.RelativePath), relative) is None) == (".." in parts)


class TestReasons:
    @pytest.mark.parametrize("reason", Reason)
    def test_each_is_one_word_with_a_meaning(self, reason: Reason) -> None:
        assert re.fullmatch(r"([A-Z][a-z]*)+", reason)
        assert reason.meaning.endswith(".")
        assert not reason.next_step or reason.next_step.endswith(".")

    def test_a_reason_is_its_word(self) -> None:
        assert Reason("OOMKilled") is Reason.OOM_KILLED
        assert f"{Reason.OOM_KILLED}" == "OOMKilled"
        assert (
            Condition(type=ConditionType.READY, status=ConditionStatus.TRUE, reason=Reason.RUNNING).reason == "Running"
        )


class TestMergedConditions:
    def _ready(self, status: ConditionStatus, reason: Reason, since: datetime | None = None) -> Condition:
        return Condition(type=ConditionType.READY, status=status, reason=reason, last_transition_time=since)

    def test_an_unchanged_status_keeps_its_time(self) -> None:
        before = self._ready(ConditionStatus.TRUE, Reason.RUNNING, NOW - timedelta(hours=1))

        (condition,) = merged([self._ready(ConditionStatus.TRUE, Reason.PAUSED)], [before], NOW)

        assert condition.last_transition_time == NOW - timedelta(hours=1)
        assert condition.reason == Reason.PAUSED

    def test_a_changed_status_gets_the_present_time(self) -> None:
        before = self._ready(ConditionStatus.TRUE, Reason.RUNNING, NOW - timedelta(hours=1))

        (condition,) = merged([self._ready(ConditionStatus.FALSE, Reason.ERROR)], [before], NOW)

        assert condition.last_transition_time == NOW

    def test_a_condition_that_is_not_stated_any_more_goes(self) -> None:
        assert merged([], [self._ready(ConditionStatus.TRUE, Reason.RUNNING)], NOW) == []
