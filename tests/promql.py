"""PromQL read by a parser: which metrics an expression asks for, by which labels, and which of them are documented."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import promql_parser

DOCS: Final = Path(__file__).parents[1] / "docs"
PAGES: Final = (DOCS / "agent.md", DOCS / "manager.md")
FROM_THE_SCRAPE: Final = frozenset({"cluster", "node", "job", "instance", "pod"})
"""Labels that every series has, or may have, besides its own."""
ELSEWHERE: Final[dict[str, frozenset[str]]] = {
    "up": frozenset(),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "namespace", "name"}),
    "process_start_time_seconds": frozenset(),
    "process_open_fds": frozenset(),
    "process_max_fds": frozenset(),
    "process_cpu_seconds_total": frozenset(),
    "process_resident_memory_bytes": frozenset(),
    "kube_daemonset_status_desired_number_scheduled": frozenset({"namespace", "daemonset"}),
    "kube_daemonset_status_number_ready": frozenset({"namespace", "daemonset"}),
}
"""Metrics that are not ours, with their labels: Prometheus's own, those of every process, and kube-state-metrics'."""
_TABLE: Final = re.compile(r"<!-- ((?:container )?metrics) -->\n(.*?)<!-- end -->", re.DOTALL)
_ROW: Final = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", re.MULTILINE)


@dataclass(frozen=True)
class Selector:
    """A metric that an expression asks for."""

    text: str
    name: str
    matchers: tuple[tuple[str, str], ...]
    """The labels that are matched, each with its value or its regular expression."""


def filled(expression: str) -> str:
    """A dashboard's expression with all of its variables chosen, as Grafana sends it."""
    return re.sub(r"\$[a-z]+", ".*", expression.replace("$__rate_interval", "1m"))


def selectors(expression: str) -> list[Selector]:
    """All that an expression asks for. Raises ValueError when it is no PromQL."""
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = tuple((one.name, one.value) for one in node.matchers.matchers)
            found.append(Selector(node.prettify(), node.name or "", matchers))

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def documented() -> dict[str, frozenset[str]]:
    """The labels of every series in the tables of docs/agent.md and docs/manager.md, by the name as it is queried."""
    text = "".join(page.read_text() for page in PAGES)
    return {name: labels for kind, table in _TABLE.findall(text) for name, labels in _rows(kind, table)}


def _rows(kind: str, table: str) -> Iterator[tuple[str, frozenset[str]]]:
    objects = {"namespace", "name"} if kind.startswith("container") else set[str]()
    for name, metric, cell in _ROW.findall(table):
        labels = objects | set(re.findall(r"`(\w+)`", cell))
        if metric == "histogram":
            yield f"{name}_bucket", frozenset(labels | {"le"})
            yield f"{name}_sum", frozenset(labels)
            yield f"{name}_count", frozenset(labels)
        elif metric == "info":
            yield name, frozenset(labels | {"version"})
        else:
            yield name, frozenset(labels)


def problems(expression: str) -> list[str]:
    """What an expression asks for that there is not: a metric, or a label of it."""
    known = documented() | ELSEWHERE
    found = []
    for selector in selectors(expression):
        if selector.name not in known:
            found.append(f"{selector.name} is not documented")
            continue
        labels = known[selector.name] | FROM_THE_SCRAPE
        found += [f"{selector.name} has no label {label}" for label, _ in selector.matchers if label not in labels]
    return found
