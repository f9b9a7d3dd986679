"""Certificates for tests, and a client that connects by them."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

from controller.manager import certificates, pki
from controller.manager.certificates import Keyring
from controller.manager.pki import Pair

HOST = "127.0.0.1"
HOSTS = frozenset({HOST, "tallyman-webhook.tallyman-system.svc"})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def made(now: datetime | None = None) -> Keyring:
    """A keyring as it is made at first."""
    when = now or datetime.now(UTC)
    authority = pki.new_authority(when)
    return Keyring(authority, (), pki.new_serving(authority, when, HOSTS))


def files(keyring: Keyring) -> tuple[bytes, bytes]:
    """The serving certificate and its key as files."""
    data = certificates.written(keyring)
    return data["tls.crt"], data["tls.key"]


def of(pair: Pair | None) -> Pair:
    """The pair, which is there."""
    assert pair is not None
    return pair


def trusting(keyring: Keyring) -> ssl.SSLContext:
    """A client that trusts these CAs and no other."""
    return ssl.create_default_context(cadata=pki.pem(keyring.bundle).decode())


async def serial(port: int, context: ssl.SSLContext, name: str = HOST) -> int:
    """Connect; the serial number of the certificate that the server has shown."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=name)
        del reader
        shown = writer.get_extra_info("ssl_object").getpeercert()
        writer.close()
        await writer.wait_closed()
    return int(shown["serialNumber"], 16)
