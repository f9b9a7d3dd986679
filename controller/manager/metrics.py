"""The manager's own Prometheus metrics: every one is defined here, and set through plain functions.

What manager and agent have in common (requests, Events, the process itself) is in `controller.metrics`; `page` shows both. Labels are
bounded, as there.
"""

from collections import Counter as Count
from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from controller import metrics

REGISTRY = CollectorRegistry()
SHARED = (
    "tallyman_build",
    "tallyman_api_requests",
    "tallyman_status_writes",
    "tallyman_events_posted",
    "tallyman_events_dropped",
    "tallyman_events_waiting",
    "process_",
    "python_",
)
"""The beginnings of the names of the metrics that the manager shares with the agent."""
_PREFIX = f"{metrics.PREFIX}_manager"
NAMES = (_PREFIX, *SHARED)
"""The beginnings of the names of all that it exposes."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_RESULTS = ("success", "conflict", "error")
_PHASES = ("Alive", "Lost", "Gone", "Undecided")
_STEPS = ("MarkNode", "Mark", "Reset", "Release")
_WATCHED = ("containers", "nodes")
_LISTED = (*_WATCHED, "leases")

_leader = Gauge(f"{_PREFIX}_leader", "1 while this manager leads, else 0.", registry=REGISTRY)
_terms = Counter(f"{_PREFIX}_terms", "Times that this manager has begun to lead.", registry=REGISTRY)
_containers = Gauge(f"{_PREFIX}_containers", "Containers that this manager knows.", registry=REGISTRY)
_nodes = Gauge(
    f"{_PREFIX}_nodes", "Nodes by what they are in, as the leader sees it; 0 elsewhere.", ["phase"], registry=REGISTRY
)
_pending = Gauge(f"{_PREFIX}_pending_containers", "Containers that are to be bound to a node.", registry=REGISTRY)
_unbindable = Gauge(
    f"{_PREFIX}_unbindable_containers",
    "Containers that are to be bound and fit on no node, as the leader sees it; 0 elsewhere.",
    registry=REGISTRY,
)
_binds = Counter(f"{_PREFIX}_binds", "Attempts to bind a Container, by how they ended.", ["result"], registry=REGISTRY)
_bind_seconds = Histogram(
    f"{_PREFIX}_bind_duration_seconds",
    "From the first sight of a Container without a node until it was bound.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
_kept = Counter(
    f"{_PREFIX}_node_steps",
    "What was done about lost and gone nodes and their Containers, by step.",
    ["step"],
    registry=REGISTRY,
)
_kept_errors = Counter(f"{_PREFIX}_node_steps_errors", "Such steps that failed and are repeated.", registry=REGISTRY)
_listed = Gauge(
    f"{_PREFIX}_list_last_seen_seconds",
    "When everything of a kind was last compared with a list (Unix time; 0 before the first).",
    ["kind"],
    registry=REGISTRY,
)
_missed = Counter(
    f"{_PREFIX}_watch_missed", "Changes that a list showed and the watch had not, by kind.", ["kind"], registry=REGISTRY
)
_reviews = Counter(
    f"{_PREFIX}_admission_reviews",
    "Requests to the admission webhook, by operation and by how they ended.",
    ["operation", "outcome"],
    registry=REGISTRY,
)
_review_seconds = Histogram(
    f"{_PREFIX}_admission_review_duration_seconds",
    "Duration of requests to the admission webhook.",
    buckets=(0.0005, 0.001, 0.0025, *_SECONDS[:9]),
    registry=REGISTRY,
)
_certificate_end = Gauge(
    f"{_PREFIX}_webhook_certificate_expiry_timestamp_seconds",
    "When the certificate that the admission webhook uses expires (Unix time); 0 while there is none.",
    registry=REGISTRY,
)

for _operation in ("CREATE", "UPDATE"):
    for _outcome in ("allowed", "refused"):
        _reviews.labels(_operation, _outcome)
for _outcome in ("malformed", "error"):
    _reviews.labels("", _outcome)
for _result in _RESULTS:
    _binds.labels(_result)
for _phase in _PHASES:
    _nodes.labels(_phase)
for _step in _STEPS:
    _kept.labels(_step)
for _kind in _WATCHED:
    _missed.labels(_kind)
for _kind in _LISTED:
    _listed.labels(_kind)


class _Shared(Collector):
    """What is shared, taken out of the registry of everything."""

    def collect(self) -> Iterator[Metric]:
        return (metric for metric in metrics.REGISTRY.collect() if metric.name.startswith(SHARED))


def page() -> bytes:
    """All that the manager exposes."""
    own: bytes = generate_latest(REGISTRY)
    shared: bytes = generate_latest(_Shared())
    return own + shared


def leads(*, now: bool) -> None:
    """Publish whether this manager leads; a new term is counted, and what only a leader knows ends with its term."""
    _leader.set(now)
    if now:
        _terms.inc()
    else:
        nodes(())


def containers(count: int) -> None:
    """Publish how many Containers are known."""
    _containers.set(count)


def nodes(phases: Iterable[str]) -> None:
    """Publish how many nodes are in each phase."""
    found = Count(phases)
    for phase in _PHASES:
        _nodes.labels(phase).set(found[phase])


def pending(waiting: int, unbindable: int) -> None:
    """Publish how many Containers are to be bound, and how many of them can't be."""
    _pending.set(waiting)
    _unbindable.set(unbindable)


def bound(result: str, seconds: float | None = None) -> None:
    """Count an attempt to bind, and how long the Container had waited when it was a success."""
    _binds.labels(result).inc()
    if seconds is not None:
        _bind_seconds.observe(seconds)


def kept(step: str) -> None:
    """Count a step that was done."""
    _kept.labels(step).inc()


def keeping_failed() -> None:
    """Count a step that was not."""
    _kept_errors.inc()


def listed(kind: str, when: float) -> None:
    """Publish when a kind was compared last; `when` in Unix seconds."""
    _listed.labels(kind).set(when)


def watch_missed(kind: str, count: int) -> None:
    """Count changes that the watch did not bring."""
    _missed.labels(kind).inc(count)


def reviewed(operation: str, outcome: str, seconds: float) -> None:
    """Count a request to the admission webhook."""
    _reviews.labels(operation, outcome).inc()
    _review_seconds.observe(seconds)


def certificate_expires(when: datetime) -> None:
    """Publish the end of the webhook's certificate."""
    _certificate_end.set(when.timestamp())
