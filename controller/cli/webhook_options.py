"""The options of the admission webhook, as a decorator for the command that runs it."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.cli.options import address, option
from controller.manager.admission_settings import AdmissionSettings

Command = TypeVar("Command", bound=Callable[..., Any])
DEFAULT_SERVICE = "tallyman-webhook"


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, int] | None:
    return None if value is None else address(context, parameter, value)


def _service(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", value) is None:
        raise click.BadParameter(f"{value!r} is not a Service's name: lower case letters, digits and '-', at most 63")
    return value


def _hosts(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_host(value) for value in values)


def _host(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        if re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", value):
            return value
        raise click.BadParameter(f"{value!r} is neither a DNS name in lower case nor an IP address") from None


_OPTIONS = (
    option(
        "--webhook-address",
        envvar="TALLYMAN_WEBHOOK_ADDRESS",
        callback=_address,
        help="HOST:PORT of the admission webhook (HTTPS, `/validate`). Without it there is none.",
    ),
    option(
        "--webhook-configuration",
        envvar="TALLYMAN_WEBHOOK_CONFIGURATION",
        help="ValidatingWebhookConfiguration that is told which CA to trust.",
    ),
    option(
        "--webhook-service",
        envvar="TALLYMAN_WEBHOOK_SERVICE",
        default=DEFAULT_SERVICE,
        show_default=True,
        callback=_service,
        help="Service, in the namespace of the Leases, by which the API server calls the webhook.",
    ),
    option(
        "--webhook-host",
        "webhook_hosts",
        envvar="TALLYMAN_WEBHOOK_HOSTS",
        multiple=True,
        callback=_hosts,
        help="A further DNS name or IP address by which the API server calls the webhook; may be repeated.",
    ),
    option(
        "--webhook-cert-dir",
        envvar="TALLYMAN_WEBHOOK_CERT_DIR",
        type=click.Path(path_type=Path),
        help="Directory with `tls.crt` and `tls.key` that somebody else keeps (cert-manager). Without it the manager makes its own.",
    ),
    option(
        "--webhook-check-seconds",
        envvar="TALLYMAN_WEBHOOK_CHECK_SECONDS",
        type=click.FloatRange(0.1, 3600),
        default=60.0,
        show_default=True,
        help="Seconds between looks at the webhook's certificate.",
    ),
)


def webhook_options(command: Command) -> Command:
    """Give a command the options `webhook_address`, `…_configuration`, `…_service`, `…_hosts`, `…_cert_dir`, `…_check_seconds`."""
    for made in reversed(_OPTIONS):
        command = made(command)
    return command


def admission_settings(
    *,
    namespace: str,
    webhook_address: tuple[str, int] | None,
    webhook_configuration: str | None,
    webhook_service: str,
    webhook_hosts: tuple[str, ...],
    webhook_cert_dir: Path | None,
    webhook_check_seconds: float,
) -> AdmissionSettings | None:
    """What the options say; None when there is to be no webhook. `namespace` is that of the Leases.

    Raises:
        click.UsageError: there is to be none, and something is said of it.
    """
    if webhook_address is None:
        if webhook_configuration or webhook_cert_dir or webhook_hosts:
            raise click.UsageError("the options of the webhook need --webhook-address: without it there is no webhook")
        return None
    return AdmissionSettings(
        host=webhook_address[0],
        port=webhook_address[1],
        namespace=namespace,
        hosts=(f"{webhook_service}.{namespace}.svc", *webhook_hosts),
        configuration=webhook_configuration or None,
        certificate_directory=webhook_cert_dir,
        check_seconds=webhook_check_seconds,
    )
