"""The agent's Prometheus metrics: every one is defined here, and set through plain functions.

Names follow the kubelet's and controller-runtime's where they have the same thing. Labels are bounded: operations, codes, states,
reasons; never an object's name, an id or an error's text. What is told of single objects is defined in `agent/container_metrics`,
where it is read off the agent's memory, and can be switched off. May be used by every room, uses none.
"""

from collections.abc import Iterable, Iterator, Mapping
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
_ACTION_RESULTS = ("success", "error")
_STREAMS = ("stdout", "stderr")
_SOURCES = ("containerd", "watch")
_VERBS = ("GET", "POST", "PATCH", "DELETE")
_OUTCOMES = ("ok", "Conflict", "Forbidden", "NotFound", "Refused", "Unavailable")
_DESIRED = ("Running", "Paused", "Stopped")
_STATES = ("Pending", "Created", "Running", "Paused", "Restarting", "Exited", "Removing", "Unknown")

ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
_build = Info(f"{PREFIX}_build", "Version of this program.", registry=REGISTRY)
_reconciles = Counter(f"{PREFIX}_reconcile", "Looks at an object, by how they ended.", ["result"], registry=REGISTRY)
_reconcile_seconds = Histogram(
    f"{PREFIX}_reconcile_time_seconds", "Duration of a look at an object.", buckets=_SECONDS, registry=REGISTRY
)
_queue_depth = Gauge(f"{PREFIX}_queue_depth", "Objects that wait for a look.", registry=REGISTRY)
_queue_longest = Gauge(
    f"{PREFIX}_queue_longest_wait_seconds",
    "How long the object that has waited longest has been waiting; 0 when none waits.",
    registry=REGISTRY,
)
_queue_backing_off = Gauge(
    f"{PREFIX}_queue_backing_off", "Objects whose last look failed, and is to be repeated.", registry=REGISTRY
)
_queue_seconds = Histogram(
    f"{PREFIX}_queue_duration_seconds", "How long an object waited for its look.", buckets=_SECONDS, registry=REGISTRY
)
_active_workers = Gauge(f"{PREFIX}_active_workers", "Looks that are under way.", registry=REGISTRY)
_longest_look = Gauge(
    f"{PREFIX}_reconcile_longest_running_seconds",
    "How long the look has been under way that began first; 0 when there is none.",
    registry=REGISTRY,
)
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
_desired = Gauge(
    f"{PREFIX}_containers_desired",
    "Containers of this node with a valid spec, by `spec.desiredState`.",
    ["state"],
    registry=REGISTRY,
)
_not_ready = Gauge(
    f"{PREFIX}_containers_not_ready",
    "Containers of this node that are not Ready, by the reason of that condition; some are so by the user's wish.",
    ["reason"],
    registry=REGISTRY,
)
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
_status_writes = Counter(
    f"{PREFIX}_status_writes", "Writes of a Container's status, by outcome.", ["outcome"], registry=REGISTRY
)
_list_seen = Gauge(
    f"{PREFIX}_list_last_seen_seconds",
    "When everything was last compared with a list (Unix time; 0 before the first), by whose list it was.",
    ["source"],
    registry=REGISTRY,
)
_list_seconds = Histogram(
    f"{PREFIX}_list_duration_seconds",
    "Duration of comparing everything with a list, by whose list it is.",
    ["source"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
_list_errors = Counter(
    f"{PREFIX}_list_errors", "Lists that could not be had, by whose list it is.", ["source"], registry=REGISTRY
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

# What is not counted yet is 0: an increase from nothing could not be told from no series.
for _result in _CHECK_RESULTS:
    _health_checks.labels(_result)
for _result in _ACTION_RESULTS:
    _pull_seconds.labels(_result)
for _stream in _STREAMS:
    _output_bytes.labels(_stream)
    _output_lines.labels(_stream)
for _source in _SOURCES:
    _list_seen.labels(_source)
    _list_seconds.labels(_source)
    _list_errors.labels(_source)
for _outcome in _OUTCOMES:
    _status_writes.labels(_outcome)
    for _verb in _VERBS:
        _api_requests.labels(_verb, _outcome)
for _state in _DESIRED:
    _desired.labels(_state)
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
_not_ready_seen: set[str] = set()
_policy_file.set(1)


def build(version: str) -> None:
    """Publish the version."""
    _build.info({"version": version})


def prepare(start_failures: Iterable[str]) -> None:
    """Count these reasons from 0 on; the others are known here."""
    for reason in start_failures:
        _start_errors.labels(reason)


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


def queue(depth: int, longest_wait: float, longest_look: float, backing_off: int) -> None:
    """Publish how many keys wait and for how long, how long the oldest look takes, and how many keys are to be repeated."""
    _queue_depth.set(depth)
    _queue_longest.set(longest_wait)
    _longest_look.set(longest_look)
    _queue_backing_off.set(backing_off)


def queue_waited(seconds: float) -> None:
    """Record how long a key waited."""
    _queue_seconds.observe(seconds)


def runtime_operation(operation: str, seconds: float, code: str) -> None:
    """Record a call to containerd; `code` is the gRPC status code's name."""
    _operations.labels(operation).inc()
    _operation_seconds.labels(operation).observe(seconds)
    if code != "OK":
        _operation_errors.labels(operation, code).inc()


def containers(by_state: Mapping[str, int], desired: Mapping[str, int], not_ready: Mapping[str, int]) -> None:
    """Publish how many containers are in each state, are to be in each, and are not ready for each reason."""
    for state in _STATES:
        _containers.labels(state).set(by_state.get(state, 0))
    for state in _DESIRED:
        _desired.labels(state).set(desired.get(state, 0))
    # NB: a reason that was seen once stays, at 0: taking it away would show to whoever scrapes at the same moment.
    _not_ready_seen.update(not_ready)
    for reason in _not_ready_seen:
        _not_ready.labels(reason).set(not_ready.get(reason, 0))


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


@contextmanager
def status_write() -> Iterator[None]:
    """Count a write of a status; the outcome is `ok`, or the error's class name."""
    outcome = "ok"
    try:
        yield
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        _status_writes.labels(outcome).inc()


@contextmanager
def listing(source: str) -> Iterator[None]:
    """Measure a comparison with a list."""
    with _list_seconds.labels(source).time():
        yield


def list_failed(source: str) -> None:
    """Count a list that could not be had."""
    _list_errors.labels(source).inc()


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
