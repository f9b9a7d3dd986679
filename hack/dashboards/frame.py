"""What all dashboards have alike: variables, links between them, alerts as annotations, and their form as JSON."""

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from hack.dashboards.panels import DATASOURCE, Panel

TAG: Final = "tallyman"
AGENT: Final = 'cluster=~"$cluster", node=~"$node"'
"""Selects the agents that the variables ask for."""
CONTAINER: Final = f'{AGENT}, namespace=~"$namespace", name=~"$container"'
"""Selects the containers that the variables ask for."""
_KNOWN_BY: Final = "tallyman_list_last_seen_seconds"
"""A metric that every agent has, and nobody else."""
OF_AGENTS: Final = f"and on (cluster, job, instance) {_KNOWN_BY}"
"""Takes those of agents out of metrics that others have too."""


def blank(name: str, description: str, variables: list[builders.QueryVariable]) -> builders.Dashboard:
    """A dashboard without panels."""
    return (
        builders.Dashboard(f"Tallyman / {name}")
        .uid(f"tallyman-{name.lower()}")
        .description(description)
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("Tallyman")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .include_vars(True)
            .keep_time(True)
        )
        .annotation(
            builders.AnnotationQuery()
            .name("Firing alerts")
            .datasource(DATASOURCE)
            .enable(False)
            .icon_color("red")
            .expr('ALERTS{alertname=~"Tallyman.+", alertstate="firing", cluster=~"$cluster"}')
        )
        .variables([builders.DatasourceVariable("datasource").label("Data source").type("prometheus"), *variables])
    )


def rows(made: builders.Dashboard, content: dict[str, list[Panel]]) -> builders.Dashboard:
    """Put panels into rows, one below the other; those of one row are as wide as they say, and wrap."""
    number = 0
    for title, panels in content.items():
        number += 1
        made.with_row(builders.Row(title).id(number))
        for panel in panels:
            number += 1
            made.with_panel(panel.id(number))
    return made


def cluster() -> builders.QueryVariable:
    """The cluster; a label that there may not be."""
    return _variable("cluster", f"label_values({_KNOWN_BY}, cluster)")


def node() -> builders.QueryVariable:
    """The node."""
    return _variable("node", f'label_values({_KNOWN_BY}{{cluster=~"$cluster"}}, node)')


def namespace() -> builders.QueryVariable:
    """The namespace of containers."""
    return _variable("namespace", f"label_values(tallyman_container_info{{{AGENT}}}, namespace)")


def container() -> builders.QueryVariable:
    """The container."""
    selector = f'{AGENT}, namespace=~"$namespace"'
    return _variable("container", f"label_values(tallyman_container_info{{{selector}}}, name)")


def _variable(name: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def as_json(made: builders.Dashboard) -> str:
    """The dashboard as it is imported."""
    content: dict[str, Any] = json.loads(JSONEncoder().encode(made.build()))
    return json.dumps(content, indent=2, sort_keys=True) + "\n"
