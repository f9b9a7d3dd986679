"""Tallyman / Node: one agent, its loop, what it asks of containerd and of the API server, and what it does."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from hack.dashboards import frame
from hack.dashboards.frame import AGENT, OF_AGENTS
from hack.dashboards.panels import RATE, Panel, Query, graph, number, quantiles


def dashboard() -> Dashboard:
    """The dashboard."""
    made = frame.blank(
        "Node",
        "Agents: what they see, how their loop fares, what they ask of containerd and the API server, and what they do.",
        [frame.cluster(), frame.node()],
    )
    content = {
        "Now": _now(),
        "What the agent sees": _sight(),
        "The loop": _loop(),
        "containerd": _containerd(),
        "The API server": _api(),
        "What the agent does": _work(),
        "The process": _process(),
    }
    return frame.rows(made, content)


def _now() -> list[Panel]:
    return [
        number(
            "Version", "none", Query(f"max by (version) (tallyman_build_info{{{AGENT}}} {OF_AGENTS})", "{{version}}")
        ),
        number(
            "Up for",
            "s",
            Query(f"min(time() - (process_start_time_seconds{{{AGENT}}} {OF_AGENTS}))"),
            about="Since the youngest of these agents was started.",
        ),
        number("Containers", "none", Query(f"sum(tallyman_containers{{{AGENT}}})")),
        number("Running", "none", Query(f'sum(tallyman_containers{{state="Running", {AGENT}}})')),
        number(
            "Backing off",
            "none",
            Query(f"sum(tallyman_queue_backing_off{{{AGENT}}})"),
            about="Containers whose last look failed, and is to be repeated.",
            steps={None: "green", 1: "orange"},
        ),
        number(
            "Policy files",
            "percentunit",
            Query(f"avg(tallyman_policy_file_good{{{AGENT}}})"),
            about="Share of the agents whose policy file can be used.",
            steps={None: "red", 1: "green"},
        ),
    ]


def _sight() -> list[Panel]:
    return [
        graph(
            "Age of the last list",
            "s",
            Query(f"time() - (tallyman_list_last_seen_seconds{{{AGENT}}} > 0)", "{{node}} {{source}}"),
            about="How long ago all that is known was compared with a list of containerd's and of the API server's.",
            limit=120,
        ),
        graph("Duration of lists", "s", *quantiles("tallyman_list_duration_seconds", AGENT, "source")),
        graph(
            "What went wrong",
            "cpm",
            Query(
                f"sum by (source) (rate(tallyman_list_errors_total{{{AGENT}}}[{RATE}])) * 60", "no list of {{source}}"
            ),
            Query(f"sum(rate(tallyman_watch_missed_total{{{AGENT}}}[{RATE}])) * 60", "missed by the watch"),
            Query(
                f"sum(rate(tallyman_runtime_event_streams_broken_total{{{AGENT}}}[{RATE}])) * 60", "event stream broken"
            ),
        ),
    ]


def _loop() -> list[Panel]:
    return [
        graph(
            "Looks, by how they ended",
            "ops",
            Query(f"sum by (result) (rate(tallyman_reconcile_total{{{AGENT}}}[{RATE}]))", "{{result}}"),
            stacked=True,
        ),
        graph(
            "Duration of looks",
            "s",
            *quantiles("tallyman_reconcile_time_seconds", AGENT),
            Query(f"max(tallyman_reconcile_longest_running_seconds{{{AGENT}}})", "longest under way"),
        ),
        graph(
            "Wait for a look",
            "s",
            *quantiles("tallyman_queue_duration_seconds", AGENT),
            Query(f"max(tallyman_queue_longest_wait_seconds{{{AGENT}}})", "longest waiting"),
        ),
        graph(
            "Queue",
            "none",
            Query(f"sum(tallyman_queue_depth{{{AGENT}}})", "waiting"),
            Query(f"sum(tallyman_active_workers{{{AGENT}}})", "under way"),
            Query(f"sum(tallyman_queue_backing_off{{{AGENT}}})", "backing off"),
        ),
        graph(
            "Actions",
            "ops",
            Query(f"sum by (action) (rate(tallyman_action_duration_seconds_count{{{AGENT}}}[{RATE}]))", "{{action}}"),
            stacked=True,
        ),
        graph(
            "Failed actions",
            "ops",
            Query(
                f'sum by (action) (rate(tallyman_action_duration_seconds_count{{result="error", {AGENT}}}[{RATE}]))',
                "{{action}}",
            ),
        ),
    ]


def _containerd() -> list[Panel]:
    return [
        graph(
            "Calls",
            "ops",
            Query(f"sum by (operation) (rate(tallyman_runtime_operations_total{{{AGENT}}}[{RATE}]))", "{{operation}}"),
            stacked=True,
        ),
        graph(
            "Failed calls",
            "ops",
            Query(
                f"sum by (operation, code) (rate(tallyman_runtime_operations_errors_total{{{AGENT}}}[{RATE}]))",
                "{{operation}} {{code}}",
            ),
            about="NOT_FOUND and ALREADY_EXISTS are ordinary answers.",
        ),
        graph(
            "Duration of calls, 99th percentile",
            "s",
            quantiles("tallyman_runtime_operations_duration_seconds", AGENT, "operation")[1],
        ),
    ]


def _api() -> list[Panel]:
    return [
        graph(
            "Requests, by verb and outcome",
            "ops",
            Query(
                f"sum by (verb, outcome) (rate(tallyman_api_requests_total{{{AGENT}}}[{RATE}]) {OF_AGENTS}) > 0",
                "{{verb}} {{outcome}}",
            ),
            stacked=True,
        ),
        graph(
            "Writes of statuses, by outcome",
            "ops",
            Query(f"sum by (outcome) (rate(tallyman_status_writes_total{{{AGENT}}}[{RATE}]))", "{{outcome}}"),
            stacked=True,
        ),
        graph(
            "Kubernetes Events",
            "ops",
            Query(
                f"sum by (type) (rate(tallyman_events_posted_total{{{AGENT}}}[{RATE}]) {OF_AGENTS})", "{{type}} posted"
            ),
            Query(
                f"sum by (type) (rate(tallyman_events_dropped_total{{{AGENT}}}[{RATE}]) {OF_AGENTS})",
                "{{type}} dropped",
            ),
            Query(f"sum(tallyman_events_waiting{{{AGENT}}} {OF_AGENTS})", "waiting (number)"),
        ),
    ]


def _work() -> list[Panel]:
    return [
        graph(
            "Starts",
            "ops",
            Query(f"sum(rate(tallyman_started_containers_total{{{AGENT}}}[{RATE}]))", "started"),
            Query(
                f"sum by (reason) (rate(tallyman_started_containers_errors_total{{{AGENT}}}[{RATE}]))",
                "failed: {{reason}}",
            ),
        ),
        graph(
            "Duration of actions, 99th percentile",
            "s",
            quantiles("tallyman_action_duration_seconds", AGENT, "action")[1],
        ),
        graph(
            "Health checks, by result",
            "ops",
            Query(f"sum by (result) (rate(tallyman_health_checks_total{{{AGENT}}}[{RATE}]))", "{{result}}"),
            stacked=True,
        ),
        graph(
            "Output of containers",
            "Bps",
            Query(f"sum by (stream) (rate(tallyman_container_output_bytes_total{{{AGENT}}}[{RATE}]))", "{{stream}}"),
            Query(f"sum(rate(tallyman_container_output_lost_bytes_total{{{AGENT}}}[{RATE}]))", "lost"),
        ),
        graph(
            "Lines of output",
            "ops",
            Query(f"sum by (stream) (rate(tallyman_container_output_lines_total{{{AGENT}}}[{RATE}]))", "{{stream}}"),
        ),
        graph(
            "Orphans removed",
            "ops",
            Query(f"sum by (node) (rate(tallyman_orphans_removed_total{{{AGENT}}}[{RATE}]))", "{{node}}"),
            about="Containers whose object was gone.",
        ),
    ]


def _process() -> list[Panel]:
    return [
        graph(
            "CPU",
            "none",
            Query(f"rate(process_cpu_seconds_total{{{AGENT}}}[{RATE}]) {OF_AGENTS}", "{{node}}"),
            about="Cores that the agents use.",
        ),
        graph("Memory", "bytes", Query(f"process_resident_memory_bytes{{{AGENT}}} {OF_AGENTS}", "{{node}}")),
        graph(
            "Open files",
            "percentunit",
            Query(f"process_open_fds{{{AGENT}}} / process_max_fds{{{AGENT}}} {OF_AGENTS}", "{{node}}"),
            about="Share of the files that an agent may have open; a container takes up to three.",
            limit=0.8,
        ),
    ]
