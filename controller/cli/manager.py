"""`tallyman manager`: one of the cluster's managers, in the foreground, until SIGTERM or SIGINT.

Every option is an environment variable too; those names are what a Deployment sets.
"""

import asyncio
import gc
import platform
import signal
from typing import Any

import click

from controller import log, metrics
from controller.api.node import DEFAULT_LEASE_NAMESPACE
from controller.cli.election_options import election_options, election_timing
from controller.cli.options import address, check_patience, log_options, namespace, option
from controller.cli.version import VERSION
from controller.cli.webhook_options import admission_settings, webhook_options
from controller.manager.settings import Settings

COLLECTED = (10_000, 20, 50)
"""When Python looks for garbage in cycles. What the manager holds, it holds for long: with the usual numbers, binding is a twelfth slower."""


@click.command()
@option(
    "--name",
    envvar="POD_NAME",
    default=platform.node,
    show_default="host name",
    help="What this manager is called in Events and in the Lease of the leader.",
)
@option(
    "--lease-namespace",
    envvar="TALLYMAN_LEASE_NAMESPACE",
    default=DEFAULT_LEASE_NAMESPACE,
    show_default=True,
    callback=namespace,
    help="Namespace of the nodes' Leases, and of the one by which a leader is elected.",
)
@option(
    "--metrics-address",
    envvar="TALLYMAN_METRICS_ADDRESS",
    default="127.0.0.1:9465",
    show_default=True,
    callback=address,
    help="HOST:PORT of /metrics, /healthz and /readyz.",
)
@option(
    "--binds-at-once",
    envvar="TALLYMAN_BINDS_AT_ONCE",
    type=click.IntRange(1, 256),
    default=Settings.binds_at_once,
    show_default=True,
    help="Bindings that are written at once.",
)
@option(
    "--node-list-seconds",
    envvar="TALLYMAN_NODE_LIST_SECONDS",
    type=click.FloatRange(0.2, 60),
    default=Settings.node_list_seconds,
    show_default=True,
    help="Seconds between lists of the nodes' Leases.",
)
@option(
    "--lost-deletion-seconds",
    envvar="TALLYMAN_LOST_DELETION_SECONDS",
    type=click.FloatRange(0, 86400),
    default=Settings.lost_deletion_seconds,
    show_default=True,
    help="Seconds for which a node has been lost when its deleted Containers are let go without it.",
)
@option(
    "--list-seconds",
    envvar="TALLYMAN_LIST_SECONDS",
    type=click.FloatRange(1, 3600),
    default=Settings.list_seconds,
    show_default=True,
    help="Seconds between comparisons with a list.",
)
@option(
    "--stale-seconds",
    envvar="TALLYMAN_STALE_SECONDS",
    type=click.FloatRange(2, 86400),
    default=Settings.stale_seconds,
    show_default=True,
    help="Age of the last good list from which on the manager is unwell.",
)
@election_options
@webhook_options
@log_options
def manager(  # noqa: PLR0917 - click passes by name
    name: str,
    lease_namespace: str,
    metrics_address: tuple[str, int],
    binds_at_once: int,
    node_list_seconds: float,
    lost_deletion_seconds: float,
    list_seconds: float,
    stale_seconds: float,
    leader_lease_seconds: int,
    leader_renew_seconds: float,
    leader_retry_seconds: float,
    log_level: str,
    log_format: log.Format,
    **webhook: Any,
) -> None:
    """Run a manager: bind Containers to nodes, and look after those whose node is lost."""
    check_patience(list_seconds, stale_seconds)
    log.configure(log_level, log_format)
    metrics.build(VERSION)
    gc.set_threshold(*COLLECTED)
    settings = Settings(
        name=name,
        lease_namespace=lease_namespace,
        election=election_timing(
            lease_seconds=leader_lease_seconds,
            renew_seconds=leader_renew_seconds,
            retry_seconds=leader_retry_seconds,
        ),
        metrics_host=metrics_address[0],
        metrics_port=metrics_address[1],
        binds_at_once=binds_at_once,
        node_list_seconds=node_list_seconds,
        lost_deletion_seconds=lost_deletion_seconds,
        list_seconds=list_seconds,
        stale_seconds=stale_seconds,
        admission=admission_settings(namespace=lease_namespace, **webhook),
    )
    try:
        asyncio.run(_run(settings))
    except OSError as error:
        raise click.ClickException(f"can't listen: {error.strerror or error}") from error


async def _run(settings: Settings) -> None:
    """Run until a signal asks to stop. The handlers are plain ones, so that a watch can put them back."""
    from controller.manager.manager import Manager  # noqa: PLC0415 - an agent, of the same program, need not pay for it

    stop = asyncio.Event()
    running = asyncio.create_task(Manager(settings).run(stop))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    await running
