"""Tallyman / Fleet: all nodes at once."""

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard

from hack.dashboards import frame
from hack.dashboards.frame import AGENT, OF_AGENTS
from hack.dashboards.panels import FULL, HALF, RATE, Link, Panel, Query, graph, listing, number, quantiles

_BY_WISH: Final = "Stopped|Paused|Completed"
"""Reasons for not being ready that are as the user wants it."""
_OBJECTS: Final = f'{AGENT}, namespace=~"$namespace"'


def dashboard() -> Dashboard:
    """The dashboard."""
    made = frame.blank(
        "Fleet",
        "All nodes: what runs, what does not and why, and how the agents fare.",
        [frame.cluster(), frame.node(), frame.namespace()],
    )
    content = {
        "Now": _now(),
        "What is wrong": _wrong(),
        "Containers": _containers(),
        "Images": _images(),
        "Nodes": [_nodes()],
    }
    return frame.rows(made, content)


def _now() -> list[Panel]:
    bad: dict[float | None, str] = {None: "green", 1: "red"}
    return [
        number(
            "Agents",
            "none",
            Query(f"count(count by (instance) (tallyman_list_last_seen_seconds{{{AGENT}}}))"),
            about="Agents that are scraped.",
        ),
        number(
            "Blind agents",
            "none",
            Query(f"count(max by (node) (time() - tallyman_list_last_seen_seconds{{{AGENT}}} > 120)) or vector(0)"),
            about="Agents that have not been in step with containerd or the API server for two minutes.",
            steps=bad,
        ),
        number("Containers", "none", Query(f"sum(tallyman_containers{{{AGENT}}})")),
        number("Running", "none", Query(f'sum(tallyman_containers{{state="Running", {AGENT}}})')),
        number(
            "Not ready",
            "none",
            Query(f'sum(tallyman_containers_not_ready{{reason!~"{_BY_WISH}", {AGENT}}}) or vector(0)'),
            about="Containers that are to run, and are not ready.",
            steps=bad,
        ),
        number(
            "Firing alerts",
            "none",
            Query('count(ALERTS{alertname=~"Tallyman.+", alertstate="firing", cluster=~"$cluster"}) or vector(0)'),
            steps=bad,
        ),
    ]


def _wrong() -> list[Panel]:
    firing = 'ALERTS{alertname=~"Tallyman.+", alertstate="firing", cluster=~"$cluster"}'
    ready = f'condition="Ready", reason!~"Running|{_BY_WISH}", {_OBJECTS}'
    return [
        listing(
            "Firing alerts",
            {"firing": f"max by (alertname, severity, cluster, node, namespace, name) ({firing})"},
            hidden=("firing",),
            span=HALF,
        ),
        listing(
            "Containers that are to run and are not ready",
            {"is": f"max by (cluster, node, namespace, name, reason) (tallyman_container_status_reason{{{ready}}})"},
            about="The reason is that of the condition Ready; docs/container.md says what each means.",
            hidden=("is",),
            links={"name": Link("Container", "tallyman-container", {"namespace": "namespace", "container": "name"})},
            span=HALF,
        ),
    ]


def _containers() -> list[Panel]:
    return [
        graph(
            "States",
            "none",
            Query(f"sum by (state) (tallyman_containers{{{AGENT}}})", "{{state}}"),
            about="Containers by `status.state`.",
            stacked=True,
        ),
        graph(
            "To be",
            "none",
            Query(f"sum by (state) (tallyman_containers_desired{{{AGENT}}})", "{{state}}"),
            about="Containers by `spec.desiredState`.",
            stacked=True,
        ),
        graph(
            "Not ready, by reason",
            "none",
            Query(f"sum by (reason) (tallyman_containers_not_ready{{{AGENT}}})", "{{reason}}"),
            stacked=True,
        ),
        graph(
            "Ends, by reason",
            "ops",
            Query(f"sum by (reason) (rate(tallyman_container_exits_total{{{AGENT}}}[{RATE}]))", "{{reason}}"),
        ),
        graph(
            "Restarts, by cause",
            "ops",
            Query(f"sum by (cause) (rate(tallyman_container_restarts_total{{{AGENT}}}[{RATE}]))", "{{cause}}"),
        ),
        graph(
            "Time to start",
            "s",
            *quantiles("tallyman_container_start_duration_seconds", AGENT),
            about="From the first look at a container whose image is there to its running process.",
            limit=5,
        ),
    ]


def _images() -> list[Panel]:
    return [
        graph(
            "Pulls",
            "ops",
            Query(
                f"sum by (result) (rate(tallyman_image_pull_duration_seconds_count{{{AGENT}}}[{RATE}]))", "{{result}}"
            ),
        ),
        graph("Duration of pulls", "s", *quantiles("tallyman_image_pull_duration_seconds", AGENT, "result")),
        graph(
            "Bytes pulled",
            "Bps",
            Query(f"sum by (node) (rate(tallyman_image_pull_bytes_total{{{AGENT}}}[{RATE}]))", "{{node}}"),
        ),
    ]


def _nodes() -> Panel:
    by = "by (cluster, node)"
    return listing(
        "Nodes",
        {
            "is": f"max by (cluster, node, version) (tallyman_build_info{{{AGENT}}} {OF_AGENTS})",
            "containers": f"sum {by} (tallyman_containers{{{AGENT}}})",
            "running": f'sum {by} (tallyman_containers{{state="Running", {AGENT}}})',
            "not ready": f'sum {by} (tallyman_containers_not_ready{{reason!~"{_BY_WISH}", {AGENT}}})',
            "last list": f"max {by} (time() - tallyman_list_last_seen_seconds{{{AGENT}}})",
            "longest wait": f"max {by} (tallyman_queue_longest_wait_seconds{{{AGENT}}})",
            "errors": f'sum {by} (rate(tallyman_reconcile_total{{result="error", {AGENT}}}[{RATE}]))',
            "memory": f"max {by} (process_resident_memory_bytes{{{AGENT}}} {OF_AGENTS})",
        },
        about="Last list: how long ago all was compared with containerd or the API server. Memory: the agent's own.",
        hidden=("is",),
        units={"last list": "s", "longest wait": "s", "errors": "ops", "memory": "bytes"},
        links={"node": Link("Node", "tallyman-node", {"node": "node"})},
        span=FULL,
    )
