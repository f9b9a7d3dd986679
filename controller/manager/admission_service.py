"""The admission webhook, put together: server, TLS, and whoever keeps the certificate. No decisions: this is wiring."""

from collections.abc import Callable
from typing import Final

from controller.kube.client import Client
from controller.kube.secrets import Secret
from controller.kube.webhooks import WebhookConfiguration
from controller.manager import metrics
from controller.manager.admission_settings import AdmissionSettings
from controller.manager.certificate_files import CertificateFiles
from controller.manager.certificate_keeper import CertificateKeeper
from controller.manager.tls import LiveContext
from controller.manager.webhook import Webhook

SECRET: Final = "tallyman-webhook"  # noqa: S105 - the name of an object


class AdmissionService:
    """The admission webhook of one manager. It answers whether or not this manager leads; only one that leads makes certificates."""

    def __init__(self, settings: AdmissionSettings, client: Client, leads: Callable[[], bool]) -> None:
        tls = LiveContext(metrics.certificate_expires)
        self._webhook = Webhook(settings.host, settings.port, tls.context, metrics.reviewed)
        self._certificates = _source(settings, client, leads, tls)

    async def open(self) -> None:
        """Begin to listen. Nobody is connected before there is a certificate.

        Raises:
            OSError: the address is taken.
        """
        await self._webhook.open()

    async def close(self) -> None:
        """Listen no longer; requests that are being answered get their answer."""
        await self._webhook.close()

    async def run(self) -> None:
        """Keep the certificate, until cancelled."""
        await self._certificates.run()

    def unready(self) -> list[str]:
        """What keeps the webhook from answering, in words; empty when all is well."""
        return self._certificates.unready()


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
