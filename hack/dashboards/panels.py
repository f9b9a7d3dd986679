"""The kinds of panels that the dashboards are made of."""

from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel = stat.Panel | table.Panel | timeseries.Panel | statetimeline.Panel
DATASOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT: Final = 8
SMALL: Final = 4
THIRD, HALF, FULL = 8, 12, 24
RATE: Final = "$__rate_interval"


@dataclass(frozen=True)
class Query:
    """An expression, and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Link:
    """From a cell to another dashboard, with variables taken from the cell's row."""

    title: str
    uid: str
    variables: dict[str, str]
    """The name of each variable, and the column that it is taken from."""

    def build(self) -> builders.DashboardLink:
        """The link."""
        taken = "".join(f"&var-{name}=${{__data.fields.{column}}}" for name, column in self.variables.items())
        kept = "${datasource:queryparam}&${cluster:queryparam}&${__url_time_range}"
        url = f"/d/{self.uid}?{kept}{taken}"
        return builders.DashboardLink(self.title).type(models.DashboardLinkType.LINK).url(url)


def graph(
    title: str,
    unit: str,
    *queries: Query,
    about: str = "",
    span: int = THIRD,
    stacked: bool = False,
    limit: float | None = None,
) -> timeseries.Panel:
    """Lines over time; `limit` draws a line that should not be crossed."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .min(0)
        .span(span)
        .height(HEIGHT)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    if limit is not None:
        panel.thresholds(_steps({None: "green", limit: "red"}))
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED))
    for name, query in zip(ascii_uppercase, queries, strict=False):
        panel.with_target(_target(query, name))
    return panel


def number(
    title: str,
    unit: str,
    query: Query,
    *,
    about: str = "",
    span: int = SMALL,
    steps: dict[float | None, str] | None = None,
) -> stat.Panel:
    """The latest value, in large; with a legend its text instead."""
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(SMALL)
        .no_value("none")
        .text_mode(common_models.BigValueTextMode.NAME if query.legend else common_models.BigValueTextMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.VALUE)
        .thresholds(_steps(steps or {None: "text"}))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query, "A").instant())
    )


def timeline(
    title: str, query: Query, texts: dict[str, tuple[str, str]], *, about: str = "", span: int = HALF
) -> statetimeline.Panel:
    """What was when; `texts` has a text and a colour for each value."""
    mapping = models.ValueMap(
        options={value: models.ValueMappingResult(text=text, color=color) for value, (text, color) in texts.items()}
    )
    return (
        statetimeline.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .span(span)
        .height(HEIGHT)
        .mappings([mapping])
        .show_value(common_models.VisibilityMode.NEVER)
        .merge_values(True)
        .row_height(0.8)
        .with_target(_target(query, "A"))
    )


def listing(
    title: str,
    queries: dict[str, str],
    *,
    about: str = "",
    hidden: tuple[str, ...] = (),
    units: dict[str, str] | None = None,
    links: dict[str, Link] | None = None,
    span: int = FULL,
) -> table.Panel:
    """A table with a row for each set of labels and a column for each label and each query; `hidden` names columns left out."""
    panel = (
        table.Panel().title(title).description(about).datasource(DATASOURCE).span(span).height(HEIGHT).filterable(True)
    )
    letters = dict(zip(queries, ascii_uppercase, strict=False))
    for column, expr in queries.items():
        panel.with_target(_target(Query(expr), letters[column]).instant().format(PromQueryFormat.TABLE))
    values = {f"Value #{letter}" if len(letters) > 1 else "Value": column for column, letter in letters.items()}
    left_out = {"Time": True} | {name: True for name, column in values.items() if column in hidden}
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        models.DataTransformerConfig(id_val="organize", options={"excludeByName": left_out, "renameByName": values})
    )
    for column, unit in (units or {}).items():
        panel.override_by_name(column, [models.DynamicConfigValue(id_val="unit", value=unit)])
    for column, link in (links or {}).items():
        panel.override_by_name(column, [models.DynamicConfigValue(id_val="links", value=[link.build().build()])])
    return panel


def quantiles(metric: str, selector: str, by: str = "") -> list[Query]:
    """The median and the 99th percentile of a histogram."""
    kept, legend = (f"le, {by}", f"{{{{{by}}}}} ") if by else ("le", "")
    rate = f"sum by ({kept}) (rate({metric}_bucket{{{selector}}}[{RATE}]))"
    return [Query(f"histogram_quantile({q}, {rate})", f"{legend}p{q * 100:.0f}") for q in (0.5, 0.99)]


def _target(query: Query, name: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(DATASOURCE).expr(query.expr).ref_id(name)
    return target.legend_format(query.legend) if query.legend else target


def _steps(steps: dict[float | None, str]) -> builders.ThresholdsConfig:
    return (
        builders.ThresholdsConfig()
        .mode(models.ThresholdsMode.ABSOLUTE)
        .steps([models.Threshold(value=value, color=color) for value, color in steps.items()])
    )
