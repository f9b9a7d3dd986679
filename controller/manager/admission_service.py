"""The admission webhook, put together: server, TLS, and whoever keeps the certificate. No decisions: this is wiring."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from controller.kube.client import Client
from controller.kube.secrets import Secret
from controller.kube.webhooks import WebhookConfiguration
from controller.manager.admission_settings import AdmissionSettings
from controller.manager.certificate_files import CertificateFiles
from controller.manager.certificate_keeper import CertificateKeeper
from controller.manager.tls import Expires, LiveContext
from controller.manager.webhook import Observer, Webhook

SECRET: Final = "tallyman-webhook"  # noqa: S105 - the name of an object


@dataclass(frozen=True)
class AdmissionMetrics:
    """Who is told what there is to measure."""

    reviewed: Observer = field(default=lambda _operation, _outcome, _seconds: None)
    expires: Expires = field(default=lambda _when: None)


class AdmissionService:
    """The admission webhook of one manager. It answers whether or not this manager leads; only one that leads makes certificates."""

    def __init__(
        self, settings: AdmissionSettings, client: Client, leads: Callable[[], bool], metrics: AdmissionMetrics
    ) -> None:
        tls = LiveContext(metrics.expires)
        self._webhook = Webhook(settings.host, settings.port, tls.context, metrics.reviewed)
        self._certificates = _source(settings, client, leads, tls)

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            ExceptionGroup: of an OSError when the address is taken.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._webhook.run(), name="webhook")
            group.create_task(self._certificates.run(), name="certificates")

    def unready(self) -> list[str]:
        """What keeps the webhook from answering, in words; empty when all is well."""
        silent = [] if self._webhook.listening.is_set() else ["webhook: it does not listen yet"]
        return [*silent, *self._certificates.unready()]


def _source(
    settings: AdmissionSettings, client: Client, leads: Callable[[], bool], tls: LiveContext
) -> CertificateKeeper | CertificateFiles:
    if settings.certificate_directory is not None:
        return CertificateFiles(settings.certificate_directory, tls, settings.check_seconds)
    named = settings.configuration
    return CertificateKeeper(
        secret=Secret(client, settings.namespace, SECRET),
        configuration=None if named is None else WebhookConfiguration(client, named),
        tls=tls,
        hosts=settings.hosts,
        leads=leads,
        seconds=settings.check_seconds,
    )
