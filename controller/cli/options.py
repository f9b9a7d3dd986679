"""What the commands of programs that run for long have in common: options, and how their values are read."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
option = partial(click.option, show_envvar=True)


def address(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, int]:
    """HOST:PORT; without a host, all of them."""
    host, _, port = value.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) <= 65535:
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:9464")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host is the user's choice


def namespace(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    """The name of a Kubernetes namespace."""
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value) is None:
        raise click.BadParameter(f"{value!r} is not the name of a namespace")
    return value


def check_patience(list_seconds: float, stale_seconds: float) -> None:
    """Whoever lists seldom must not call itself unwell between two lists.

    Raises:
        click.UsageError: it would.
    """
    if stale_seconds <= list_seconds:
        raise click.UsageError(f"--stale-seconds ({stale_seconds:g}) must be above --list-seconds ({list_seconds:g})")


_LOG = (
    option(
        "--log-level",
        envvar="TALLYMAN_LOG_LEVEL",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="Least level that is logged.",
    ),
    option(
        "--log-format",
        envvar="TALLYMAN_LOG_FORMAT",
        type=click.Choice(["json", "text"]),
        default="text",
        show_default=True,
        help="Form of the log.",
    ),
)


def log_options(command: Command) -> Command:
    """Give a command the options of its log."""
    for made in reversed(_LOG):
        command = made(command)
    return command
