"""A changed spec: what can change in place does, anything else replaces the container, once."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import waiting
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, because, condition, container_id, has_exited, is_ready, is_running, life, status

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("args", {"args": ["-c", f"sleep {FOREVER} # another"]}),
    ("env", {"env": [{"name": "MODE", "value": "production"}]}),
    ("hostname, workingDir", {"workingDir": "/tmp", "hostname": "front"}),
    ("securityContext.readOnlyRootFilesystem", {"securityContext": {"readOnlyRootFilesystem": True}}),
]


@pytest.mark.feature("D5")
def test_a_field_that_cannot_change_in_place_replaces_the_container_once(namespace: Namespace, node: Node) -> None:
    for number, (_, _) in enumerate(CHANGES):
        namespace.create(f"web-{number}", command=["/bin/sh"], args=["-c", f"sleep {FOREVER}"])
    names = [f"web-{number}" for number in range(len(CHANGES))]
    before = namespace.wait_all(names, is_running, "all run")
    for name, (_, spec) in zip(names, CHANGES, strict=True):
        namespace.change(name, **spec)
    after = namespace.wait_all(names, is_running, "all run again")

    for name, (fields, _) in zip(names, CHANGES, strict=True):
        [registered] = node.of(namespace.name, name)
        assert registered.id == container_id(after[name]) != container_id(before[name])
        events = waiting.until(partial(namespace.events, name, "Recreating"), f"an event about {name}")
        assert [(event.type, event.count) for event in events] == [("Normal", 1)]
        assert f"changed: {fields};" in events[0].message
    assert len(node.containers(namespace.name)) == len(CHANGES)


@pytest.mark.feature("D5", "L9")
def test_the_end_of_a_container_that_is_replaced_stays_in_the_history(namespace: Namespace) -> None:
    namespace.shell("web", "exit 3")
    namespace.wait("web", has_exited)
    obedient = "trap 'exit 4' TERM; while :; do sleep 0.02; done"
    namespace.change("web", command=["sh", "-c", obedient], terminationGracePeriodSeconds=60)
    namespace.running("web")
    namespace.change("web", command=["sh", "-c", f"{obedient} # another"])
    body = namespace.wait("web", lambda body: is_running(body) and len(status(body)["history"]) == 2)

    codes = [run["exitCode"] for run in status(body)["history"]]
    assert codes[1] == 3
    assert codes[0] in (4, 143), "its trap was set, or was not yet"


@pytest.mark.feature("D5")
def test_resources_change_in_the_running_container(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web", resources={"limits": {"memory": "64Mi", "pids": 20}})
    before = namespace.running("web")
    limit = partial(node.cgroup_file, container_id(before), "memory/memory.limit_in_bytes", "memory.max")
    assert limit() == str(64 << 20)

    namespace.change("web", resources={"limits": {"memory": "96Mi", "cpu": "500m", "pids": None}})
    after = namespace.running("web")
    assert limit() == str(96 << 20)
    assert node.cgroup_file(container_id(before), "cpu/cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert node.cgroup_file(container_id(before), "pids/pids.max", "pids.max") == "max"
    assert (container_id(after), status(after)["pid"]) == (container_id(before), status(before)["pid"])
    assert namespace.events("web", "Recreating") == []

    namespace.change("web", resources=None)
    namespace.running("web")
    assert limit() == "max" or int(limit()) > 1 << 50


@pytest.mark.feature("D5", "L7")
def test_stop_signal_and_grace_period_change_in_the_running_container(
    namespace: Namespace, node: Node, shared: Path
) -> None:
    namespace.shell(
        "web",
        "trap 'exit 5' TERM; trap 'exit 6' USR1; touch /shared/ready; while :; do sleep 0.02; done",
        stopSignal="TERM",
        terminationGracePeriodSeconds=0,
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    before = namespace.running("web")
    waiting.until((shared / "ready").exists, "the traps set")
    namespace.change("web", stopSignal="SIGUSR1", terminationGracePeriodSeconds=60)
    after = namespace.running("web")
    assert (container_id(after), status(after)["pid"]) == (container_id(before), status(before)["pid"])
    assert namespace.events("web", "Recreating") == []

    namespace.change("web", desiredState="Stopped")
    assert status(namespace.wait("web", has_exited))["exitCode"] == 6


@pytest.mark.feature("D5")
def test_the_last_of_several_quick_changes_counts(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web")
    for number in range(10):
        last = namespace.change("web", env=[{"name": "NUMBER", "value": str(number)}])
    body = namespace.wait(
        "web", lambda body: is_ready(body) and body["metadata"]["generation"] >= last["metadata"]["generation"]
    )
    [registered] = node.of(namespace.name, "web")
    assert registered.id == container_id(body)
    assert "NUMBER=9" in registered.spec["process"]["env"]


@pytest.mark.feature("D5")
def test_the_node_of_a_container_cannot_be_changed(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    namespace.change("web", nodeName="node-z")
    body = namespace.wait("web", lambda body: condition(body, "Accepted")["reason"] == "NodeChanged")
    assert "spec.nodeName: must stay 'node-a'" in condition(body, "Accepted")["message"]
    assert status(body)["state"] == "Running"
    assert node.has(container_id(before))
    namespace.change("web", nodeName="node-a")
    after = namespace.running("web")
    assert status(after)["pid"] == status(before)["pid"]


@pytest.mark.feature("D5", "P1", "S1")
@pytest.mark.parametrize(
    ("change", "reason", "says", "retried"),
    [
        ({"securityContext": {"user": "no-such-user"}}, "UserNotFound", "no-such-user", False),
        (
            {"mounts": [{"mountPath": "/data", "hostPath": {"path": "/no/such/path"}}]},
            "MountSourceMissing",
            "mounts[0]",
            True,
        ),
        ({"runtimeName": "no-such-runtime"}, "RuntimeMissing", "spec.runtimeName", True),
    ],
    ids=["user", "mount", "runtime"],
)
def test_a_spec_that_no_container_can_be_made_of_does_not_cost_the_one_that_runs(
    namespace: Namespace, node: Node, change: dict[str, Any], reason: str, says: str, retried: bool
) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    namespace.change("web", **change)
    body = namespace.wait("web", because(reason), reason)
    assert says in condition(body, "Ready")["message"]
    assert (status(body)["state"], life(body)) == ("Running", life(before))
    assert condition(body, "Reconciling")["status"] == str(retried)
    assert condition(body, "Stalled")["status"] == str(not retried)
    assert node.tasks()[container_id(before)].pid == status(before)["pid"]
    [event] = waiting.until(lambda: namespace.events("web", reason), "an event")
    assert event.type == "Warning"
    assert namespace.events("web", "Recreating") == []

    namespace.change("web", **dict.fromkeys(change))
    assert life(namespace.running("web")) == life(before), "the former spec again, the former container still"
    namespace.change("web", **change)
    namespace.wait("web", because(reason), reason)
    namespace.change("web", **(dict.fromkeys(change) | {"securityContext": {"user": "app"}}))
    after = namespace.running("web")
    assert container_id(after) != container_id(before)
    assert [one.id for one in node.of(namespace.name, "web")] == [container_id(after)]
