"""The tables of docs/agent.md and docs/manager.md, made from the command lines' options and from the metrics' own help texts."""

import re
from collections.abc import Iterable, Iterator, Sequence

import click
from prometheus_client import CollectorRegistry

from controller import metrics
from controller.agent.container_metrics import FAMILIES
from controller.cli.agent import agent
from controller.cli.manager import manager
from controller.manager import metrics as manager_metrics
from hack import metric_tables


def with_tables(page: str) -> str:
    """The agent's page with its tables as they should be, between their marks."""
    return _put(_filled(page, agent, [metrics.REGISTRY]), "container metrics", _container_metrics())


def with_manager_tables(page: str) -> str:
    """The same of the manager's page. Of what it shares with the agent only its part is there."""
    return _filled(page, manager, [manager_metrics.REGISTRY, metrics.REGISTRY], manager_metrics.NAMES)


def _filled(
    page: str, command: click.Command, registries: Sequence[CollectorRegistry], names: tuple[str, ...] = ("",)
) -> str:
    for name, lines in (("options", _options(command)), ("metrics", metric_tables.rows(registries, names))):
        page = _put(page, name, lines)
    return page


def _put(page: str, name: str, lines: Iterable[str]) -> str:
    table = "\n".join(lines)
    return re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", rf"\g<1>{table}\n\g<2>", page, flags=re.DOTALL)


def _options(command: click.Command) -> Iterator[str]:
    yield "| Option | Variable | Default | Meaning |"
    yield "| --- | --- | --- | --- |"
    for option in command.params:
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


def _container_metrics() -> Iterator[str]:
    """Those about single containers, in the order in which they are defined; two labels that all of them have are left out."""
    yield "| Metric | Type | Labels | Meaning |"
    yield "| --- | --- | --- | --- |"
    for family in FAMILIES:
        metric, labels = family.empty(), ", ".join(f"`{label}`" for label in family.labels)
        yield f"| `{metric_tables.exposed(metric)}` | {metric.type} | {labels} | {metric.documentation} |"
