"""The options of `tallyman manager` about the election of the leader."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from controller.cli.options import option
from controller.manager.leader import Timing

Command = TypeVar("Command", bound=Callable[..., Any])
LEAST_MARGIN: Final = 1.0
"""So much later than its leader has given up a Lease may be taken over at the earliest: requests under way end in between."""
_OPTIONS = (
    option(
        "--leader-lease-seconds",
        envvar="TALLYMAN_LEADER_LEASE_SECONDS",
        type=click.IntRange(2, 600),
        default=round(Timing.duration),
        show_default=True,
        help="Seconds without a renewal of the leader's Lease after which another manager takes over.",
    ),
    option(
        "--leader-renew-seconds",
        envvar="TALLYMAN_LEADER_RENEW_SECONDS",
        type=click.FloatRange(1, 599),
        default=Timing.renew_deadline,
        show_default=True,
        help="Seconds without a renewal after which the leader itself gives up; less than those of the Lease.",
    ),
    option(
        "--leader-retry-seconds",
        envvar="TALLYMAN_LEADER_RETRY_SECONDS",
        type=click.FloatRange(0.1, 60),
        default=Timing.retry,
        show_default=True,
        help="Seconds between renewals, and between attempts to take over.",
    ),
)


def election_options(command: Command) -> Command:
    """Give a command these options."""
    for made in reversed(_OPTIONS):
        command = made(command)
    return command


def election_timing(*, lease_seconds: int, renew_seconds: float, retry_seconds: float) -> Timing:
    """The times of the election, if they fit together.

    Raises:
        click.UsageError: with these, two managers could lead at once, or one that is well would give up.
    """
    if renew_seconds > lease_seconds - LEAST_MARGIN:
        raise click.UsageError(
            f"--leader-renew-seconds ({renew_seconds:g}) must be below --leader-lease-seconds ({lease_seconds})"
            f" by {LEAST_MARGIN:g} at least"
        )
    if retry_seconds > renew_seconds / 2:
        raise click.UsageError(
            f"--leader-retry-seconds ({retry_seconds:g}) must be at most half of --leader-renew-seconds ({renew_seconds:g})"
        )
    return Timing(float(lease_seconds), renew_seconds, retry_seconds)
