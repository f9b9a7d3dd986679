"""`tallyman agent`: one node's agent, in the foreground, until SIGTERM or SIGINT.

Every option is an environment variable too; those names are what a DaemonSet sets.
"""

import asyncio
import platform
import re
import resource
import signal
from decimal import Decimal
from pathlib import Path

import click

from controller import log, metrics
from controller.agent.settings import Settings
from controller.api.events import START_FAILURES
from controller.cli.heap import share_heap
from controller.cli.node_options import node_options
from controller.cli.options import address, check_patience, log_options, option
from controller.cli.version import VERSION


def _runtimes(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, binary = value.partition("=")
        if not name or (equals and not binary):
            raise click.BadParameter(f"{value!r}: write each runtime as NAME or NAME=BINARY")
        if name in pairs:
            raise click.BadParameter(f"{name!r} is given twice")
        pairs[name] = binary or name
    if not pairs:
        raise click.BadParameter("there must be one")
    return pairs


def _node_name(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", value) is None:
        raise click.BadParameter(f"{value!r} is not a node's name: lower case letters, digits, '-' and '.', at most 63")
    return value


@click.command()
@option(
    "--node-name",
    callback=_node_name,
    envvar="NODE_NAME",
    default=platform.node,
    show_default="host name",
    help="Name of this node.",
)
@option(
    "--containerd-address",
    envvar="CONTAINERD_ADDRESS",
    default="/run/containerd/containerd.sock",
    show_default=True,
    help="Socket of this node's containerd.",
)
@option(
    "--containerd-namespace",
    envvar="CONTAINERD_NAMESPACE",
    default="tallyman",
    show_default=True,
    help="containerd namespace that the agent works in; it belongs to the agent alone.",
)
@option("--snapshotter", envvar="CONTAINERD_SNAPSHOTTER", default="overlayfs", show_default=True, help="Snapshotter.")
@option(
    "--standalone/--no-standalone",
    envvar="TALLYMAN_STANDALONE",
    default=False,
    show_default=True,
    help="Also bind containers without a node to this one. For one node without a manager.",
)
@option(
    "--registry-config-dir",
    envvar="TALLYMAN_REGISTRY_CONFIG_DIR",
    type=click.Path(path_type=Path),
    default="/etc/containerd/certs.d",
    show_default=True,
    help="Directory with containerd's hosts.toml files.",
)
@option(
    "--seccomp-dir",
    envvar="TALLYMAN_SECCOMP_DIR",
    type=click.Path(path_type=Path),
    default="/var/lib/tallyman/seccomp",
    show_default=True,
    help="Directory of seccomp profiles of type Localhost.",
)
@option(
    "--policy-file",
    envvar="TALLYMAN_POLICY_FILE",
    type=click.Path(path_type=Path),
    help="YAML file that says what Containers may do on this node; without one, nothing that reaches out of them.",
)
@option(
    "--host-root",
    envvar="TALLYMAN_HOST_ROOT",
    type=click.Path(path_type=Path),
    default="/",
    show_default=True,
    help="Where the node's root filesystem is mounted.",
)
@option(
    "--run-dir",
    envvar="TALLYMAN_RUN_DIR",
    type=click.Path(path_type=Path),
    default="/run/tallyman",
    show_default=True,
    help="Directory of the agent's own for what need not survive a reboot.",
)
@option(
    "--boot-id-file",
    envvar="TALLYMAN_BOOT_ID_FILE",
    type=click.Path(path_type=Path),
    default="/proc/sys/kernel/random/boot_id",
    show_default=True,
    help="File with the id of the node's present boot.",
)
@option(
    "--log-dir",
    envvar="TALLYMAN_LOG_DIR",
    type=click.Path(path_type=Path),
    default="/var/log/tallyman/containers",
    show_default=True,
    help="Directory for the output of containers.",
)
@option(
    "--init-path",
    envvar="TALLYMAN_INIT_PATH",
    type=click.Path(path_type=Path),
    help="A static init on the node (tini).",
)
@option(
    "--runtime",
    "runtimes",
    envvar="TALLYMAN_RUNTIMES",
    multiple=True,
    default=("runc", "crun"),
    show_default=True,
    callback=_runtimes,
    help="An OCI runtime, as NAME or NAME=BINARY; may be repeated. The first is the default.",
)
@option(
    "--metrics-address",
    envvar="TALLYMAN_METRICS_ADDRESS",
    default="127.0.0.1:9464",
    show_default=True,
    callback=address,
    help="HOST:PORT of /metrics, /healthz and /readyz.",
)
@option(
    "--container-metrics/--no-container-metrics",
    envvar="TALLYMAN_CONTAINER_METRICS",
    default=True,
    show_default=True,
    help="Metrics about single Containers, which name them; about 40 series for each that runs.",
)
@option(
    "--workers",
    envvar="TALLYMAN_WORKERS",
    type=click.IntRange(1, 256),
    default=8,
    show_default=True,
    help="Looks at once.",
)
@option(
    "--list-seconds",
    envvar="TALLYMAN_LIST_SECONDS",
    type=click.FloatRange(1, 3600),
    default=30.0,
    show_default=True,
    help="Seconds between comparisons with a list.",
)
@option(
    "--stale-seconds",
    envvar="TALLYMAN_STALE_SECONDS",
    type=click.FloatRange(2, 86400),
    default=120.0,
    show_default=True,
    help="Age of the last good list from which on the agent is unwell.",
)
@log_options
@node_options
def agent(  # noqa: PLR0917 - click passes by name
    node_name: str,
    containerd_address: str,
    containerd_namespace: str,
    snapshotter: str,
    standalone: bool,
    registry_config_dir: Path,
    seccomp_dir: Path,
    policy_file: Path | None,
    host_root: Path,
    run_dir: Path,
    boot_id_file: Path,
    log_dir: Path,
    init_path: Path | None,
    runtimes: dict[str, str],
    metrics_address: tuple[str, int],
    container_metrics: bool,
    workers: int,
    list_seconds: float,
    stale_seconds: float,
    log_level: str,
    log_format: log.Format,
    node_labels: dict[str, str],
    max_containers: int,
    reserved_cpu: Decimal,
    reserved_memory: Decimal,
    lease_namespace: str,
    lease_duration_seconds: int,
) -> None:
    """Run this node's agent: reconcile the Containers bound to it with its containerd."""
    check_patience(list_seconds, stale_seconds)
    log.configure(log_level, log_format)
    metrics.build(VERSION)
    metrics.prepare(START_FAILURES)
    share_heap()
    _allow_many_files()
    settings = Settings(
        node_name=node_name,
        containerd_address=containerd_address,
        containerd_namespace=containerd_namespace,
        snapshotter=snapshotter,
        standalone=standalone,
        registry_config_dir=registry_config_dir,
        seccomp_dir=seccomp_dir,
        policy_file=policy_file,
        host_root=host_root,
        run_dir=run_dir,
        boot_id_file=boot_id_file,
        log_dir=log_dir,
        init_path=init_path,
        runtimes=runtimes,
        default_runtime=next(iter(runtimes)),
        metrics_host=metrics_address[0],
        metrics_port=metrics_address[1],
        container_metrics=container_metrics,
        workers=workers,
        list_seconds=list_seconds,
        stale_seconds=stale_seconds,
        agent_version=VERSION,
        node_labels=node_labels,
        max_containers=max_containers,
        reserved_cpu=reserved_cpu,
        reserved_memory=reserved_memory,
        lease_namespace=lease_namespace,
        lease_duration_seconds=lease_duration_seconds,
    )
    try:
        asyncio.run(_run(settings))
    except OSError as error:
        raise click.ClickException(f"{metrics_address[0]}:{metrics_address[1]}: {error.strerror or error}") from error


def _allow_many_files() -> None:
    """Each container takes up to three files; as many may be open as the node allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _run(settings: Settings) -> None:
    """Run until a signal asks to stop. The handlers are plain ones, so that a watch can put them back."""
    from controller.agent.agent import Agent  # noqa: PLC0415 - a manager, of the same program, need not pay for it

    stop = asyncio.Event()
    running = asyncio.create_task(Agent(settings).run(stop))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    await running
