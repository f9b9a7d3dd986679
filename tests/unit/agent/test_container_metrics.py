"""The metrics about single containers: what is said of each, and that nothing is said of one that is gone."""

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from controller.agent.container_metrics import FAMILIES, ContainerMetrics
from controller.agent.declared import DeclaredStore
from controller.agent.usage import Usage
from tests.unit.agent.objects import ID, KEY, NODE, body

pytestmark = pytest.mark.feature("K4")
STARTED, FINISHED = "2026-11-22T09:00:00Z", "2026-11-22T08:00:00Z"
NINE = 1795338000.0
HERE = {"namespace": KEY[0], "name": KEY[1]}
USED = Usage(
    cpu_seconds=2.5,
    cpu_periods=100,
    cpu_throttled_periods=40,
    cpu_throttled_seconds=1.5,
    memory=1000,
    memory_working_set=600,
    threads=12,
    oom_kills=3,
)


def _condition(kind: str, status: str, reason: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": "a message", "lastTransitionTime": STARTED}


RUNNING: Mapping[str, Any] = {
    "state": "Running",
    "observedGeneration": 2,
    "containerID": ID,
    "imageID": "sha256:0123",
    "runtimeName": "runc",
    "startedAt": STARTED,
    "restartCount": 4,
    "history": [
        {"restart": 3, "reason": "Error", "exitCode": 2, "finishedAt": FINISHED},
        {"restart": 2, "reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-11-22T07:00:00Z"},
    ],
    "health": {"status": "Unhealthy", "failingStreak": 6},
    "conditions": [_condition("Ready", "False", "Unhealthy"), _condition("Healthy", "False", "Unhealthy")],
}
EXITED = {"state": "Exited", "containerID": ID, "startedAt": STARTED, "nextRestartAt": STARTED}
PULLING = {"state": "Pending", "pull": {"receivedBytes": 5, "totalBytes": 9}}


def _page(store: DeclaredStore, asked: list[str] | None = None) -> CollectorRegistry:
    def used(container_id: str) -> Usage:
        if asked is not None:
            asked.append(container_id)
        return USED

    registry = CollectorRegistry()
    registry.register(ContainerMetrics(lambda: store, used))
    return registry


def _of(status: Mapping[str, Any], **spec: Any) -> CollectorRegistry:
    store = DeclaredStore(NODE)
    store.put(body(status=status, generation=3, **spec))
    return _page(store)


def _samples(registry: CollectorRegistry) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in registry.collect():
        for sample in family.samples:
            assert {"namespace": sample.labels["namespace"], "name": sample.labels["name"]} == HERE
            further = {label: value for label, value in sample.labels.items() if label not in HERE}
            found.setdefault(sample.name.removeprefix("tallyman_container_"), []).append((further, sample.value))
    return found


def test_all_that_is_known_of_a_running_container_is_told() -> None:
    resources = {"limits": {"cpu": "500m", "memory": "64Mi", "pids": 20}, "requests": {"cpu": "0.25", "memory": "1M"}}
    found = _samples(_of(RUNNING, resources=resources, restartPolicy={"name": "Always"}))
    assert found.pop("status_condition") == [
        ({"condition": kind, "status": status}, float(status == "false"))
        for kind in ("Ready", "Healthy")
        for status in ("true", "false", "unknown")
    ]
    assert found == {
        "info": [
            (
                {
                    "image": "registry.example.com/shop/web:1.4",
                    "restart_policy": "Always",
                    "desired_state": "Running",
                    "image_id": "sha256:0123",
                    "runtime": "runc",
                },
                1,
            )
        ],
        "state": [({"state": "Running"}, 1)],
        "status_reason": [({"condition": kind, "reason": "Unhealthy"}, 1) for kind in ("Ready", "Healthy")],
        "status_restarts_total": [({}, 4)],
        "generation": [({}, 3)],
        "observed_generation": [({}, 2)],
        "start_time_seconds": [({}, NINE)],
        "last_exit_reason": [({"reason": "Error"}, 1)],
        "last_exit_code": [({}, 2)],
        "last_exit_time_seconds": [({}, NINE - 3600)],
        "health_failing_streak": [({}, 6)],
        "resource_limits": [
            ({"resource": "cpu", "unit": "core"}, 0.5),
            ({"resource": "memory", "unit": "byte"}, 64 * 2**20),
            ({"resource": "pids", "unit": "integer"}, 20),
        ],
        "resource_requests": [
            ({"resource": "cpu", "unit": "core"}, 0.25),
            ({"resource": "memory", "unit": "byte"}, 1e6),
        ],
        "cpu_usage_seconds_total": [({}, 2.5)],
        "cpu_cfs_periods_total": [({}, 100)],
        "cpu_cfs_throttled_periods_total": [({}, 40)],
        "cpu_cfs_throttled_seconds_total": [({}, 1.5)],
        "memory_usage_bytes": [({}, 1000)],
        "memory_working_set_bytes": [({}, 600)],
        "threads": [({}, 12)],
        "oom_events_total": [({}, 3)],
    }


def test_what_has_no_status_yet_is_pending_and_lags_behind() -> None:
    found = _samples(_of({}))
    assert found["state"] == [({"state": "Pending"}, 1)]
    assert (found["generation"], found["observed_generation"]) == ([({}, 3)], [({}, 0)])
    assert found["status_restarts_total"] == [({}, 0)]
    assert not found.keys() & {"status_condition", "status_reason", "start_time_seconds", "last_exit_reason"}


def test_an_invalid_spec_has_no_image_and_no_limits() -> None:
    found = _samples(_of({}, command="not a list"))
    assert found["info"][0][0] == dict.fromkeys(("image", "restart_policy", "desired_state", "image_id", "runtime"), "")
    assert not found.keys() & {"resource_limits", "resource_requests"}


def test_what_has_ended_has_no_start_and_uses_nothing() -> None:
    found = _samples(_of(EXITED))
    assert found["next_restart_time_seconds"] == [({}, NINE)]
    assert not found.keys() & {"start_time_seconds", "memory_usage_bytes", "threads", "cpu_usage_seconds_total"}


def test_a_pull_tells_how_far_it_has_come() -> None:
    found = _samples(_of(PULLING))
    assert (found["image_pull_received_bytes"], found["image_pull_size_bytes"]) == ([({}, 5)], [({}, 9)])


def test_series_go_with_their_object_and_cgroups_are_read_for_what_runs_only() -> None:
    store, asked = DeclaredStore(NODE), list[str]()
    page = _page(store, asked)
    store.put(body(status=RUNNING))
    assert _samples(page)
    assert asked == [ID]
    store.put(body(status=EXITED, version="101"))
    assert _samples(page)
    store.drop(KEY)
    assert _samples(page) == {}
    assert asked == [ID]


def test_nothing_names_a_container_by_its_id_or_tells_a_message() -> None:
    for values in _samples(_of(RUNNING)).values():
        for labels, _ in values:
            assert ID not in labels.values()
            assert "a message" not in labels.values()


def test_every_family_is_there_though_nothing_is_to_be_told() -> None:
    names = [family.name for family in _page(DeclaredStore(NODE)).collect()]
    assert names == [family.name for family in FAMILIES]
