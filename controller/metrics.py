"""The agent's Prometheus metrics: every one is defined here and nowhere else, and set through plain functions.

Names follow the kubelet's and controller-runtime's where they have the same thing. Labels are bounded: operations, codes, states,
reasons; never an object's name, an id or an error's text. May be used by every room, uses none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

# A `_created` series beside every counter and histogram would double what is scraped, for nothing that anybody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
PREFIX = "tallyman"
_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_RESULTS = ("settled", "look_again", "error")
_CAUSES = ("policy", "request")
_ENDS = ("Completed", "Error", "OOMKilled", "NodeRebooted", "Stopped")
_TYPES = ("Normal", "Warning")
_CHECK_RESULTS = ("success", "failure", "unknown")
_STATES = ("Pending", "Created", "Running", "Paused", "Restarting", "Exited", "Removing", "Unknown")

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
_build = Info(f"{PREFIX}_build", "Version of this agent.", registry=REGISTRY)
_reconciles = Counter(f"{PREFIX}_reconcile", "Looks at an object, by how they ended.", ["result"], registry=REGISTRY)
_reconcile_seconds = Histogram(
    f"{PREFIX}_reconcile_time_seconds", "Duration of a look at an object.", buckets=_SECONDS, registry=REGISTRY
)
_queue_depth = Gauge(f"{PREFIX}_queue_depth", "Objects that wait for a look.", registry=REGISTRY)
_queue_seconds = Histogram(
    f"{PREFIX}_queue_duration_seconds", "How long an object waited for its look.", buckets=_SECONDS, registry=REGISTRY
)
_active_workers = Gauge(f"{PREFIX}_active_workers", "Looks that are under way.", registry=REGISTRY)
_operations = Counter(
    f"{PREFIX}_runtime_operations", "Calls to containerd, by operation.", ["operation"], registry=REGISTRY
)
_operation_errors = Counter(
    f"{PREFIX}_runtime_operations_errors",
    "Calls to containerd that failed, by operation and gRPC status code.",
    ["operation", "code"],
    registry=REGISTRY,
)
_operation_seconds = Histogram(
    f"{PREFIX}_runtime_operations_duration_seconds",
    "Duration of calls to containerd, by operation.",
    ["operation"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
_containers = Gauge(f"{PREFIX}_containers", "Containers of this node, by `status.state`.", ["state"], registry=REGISTRY)
_exits = Counter(
    f"{PREFIX}_container_exits", "Processes that have ended, by reason as in Events.", ["reason"], registry=REGISTRY
)
_restarts = Counter(
    f"{PREFIX}_container_restarts",
    "Processes started again, by what asked for it: the restart policy, or a request.",
    ["cause"],
    registry=REGISTRY,
)
_started = Counter(f"{PREFIX}_started_containers", "Containers whose process was started.", registry=REGISTRY)
_start_errors = Counter(
    f"{PREFIX}_started_containers_errors", "Starts that failed, by reason.", ["reason"], registry=REGISTRY
)
_start_seconds = Histogram(
    f"{PREFIX}_container_start_duration_seconds",
    "From the first look at a container whose image is there to its running process; no pull is counted.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
_orphans = Counter(
    f"{PREFIX}_orphans_removed",
    "Containers removed because their object is gone, or was bound to another node while this one was away.",
    registry=REGISTRY,
)
_pull_seconds = Histogram(
    f"{PREFIX}_image_pull_duration_seconds",
    "Duration of image pulls.",
    ["result"],
    buckets=(*_SECONDS, 120, 300, 600),
    registry=REGISTRY,
)
_pull_bytes = Counter(f"{PREFIX}_image_pull_bytes", "Bytes of the images pulled.", registry=REGISTRY)
_api_requests = Counter(
    f"{PREFIX}_api_requests", "Requests to the API server, by verb and outcome.", ["verb", "outcome"], registry=REGISTRY
)
_list_seen = Gauge(
    f"{PREFIX}_list_last_seen_seconds",
    "When everything was last compared with a list (Unix time), by whose list it was.",
    ["source"],
    registry=REGISTRY,
)
_watch_lag = Counter(f"{PREFIX}_watch_missed", "Changes that a list showed and the watch had not.", registry=REGISTRY)
_lease_renewed = Gauge(
    f"{PREFIX}_lease_last_renewed_seconds", "When the node's Lease was last renewed (Unix time).", registry=REGISTRY
)
_node_registered = Gauge(
    f"{PREFIX}_node_registered", "1 while the node's ContainerNode is there, 0 while it is not.", registry=REGISTRY
)
_policy_file = Gauge(
    f"{PREFIX}_policy_file_good", "1 while the policy file can be used as it is, 0 while it can't.", registry=REGISTRY
)
_events_discarded = Counter(
    f"{PREFIX}_runtime_event_streams_broken", "Times that containerd's event stream broke.", registry=REGISTRY
)

_output_bytes = Counter(
    f"{PREFIX}_container_output_bytes", "Bytes of output written to logs.", ["stream"], registry=REGISTRY
)
_output_lines = Counter(
    f"{PREFIX}_container_output_lines", "Lines of output written to logs.", ["stream"], registry=REGISTRY
)
_output_lost = Counter(
    f"{PREFIX}_container_output_lost_bytes",
    "Bytes of output that could not be written to their log.",
    registry=REGISTRY,
)
_action_seconds = Histogram(
    f"{PREFIX}_action_duration_seconds",
    "Duration of what was done for an object, by action and by how it ended.",
    ["action", "result"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
_events_posted = Counter(
    f"{PREFIX}_events_posted", "Posts of Events to the API server, by type.", ["type"], registry=REGISTRY
)
_events_dropped = Counter(
    f"{PREFIX}_events_dropped",
    "News that no Event tells of, for want of room or since the API server refused it, by type.",
    ["type"],
    registry=REGISTRY,
)
_events_waiting = Gauge(f"{PREFIX}_events_waiting", "Events that are still to be posted.", registry=REGISTRY)
_health_checks = Counter(f"{PREFIX}_health_checks", "Health checks made, by result.", ["result"], registry=REGISTRY)

for _result in _CHECK_RESULTS:
    _health_checks.labels(_result)
for _end in _ENDS:
    _exits.labels(_end)
for _cause in _CAUSES:
    _restarts.labels(_cause)
for _type in _TYPES:
    _events_posted.labels(_type)
    _events_dropped.labels(_type)
for _result in _RESULTS:
    _reconciles.labels(_result)
for _state in _STATES:
    _containers.labels(_state)


_policy_file.set(1)


def build(version: str) -> None:
    """Publish the version."""
    _build.info({"version": version})


def reconciled(result: str) -> None:
    """Count a look that ended."""
    _reconciles.labels(result).inc()


@contextmanager
def reconcile() -> Iterator[None]:
    """Measure a look."""
    since = monotonic()
    _active_workers.inc()
    try:
        yield
    finally:
        _active_workers.dec()
        _reconcile_seconds.observe(monotonic() - since)


def queue_depth(count: int) -> None:
    """Publish how many keys wait."""
    _queue_depth.set(count)


def queue_waited(seconds: float) -> None:
    """Record how long a key waited."""
    _queue_seconds.observe(seconds)


def runtime_operation(operation: str, seconds: float, code: str) -> None:
    """Record a call to containerd; `code` is the gRPC status code's name."""
    _operations.labels(operation).inc()
    _operation_seconds.labels(operation).observe(seconds)
    if code != "OK":
        _operation_errors.labels(operation, code).inc()


def containers(by_state: dict[str, int]) -> None:
    """Publish how many containers are in each state."""
    for state in _STATES:
        _containers.labels(state).set(by_state.get(state, 0))


def container_started(seconds: float | None) -> None:
    """Count a start, and its duration where it was measured from the beginning."""
    _started.inc()
    if seconds is not None:
        _start_seconds.observe(seconds)


def container_exited(reason: str) -> None:
    """Count the end of a process."""
    _exits.labels(reason).inc()


def container_restarted(*, by_policy: bool) -> None:
    """Count a start that was not the container's first."""
    _restarts.labels(_CAUSES[0] if by_policy else _CAUSES[1]).inc()


def container_start_failed(reason: str) -> None:
    """Count a start that failed."""
    _start_errors.labels(reason).inc()


def orphan_removed() -> None:
    """Count an orphan."""
    _orphans.inc()


@dataclass
class Pull:
    """A pull that is being measured."""

    bytes: int = 0


@contextmanager
def image_pull() -> Iterator[Pull]:
    """Measure a pull; whoever pulls sets `bytes`."""
    since, pull, result = monotonic(), Pull(), "error"
    try:
        yield pull
        result = "success"
    finally:
        _pull_seconds.labels(result).observe(monotonic() - since)
        _pull_bytes.inc(pull.bytes)


def api_request(verb: str, outcome: str) -> None:
    """Count a request to the API server."""
    _api_requests.labels(verb, outcome).inc()


def listed(source: str, when: float) -> None:
    """Publish when a list was compared last; `when` in Unix seconds."""
    _list_seen.labels(source).set(when)


def watch_missed(count: int) -> None:
    """Count changes that the watch did not bring."""
    _watch_lag.inc(count)


def lease_renewed(when: float) -> None:
    """Publish when the node's Lease was renewed; `when` in Unix seconds."""
    _lease_renewed.set(when)


def node_registered(*, registered: bool) -> None:
    """Publish whether the node has its object."""
    _node_registered.set(registered)


def policy_file(*, good: bool) -> None:
    """Publish whether the policy file can be used."""
    _policy_file.set(good)


@contextmanager
def action(name: str) -> Iterator[None]:
    """Measure an action."""
    since, result = monotonic(), "error"
    try:
        yield
        result = "success"
    finally:
        _action_seconds.labels(name, result).observe(monotonic() - since)


def event_posted(kind: str) -> None:
    """Count an Event that was made or brought up to date; `kind` is its type."""
    _events_posted.labels(kind).inc()


def events_dropped(kind: str, count: int) -> None:
    """Count news that no Event will tell of."""
    _events_dropped.labels(kind).inc(count)


def events_waiting(count: int) -> None:
    """Publish how many Events are still to be posted."""
    _events_waiting.set(count)


def event_stream_broken() -> None:
    """Count a broken stream of containerd's events."""
    _events_discarded.inc()


def output_moved(stream: str, count: int, lines: int) -> None:
    """Count output of containers; `stream` is stdout or stderr."""
    _output_bytes.labels(stream).inc(count)
    _output_lines.labels(stream).inc(lines)


def output_lost(count: int) -> None:
    """Count output that is nowhere kept."""
    _output_lost.inc(count)


def health_check(result: str) -> None:
    """Count a health check."""
    _health_checks.labels(result).inc()
