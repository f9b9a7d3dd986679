"""The metrics about single Containers: read off the agent's memory and the node's cgroups when somebody scrapes, never in between.

The only metrics that name objects, by `namespace` and `name`. A series goes with its object, and nothing is kept here. All other
labels are bounded: states, reasons, conditions, and what the spec itself says. Names follow those of kube-state-metrics and cAdvisor.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from controller.agent.declared import Declared
from controller.agent.usage import Usage
from controller.api import quantity
from controller.api.conditions import ConditionStatus
from controller.api.container import ContainerState, Quantity

_ALIVE: Final = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})
"""States in which there is a process."""
OBJECT: Final = ("namespace", "name")
"""The labels of every family; more may follow."""


@dataclass(frozen=True)
class Subject:
    """One container, and what it uses while it runs."""

    declared: Declared
    usage: Usage


Sample = tuple[tuple[str, ...], float]
"""Further labels, and the value."""


@dataclass(frozen=True)
class Family:
    """One metric: what it is called, and what it says of a container. It may say nothing."""

    name: str
    help: str
    read: Callable[[Subject], Iterable[Sample]]
    labels: tuple[str, ...] = ()
    counter: bool = False

    def empty(self) -> GaugeMetricFamily | CounterMetricFamily:
        """The metric without samples."""
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        return kind(self.name, self.help, labels=(*OBJECT, *self.labels))


class ContainerMetrics(Collector):
    """Reads the metrics of all containers when asked; may be asked from another thread than the event loop's."""

    def __init__(self, declared: Callable[[], Iterable[Declared]], usage: Callable[[str], Usage]) -> None:
        self._declared = declared
        self._usage = usage

    def describe(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The metrics without samples."""
        return (family.empty() for family in FAMILIES)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The metrics, one after the other, so that they are never all in memory."""
        subjects = [Subject(declared, self._used(declared)) for declared in self._declared()]
        for family in FAMILIES:
            metric = family.empty()
            for subject in subjects:
                for labels, value in family.read(subject):
                    metric.add_metric((*subject.declared.key, *labels), value)
            yield metric

    def _used(self, declared: Declared) -> Usage:
        status = declared.status
        return self._usage(status.container_id) if status.container_id and status.state in _ALIVE else Usage()


def _info(subject: Subject) -> Iterator[Sample]:
    spec, status = subject.declared.spec, subject.declared.status
    wanted = ("", "", "") if spec is None else (spec.image, spec.restart_policy.name, spec.desired_state)
    yield (*wanted, status.image_id or "", status.runtime_name or ""), 1


def _state(subject: Subject) -> Iterator[Sample]:
    yield (subject.declared.status.state or ContainerState.PENDING,), 1


def _conditions(subject: Subject) -> Iterator[Sample]:
    for condition in subject.declared.status.conditions:
        for status in ConditionStatus:
            yield (condition.type, status.lower()), float(condition.status is status)


def _reasons(subject: Subject) -> Iterator[Sample]:
    for condition in subject.declared.status.conditions:
        yield (condition.type, condition.reason), 1


def _restarts(subject: Subject) -> Iterator[Sample]:
    yield (), subject.declared.status.restart_count or 0


def _generation(subject: Subject) -> Iterator[Sample]:
    yield (), subject.declared.generation


def _observed_generation(subject: Subject) -> Iterator[Sample]:
    yield (), subject.declared.status.observed_generation or 0


def _start_time(subject: Subject) -> Iterator[Sample]:
    if subject.declared.status.state in _ALIVE:
        yield from _moment(subject.declared.status.started_at)


def _next_restart_time(subject: Subject) -> Iterator[Sample]:
    return _moment(subject.declared.status.next_restart_at)


def _last_exit_reason(subject: Subject) -> Iterator[Sample]:
    for run in subject.declared.status.history[:1]:
        yield (run.reason,), 1


def _last_exit_code(subject: Subject) -> Iterator[Sample]:
    for run in subject.declared.status.history[:1]:
        yield from _known(run.exit_code)


def _last_exit_time(subject: Subject) -> Iterator[Sample]:
    for run in subject.declared.status.history[:1]:
        yield from _moment(run.finished_at)


def _failing_streak(subject: Subject) -> Iterator[Sample]:
    health = subject.declared.status.health
    return _known(health.failing_streak if health is not None else None)


def _received_bytes(subject: Subject) -> Iterator[Sample]:
    pull = subject.declared.status.pull
    return _known(pull.received_bytes if pull is not None else None)


def _image_bytes(subject: Subject) -> Iterator[Sample]:
    pull = subject.declared.status.pull
    return _known(pull.total_bytes if pull is not None else None)


def _limits(subject: Subject) -> Iterator[Sample]:
    if subject.declared.spec is not None:
        limits = subject.declared.spec.resources.limits
        yield from _amount("cpu", "core", limits.cpu)
        yield from _amount("memory", "byte", limits.memory)
        yield from _amount("pids", "integer", limits.pids)


def _requests(subject: Subject) -> Iterator[Sample]:
    if subject.declared.spec is not None:
        requests = subject.declared.spec.resources.requests
        yield from _amount("cpu", "core", requests.cpu)
        yield from _amount("memory", "byte", requests.memory)


def _of_usage(field: str) -> Callable[[Subject], Iterator[Sample]]:
    return lambda subject: _known(getattr(subject.usage, field))


def _known(number: float | None) -> Iterator[Sample]:
    if number is not None:
        yield (), number


def _moment(moment: datetime | None) -> Iterator[Sample]:
    return _known(moment.timestamp() if moment is not None else None)


def _amount(resource: str, unit: str, amount: Quantity | None) -> Iterator[Sample]:
    if amount is not None:
        yield (resource, unit), _value(amount)


@lru_cache
def _value(amount: Quantity) -> float:
    return float(quantity.parse(amount))


FAMILIES: Final = (
    Family(
        "tallyman_container_info",
        "1 for each Container of this node, with what it is made of.",
        _info,
        ("image", "restart_policy", "desired_state", "image_id", "runtime"),
    ),
    Family(
        "tallyman_container_state",
        "1 for the `status.state` that the Container has; others are absent.",
        _state,
        ("state",),
    ),
    Family(
        "tallyman_container_status_condition",
        "1 for the status (`true`, `false`, `unknown`) that each condition of the Container has, 0 for the others.",
        _conditions,
        ("condition", "status"),
    ),
    Family(
        "tallyman_container_status_reason",
        "1 for the reason that each condition of the Container has, whatever its status; others are absent.",
        _reasons,
        ("condition", "reason"),
    ),
    Family(
        "tallyman_container_status_restarts",
        "How often the Container was started again (`status.restartCount`).",
        _restarts,
        counter=True,
    ),
    Family("tallyman_container_generation", "Generation of the Container's spec.", _generation),
    Family(
        "tallyman_container_observed_generation",
        "Generation of the spec that the Container's status speaks of; 0 while it has none.",
        _observed_generation,
    ),
    Family(
        "tallyman_container_start_time_seconds",
        "When the Container's process was started (Unix time); absent while there is none.",
        _start_time,
    ),
    Family(
        "tallyman_container_next_restart_time_seconds",
        "When the Container is started again (Unix time); absent unless that waits.",
        _next_restart_time,
    ),
    Family(
        "tallyman_container_last_exit_reason",
        "1 for the reason for which the Container's process ended last; absent before the first end.",
        _last_exit_reason,
        ("reason",),
    ),
    Family(
        "tallyman_container_last_exit_code", "Exit code of the Container's process that ended last.", _last_exit_code
    ),
    Family(
        "tallyman_container_last_exit_time_seconds",
        "When the Container's process ended last (Unix time).",
        _last_exit_time,
    ),
    Family(
        "tallyman_container_health_failing_streak",
        "How many health checks in a row have failed, as the status has it; absent without a health check.",
        _failing_streak,
    ),
    Family(
        "tallyman_container_image_pull_received_bytes",
        "Bytes of the image received so far; absent unless it is being pulled.",
        _received_bytes,
    ),
    Family(
        "tallyman_container_image_pull_size_bytes",
        "Bytes of the image that must be fetched, 0 while not known; absent unless it is being pulled.",
        _image_bytes,
    ),
    Family(
        "tallyman_container_resource_limits",
        "Limits of the Container's resources, in cores, bytes and processes.",
        _limits,
        ("resource", "unit"),
    ),
    Family(
        "tallyman_container_resource_requests",
        "Requests of the Container's resources, in cores and bytes.",
        _requests,
        ("resource", "unit"),
    ),
    Family(
        "tallyman_container_cpu_usage_seconds",
        "CPU time that the Container has used.",
        _of_usage("cpu_seconds"),
        counter=True,
    ),
    Family(
        "tallyman_container_cpu_cfs_periods",
        "Periods in which the Container's CPU limit was in force.",
        _of_usage("cpu_periods"),
        counter=True,
    ),
    Family(
        "tallyman_container_cpu_cfs_throttled_periods",
        "Periods in which the Container had to wait for its CPU limit.",
        _of_usage("cpu_throttled_periods"),
        counter=True,
    ),
    Family(
        "tallyman_container_cpu_cfs_throttled_seconds",
        "Time that the Container had to wait for its CPU limit.",
        _of_usage("cpu_throttled_seconds"),
        counter=True,
    ),
    Family(
        "tallyman_container_memory_usage_bytes",
        "Memory that the Container uses, the page cache included.",
        _of_usage("memory"),
    ),
    Family(
        "tallyman_container_memory_working_set_bytes",
        "Memory that the Container uses, less the page cache that can be given up at once.",
        _of_usage("memory_working_set"),
    ),
    Family("tallyman_container_threads", "Threads and processes of the Container.", _of_usage("threads")),
    Family(
        "tallyman_container_oom_events",
        "Processes of the Container's present run that the kernel has killed for want of memory.",
        _of_usage("oom_kills"),
        counter=True,
    ),
)
"""In the order of the page."""
