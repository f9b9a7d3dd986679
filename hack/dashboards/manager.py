"""Tallyman / Manager: who leads, what is bound, how the nodes are, and what the admission webhook answers."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from hack.dashboards import frame
from hack.dashboards.panels import RATE, Panel, Query, graph, number, quantiles

_ALL: Final = 'cluster=~"$cluster"'
_OF_MANAGERS: Final = "and on (cluster, job, instance) tallyman_manager_leader"
"""Takes those of managers out of metrics that others have too."""


def dashboard() -> Dashboard:
    """The dashboard."""
    made = frame.blank(
        "Manager",
        "Managers: who leads, what is bound and how fast, how the nodes are, what the webhook answers, and what is asked of the API server.",
        [frame.cluster()],
    )
    content = {
        "Now": _now(),
        "Binding": _binding(),
        "Nodes": _nodes(),
        "Admission webhook": _webhook(),
        "The API server": _api(),
        "The process": _process(),
    }
    return frame.rows(made, content)


def _now() -> list[Panel]:
    return [
        number("Managers", "none", Query(f"count(tallyman_manager_leader{{{_ALL}}})")),
        number(
            "Leads",
            "none",
            Query(f"max by (instance) (tallyman_manager_leader{{{_ALL}}} == 1)", "{{instance}}"),
            about="The manager that does what only one may do.",
        ),
        number("Known Containers", "none", Query(f"max(tallyman_manager_containers{{{_ALL}}})")),
        number("To be bound", "none", Query(f"max(tallyman_manager_pending_containers{{{_ALL}}})")),
        number(
            "Fit on no node",
            "none",
            Query(f"max(tallyman_manager_unbindable_containers{{{_ALL}}})"),
            steps={None: "green", 1: "red"},
        ),
        number(
            "Lost nodes",
            "none",
            Query(f'max(tallyman_manager_nodes{{phase="Lost", {_ALL}}})'),
            steps={None: "green", 1: "red"},
        ),
    ]


def _binding() -> list[Panel]:
    return [
        graph(
            "Attempts to bind",
            "ops",
            Query(f"sum by (result) (rate(tallyman_manager_binds_total{{{_ALL}}}[{RATE}]))", "{{result}}"),
            stacked=True,
        ),
        graph(
            "Time until bound",
            "s",
            *quantiles("tallyman_manager_bind_duration_seconds", _ALL),
            about="From the first sight of a Container without a node.",
        ),
        graph(
            "To be bound",
            "none",
            Query(f"max(tallyman_manager_pending_containers{{{_ALL}}})", "to be bound"),
            Query(f"max(tallyman_manager_unbindable_containers{{{_ALL}}})", "fit on no node"),
        ),
    ]


def _nodes() -> list[Panel]:
    return [
        graph(
            "Nodes",
            "none",
            Query(f"max by (phase) (tallyman_manager_nodes{{{_ALL}}})", "{{phase}}"),
            about="As the leader sees them.",
            stacked=True,
        ),
        graph(
            "Done about lost and gone nodes",
            "ops",
            Query(f"sum by (step) (rate(tallyman_manager_node_steps_total{{{_ALL}}}[{RATE}]))", "{{step}}"),
            Query(f"sum(rate(tallyman_manager_node_steps_errors_total{{{_ALL}}}[{RATE}]))", "failed"),
        ),
        graph(
            "Age of agents' Leases",
            "s",
            Query(f"time() - (tallyman_lease_last_renewed_seconds{{{_ALL}}} > 0)", "{{node}}"),
            Query(f"sum(1 - tallyman_node_registered{{{_ALL}}})", "nodes without their object (number)"),
            about="As the agents themselves tell it.",
            limit=40,
        ),
    ]


def _webhook() -> list[Panel]:
    return [
        graph(
            "Reviews, by operation and outcome",
            "ops",
            Query(
                f"sum by (operation, outcome) (rate(tallyman_manager_admission_reviews_total{{{_ALL}}}[{RATE}]))",
                "{{operation}} {{outcome}}",
            ),
            about="A request that is no review has no operation.",
            stacked=True,
        ),
        graph(
            "Duration of reviews", "s", *quantiles("tallyman_manager_admission_review_duration_seconds", _ALL), limit=1
        ),
        graph(
            "Time until the certificate expires",
            "s",
            Query(
                f"(tallyman_manager_webhook_certificate_expiry_timestamp_seconds{{{_ALL}}} > 0) - time()",
                "{{instance}}",
            ),
            about="The manager's own certificates live for 90 days and are renewed after 60.",
        ),
    ]


def _api() -> list[Panel]:
    return [
        graph(
            "Requests, by verb and outcome",
            "ops",
            Query(
                f"sum by (verb, outcome) (rate(tallyman_api_requests_total{{{_ALL}}}[{RATE}]) {_OF_MANAGERS}) > 0",
                "{{verb}} {{outcome}}",
            ),
            stacked=True,
        ),
        graph(
            "Age of the last list",
            "s",
            Query(f"time() - (tallyman_manager_list_last_seen_seconds{{{_ALL}}} > 0)", "{{instance}} {{kind}}"),
            limit=120,
        ),
        graph(
            "Writes of statuses, by outcome",
            "ops",
            Query(
                f"sum by (outcome) (rate(tallyman_status_writes_total{{{_ALL}}}[{RATE}]) {_OF_MANAGERS})",
                "{{outcome}}",
            ),
            about="Of Containers that fit on no node, or whose node is lost or gone.",
            stacked=True,
        ),
        graph(
            "Events, by type",
            "ops",
            Query(f"sum by (type) (rate(tallyman_events_posted_total{{{_ALL}}}[{RATE}]) {_OF_MANAGERS})", "{{type}}"),
            Query(
                f"sum by (type) (rate(tallyman_events_dropped_total{{{_ALL}}}[{RATE}]) {_OF_MANAGERS})",
                "{{type}} dropped",
            ),
            Query(f"sum(tallyman_events_waiting{{{_ALL}}} {_OF_MANAGERS})", "waiting (number)"),
        ),
        graph(
            "Missed by the watch",
            "cpm",
            Query(f"sum by (kind) (rate(tallyman_manager_watch_missed_total{{{_ALL}}}[{RATE}])) * 60", "{{kind}}"),
        ),
    ]


def _process() -> list[Panel]:
    return [
        graph(
            "CPU", "none", Query(f"rate(process_cpu_seconds_total{{{_ALL}}}[{RATE}]) {_OF_MANAGERS}", "{{instance}}")
        ),
        graph("Memory", "bytes", Query(f"process_resident_memory_bytes{{{_ALL}}} {_OF_MANAGERS}", "{{instance}}")),
        graph(
            "Changes of the lead",
            "none",
            Query(f"sum(increase(tallyman_manager_terms_total{{{_ALL}}}[{RATE}]))", "changes"),
            Query(f"max by (instance) (tallyman_manager_leader{{{_ALL}}})", "{{instance}} leads"),
        ),
    ]
