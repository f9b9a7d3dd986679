"""The tables of docs/agent.md, made from the command line's options and from the metrics' own help texts."""

import re
from collections.abc import Iterator

import click
from prometheus_client import Metric

from controller import metrics
from controller.agent.container_metrics import FAMILIES
from controller.cli.agent import agent

_OWN = "tallyman_"


def with_tables(page: str) -> str:
    """The page with its tables as they should be, between their marks."""
    tables = (("options", _options()), ("metrics", _metrics()), ("container metrics", _container_metrics()))
    for name, lines in tables:
        table = "\n".join(lines)
        page = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>{table}\n\g<2>", page, flags=re.DOTALL)
    return page


def _options() -> Iterator[str]:
    yield "| Option | Variable | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for option in agent.params:
        if isinstance(option, click.Option) and isinstance(option.envvar, str):
            names = "/".join([*option.opts, *option.secondary_opts])
            yield f"| `{names}` | `{option.envvar}` | {_default(option)} | {option.help} |"


def _default(option: click.Option) -> str:
    if isinstance(option.show_default, str):
        return f"the {option.show_default}"
    if not option.show_default or option.default is None:
        return ""
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    return ", ".join(
        f"`{value}`" for value in (option.default if isinstance(option.default, tuple) else (option.default,))
    )


def _metrics() -> Iterator[str]:
    yield "| Metric | Type | Labels | Meaning |"
    yield "| --- | --- | --- | --- |"
    for metric in sorted(metrics.REGISTRY.collect(), key=lambda one: one.name):
        if metric.name.startswith(_OWN):
            yield f"| `{_exposed(metric)}` | {metric.type} | {_labels(metric.name)} | {metric.documentation} |"


def _container_metrics() -> Iterator[str]:
    """Those about single containers, in the order in which they are defined; two labels that all of them have are left out."""
    yield "| Metric | Type | Labels | Meaning |"
    yield "| --- | --- | --- | --- |"
    for family in FAMILIES:
        metric, labels = family.empty(), ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{_exposed(metric)}` | {metric.type} | {labels} | {metric.documentation} |"


def _exposed(metric: Metric) -> str:
    """The name as it is scraped."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def _labels(name: str) -> str:
    for collector in metrics.REGISTRY._collector_to_names:  # noqa: SLF001 - the library has no other way to them
        if getattr(collector, "_name", None) == name:
            return ", ".join(f"`{label}`" for label in getattr(collector, "_labelnames", ()))
    return ""
