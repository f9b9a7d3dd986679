"""The admission webhook alone, as a program: `python -m tests.e2e.webhook_program`. It always leads."""

import asyncio
import signal
from typing import Any

import click

from controller import log
from controller.cli.webhook_options import admission_settings, webhook_options
from controller.kube.client import Client
from controller.manager.admission_service import AdmissionMetrics, AdmissionService
from controller.manager.admission_settings import AdmissionSettings


@click.command()
@click.option("--lease-namespace", required=True)
@webhook_options
def main(lease_namespace: str, **options: Any) -> None:
    log.configure("debug", "text")
    settings = admission_settings(namespace=lease_namespace, **options)
    if settings is None:
        raise click.UsageError("--webhook-address is missing")
    asyncio.run(run(settings))


async def run(settings: AdmissionSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Client() as client:
        running = asyncio.create_task(AdmissionService(settings, client, lambda: True, AdmissionMetrics()).run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        for task in (running, stopping):
            task.cancel()
        await asyncio.gather(running, stopping, return_exceptions=True)


if __name__ == "__main__":
    main()
