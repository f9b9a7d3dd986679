"""The Grafana dashboards, written in Python and generated as JSON: one module for each, and the parts that they share.

Queries name no data source, cluster, node or object of their own: all of these are variables.
"""

import json
from pathlib import Path
from typing import Any, Final

from hack.dashboards import container, fleet, manager, node
from hack.dashboards.frame import as_json

DIRECTORY: Final = Path("helm/tallyman/files/dashboards")


def generated() -> dict[Path, str]:
    """Every dashboard as JSON, by its path in the tree."""
    made = {
        "fleet": fleet.dashboard(),
        "node": node.dashboard(),
        "container": container.dashboard(),
        "manager": manager.dashboard(),
    }
    return {DIRECTORY / f"{name}.json": as_json(dashboard) for name, dashboard in made.items()}


def queries(text: str) -> list[str]:
    """Every expression in a dashboard's JSON: those of panels, of variables and of annotations, variables not filled in."""
    dashboard: dict[str, Any] = json.loads(text)
    panels = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    variables = [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    notes = [one["expr"] for one in dashboard["annotations"]["list"]]
    return [*panels, *(_selector(query) for query in variables), *notes]


def _selector(query: str) -> str:
    """What `label_values(selector, label)` asks for."""
    return query.removeprefix("label_values(").rpartition(",")[0]
