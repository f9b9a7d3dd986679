"""Tallyman / Container: single containers, their state over time, and what they use."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from hack.dashboards import frame
from hack.dashboards.frame import CONTAINER
from hack.dashboards.panels import FULL, HALF, RATE, Panel, Query, graph, listing, number, timeline

_BY = "by (namespace, name)"
_NAME = "{{namespace}}/{{name}}"


def dashboard() -> Dashboard:
    """The dashboard."""
    made = frame.blank(
        "Container",
        "Containers one by one: state and conditions over time, restarts and ends, CPU and memory beside their limits.",
        [frame.cluster(), frame.node(), frame.namespace(), frame.container()],
    )
    content = {
        "Now": [*_now(), _listing()],
        "Over time": _life(),
        "Restarts and ends": _ends(),
        "CPU": _cpu(),
        "Memory": _memory(),
        "Health and image": _rest(),
    }
    return frame.rows(made, content)


def _now() -> list[Panel]:
    return [
        number("Containers", "none", Query(f"count(tallyman_container_info{{{CONTAINER}}})")),
        number(
            "Ready",
            "none",
            Query(f'sum(tallyman_container_status_condition{{condition="Ready", status="true", {CONTAINER}}})'),
        ),
        number("Restarts", "none", Query(f"sum(tallyman_container_status_restarts_total{{{CONTAINER}}})")),
        number(
            "Youngest process",
            "s",
            Query(f"min(time() - tallyman_container_start_time_seconds{{{CONTAINER}}})"),
            about="How long the process has been running that was started last.",
        ),
        number(
            "Behind their spec",
            "none",
            Query(
                f"count(tallyman_container_generation{{{CONTAINER}}}"
                f" > tallyman_container_observed_generation{{{CONTAINER}}}) or vector(0)"
            ),
            about="Containers whose status speaks of an earlier spec.",
            steps={None: "green", 1: "orange"},
        ),
        number(
            "Killed for want of memory",
            "none",
            Query(f'count(tallyman_container_last_exit_reason{{reason="OOMKilled", {CONTAINER}}}) or vector(0)'),
            about="Containers whose last end was such a kill.",
            steps={None: "green", 1: "red"},
        ),
    ]


def _listing() -> Panel:
    by = "by (cluster, node, namespace, name)"
    return listing(
        "Containers",
        {
            "is": (
                "max by (cluster, node, namespace, name, image, runtime, restart_policy, desired_state)"
                f" (tallyman_container_info{{{CONTAINER}}})"
            ),
            "has": f"max by (cluster, node, namespace, name, state) (tallyman_container_state{{{CONTAINER}}})",
            "since": (
                "max by (cluster, node, namespace, name, reason)"
                f' (tallyman_container_status_reason{{condition="Ready", {CONTAINER}}})'
            ),
            "restarts": f"max {by} (tallyman_container_status_restarts_total{{{CONTAINER}}})",
            "exit code": f"max {by} (tallyman_container_last_exit_code{{{CONTAINER}}})",
            "ended": f"max {by} (tallyman_container_last_exit_time_seconds{{{CONTAINER}}}) * 1000",
        },
        about="`reason` is that of the condition Ready; `ended` and `exit code` are of the last process that has ended.",
        hidden=("is", "has", "since"),
        units={"ended": "dateTimeFromNow"},
        span=FULL,
    )


def _life() -> list[Panel]:
    return [
        timeline(
            "State",
            Query(f"max by (namespace, name, state) (tallyman_container_state{{{CONTAINER}}})", _NAME + " {{state}}"),
            {"1": ("so", "blue")},
        ),
        timeline(
            "Conditions",
            Query(
                "max by (namespace, name, condition)"
                f' (tallyman_container_status_condition{{status="true", {CONTAINER}}})',
                _NAME + " {{condition}}",
            ),
            {"1": ("True", "green"), "0": ("not True", "red")},
            about="Reconciling and Stalled are better not True, the others True.",
        ),
        timeline(
            "Reason",
            Query(
                "max by (namespace, name, reason)"
                f' (tallyman_container_status_reason{{condition="Ready", {CONTAINER}}})',
                _NAME + " {{reason}}",
            ),
            {"1": ("so", "purple")},
            about="Of the condition Ready.",
            span=FULL,
        ),
    ]


def _ends() -> list[Panel]:
    return [
        graph(
            "Restarts",
            "none",
            Query(f"sum {_BY} (increase(tallyman_container_status_restarts_total{{{CONTAINER}}}[{RATE}]))", _NAME),
        ),
        graph(
            "Time until the next restart",
            "s",
            Query(f"max {_BY} (tallyman_container_next_restart_time_seconds{{{CONTAINER}}} - time())", _NAME),
            about="While a restart waits.",
        ),
        listing(
            "Last ends",
            {
                "why": f"max by (namespace, name, reason) (tallyman_container_last_exit_reason{{{CONTAINER}}})",
                "exit code": f"max {_BY} (tallyman_container_last_exit_code{{{CONTAINER}}})",
            },
            hidden=("why",),
            span=8,
        ),
    ]


def _cpu() -> list[Panel]:
    return [
        graph(
            "CPU time",
            "none",
            Query(f"sum {_BY} (rate(tallyman_container_cpu_usage_seconds_total{{{CONTAINER}}}[{RATE}]))", _NAME),
            Query(
                f'max {_BY} (tallyman_container_resource_limits{{resource="cpu", {CONTAINER}}})', f"limit of {_NAME}"
            ),
            Query(
                f'max {_BY} (tallyman_container_resource_requests{{resource="cpu", {CONTAINER}}})',
                f"request of {_NAME}",
            ),
            about="Cores in use, beside limit and request.",
            span=HALF,
        ),
        graph(
            "Waiting for the CPU limit",
            "percentunit",
            Query(
                f"sum {_BY} (rate(tallyman_container_cpu_cfs_throttled_periods_total{{{CONTAINER}}}[{RATE}]))"
                f" / sum {_BY} (rate(tallyman_container_cpu_cfs_periods_total{{{CONTAINER}}}[{RATE}]))",
                _NAME,
            ),
            about="Share of the periods in which the container had to wait.",
            limit=0.25,
            span=6,
        ),
        graph(
            "Time waited for the CPU limit",
            "s",
            Query(
                f"sum {_BY} (rate(tallyman_container_cpu_cfs_throttled_seconds_total{{{CONTAINER}}}[{RATE}]))", _NAME
            ),
            about="Seconds a second, over all threads.",
            span=6,
        ),
    ]


def _memory() -> list[Panel]:
    return [
        graph(
            "Memory",
            "bytes",
            Query(f"max {_BY} (tallyman_container_memory_working_set_bytes{{{CONTAINER}}})", _NAME),
            Query(
                f'max {_BY} (tallyman_container_resource_limits{{resource="memory", {CONTAINER}}})',
                f"limit of {_NAME}",
            ),
            Query(
                f'max {_BY} (tallyman_container_resource_requests{{resource="memory", {CONTAINER}}})',
                f"request of {_NAME}",
            ),
            about="Working set: what can't be given up at once, beside limit and request.",
            span=HALF,
        ),
        graph(
            "Memory with page cache",
            "bytes",
            Query(f"max {_BY} (tallyman_container_memory_usage_bytes{{{CONTAINER}}})", _NAME),
            span=6,
        ),
        graph(
            "Kills for want of memory",
            "none",
            Query(f"sum {_BY} (increase(tallyman_container_oom_events_total{{{CONTAINER}}}[{RATE}]))", _NAME),
            about="Of any process of the container.",
            span=6,
        ),
    ]


def _rest() -> list[Panel]:
    return [
        graph(
            "Health checks failed in a row",
            "none",
            Query(f"max {_BY} (tallyman_container_health_failing_streak{{{CONTAINER}}})", _NAME),
        ),
        graph(
            "Threads",
            "none",
            Query(f"max {_BY} (tallyman_container_threads{{{CONTAINER}}})", _NAME),
            Query(
                f'max {_BY} (tallyman_container_resource_limits{{resource="pids", {CONTAINER}}})', f"limit of {_NAME}"
            ),
        ),
        graph(
            "Image pulled",
            "percentunit",
            Query(
                f"max {_BY} (tallyman_container_image_pull_received_bytes{{{CONTAINER}}}"
                f" / (tallyman_container_image_pull_size_bytes{{{CONTAINER}}} > 0))",
                _NAME,
            ),
            about="While the image is being pulled.",
        ),
    ]
