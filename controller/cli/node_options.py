"""The options of `tallyman agent` about the node as the cluster sees it: its labels, its room, its heartbeat."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import click

from controller.api import quantity
from controller.api.node import DEFAULT_LEASE_NAMESPACE, DEFAULT_MAX_CONTAINERS, LEASE_DURATION_SECONDS, OWN_LABELS
from controller.api.scalars import label_key_problem, label_value_problem
from controller.cli.options import namespace, option

Command = TypeVar("Command", bound=Callable[..., Any])


def _labels(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    labels = {}
    for text in values:
        key, equals, value = text.partition("=")
        problem = label_key_problem(key) or label_value_problem(value)
        if not equals:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, such as disk=ssd")
        if problem:
            raise click.BadParameter(f"{text!r}: {problem}")
        if key in OWN_LABELS:
            raise click.BadParameter(f"{key} is set by the agent itself")
        labels[key] = value
    return labels


def _quantity(_context: click.Context, _parameter: click.Parameter, value: str) -> Decimal:
    try:
        return quantity.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


_OPTIONS = (
    option(
        "--node-label",
        "node_labels",
        envvar="TALLYMAN_NODE_LABELS",
        multiple=True,
        callback=_labels,
        help="A label of the node's ContainerNode, as KEY=VALUE; may be repeated.",
    ),
    option(
        "--max-containers",
        envvar="TALLYMAN_MAX_CONTAINERS",
        type=click.IntRange(1, 100_000),
        default=DEFAULT_MAX_CONTAINERS,
        show_default=True,
        help="Most Containers that a manager may bind to this node.",
    ),
    option(
        "--reserved-cpu",
        envvar="TALLYMAN_RESERVED_CPU",
        default="0",
        show_default=True,
        callback=_quantity,
        help="Cores that a manager may not give to Containers: `500m`, `2`.",
    ),
    option(
        "--reserved-memory",
        envvar="TALLYMAN_RESERVED_MEMORY",
        default="0",
        show_default=True,
        callback=_quantity,
        help="Memory that a manager may not give to Containers: `512Mi`, `2Gi`.",
    ),
    option(
        "--lease-namespace",
        envvar="TALLYMAN_LEASE_NAMESPACE",
        default=DEFAULT_LEASE_NAMESPACE,
        show_default=True,
        callback=namespace,
        help="Namespace of the Lease that is this node's heartbeat.",
    ),
    option(
        "--lease-duration-seconds",
        envvar="TALLYMAN_LEASE_DURATION_SECONDS",
        type=click.IntRange(4, 600),
        default=LEASE_DURATION_SECONDS,
        show_default=True,
        help="Seconds without a renewal of that Lease after which this node counts as lost; it is renewed four times as often.",
    ),
)


def node_options(command: Command) -> Command:
    """Give a command these options."""
    for made in reversed(_OPTIONS):
        command = made(command)
    return command
