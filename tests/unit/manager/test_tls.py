"""A certificate is exchanged under a socket that listens: each connection is made by the one that was loaded last."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from controller.manager import pki
from controller.manager.tls import LiveContext, Unusable
from tests.unit.manager.keyrings import DAY, HOST, HOSTS, files, made, of, serial, trusting

FIRST, SECOND = made(), made()


@pytest.fixture
def ends() -> list[datetime]:
    return []


@pytest.fixture
def live(ends: list[datetime]) -> LiveContext:
    return LiveContext(ends.append)


@pytest.fixture
async def port(live: LiveContext) -> AsyncIterator[int]:
    """A server that listens by the context, and waits until its client goes."""
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0, ssl=live.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.feature("K2")
@pytest.mark.parametrize("name", [HOST, "tallyman-webhook.tallyman-system.svc"], ids=["without a name", "by its name"])
async def test_the_certificate_that_was_loaded_last_is_shown(live: LiveContext, port: int, name: str) -> None:
    for keyring in (FIRST, SECOND, FIRST):
        assert live.load(*files(keyring))
        assert await serial(port, trusting(keyring), name) == of(keyring.serving).certificate.serial_number


async def test_who_does_not_trust_its_ca_is_not_connected(live: LiveContext, port: int) -> None:
    live.load(*files(FIRST))
    with pytest.raises(ssl.SSLCertVerificationError):
        await serial(port, trusting(SECOND))


async def test_a_key_of_another_kind_leaves_nothing_of_the_one_before(live: LiveContext, port: int) -> None:
    live.load(*files(FIRST))
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    authority = of(SECOND.authority)
    there = of(SECOND.serving).certificate
    made_of_rsa = (
        x509.CertificateBuilder()
        .subject_name(there.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(4711)
        .not_valid_before(there.not_valid_before_utc)
        .not_valid_after(there.not_valid_after_utc)
        .add_extension(there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value, critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    live.load(pki.pem([made_of_rsa]), pki.key_pem(key))
    assert await serial(port, trusting(SECOND)) == 4711


async def test_before_there_is_a_certificate_nobody_is_connected(live: LiveContext, port: int) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await serial(port, trusting(FIRST))
    assert live.unready(datetime.now(UTC)) == ["webhook: there is no certificate yet"]
    live.load(*files(FIRST))
    await serial(port, trusting(FIRST))


@pytest.mark.parametrize(
    ("certificate", "key"),
    [
        (b"", b""),
        (b"rubbish", b"rubbish"),
        (files(FIRST)[0], files(SECOND)[1]),
        (files(FIRST)[1], files(FIRST)[0]),
        (files(FIRST)[0], b""),
    ],
    ids=["nothing", "rubbish", "another's key", "exchanged", "no key"],
)
async def test_what_can_not_be_used_leaves_the_one_before(
    live: LiveContext, port: int, certificate: bytes, key: bytes
) -> None:
    live.load(*files(FIRST))
    with pytest.raises(Unusable) as caught:
        live.load(certificate, key)
    assert "PRIVATE" not in str(caught.value)
    assert await serial(port, trusting(FIRST)) == of(FIRST.serving).certificate.serial_number


async def test_a_chain_is_shown_whole(live: LiveContext, port: int) -> None:
    """As files of cert-manager have it: the certificate, and the CA between it and the one that is trusted."""
    now = datetime.now(UTC)
    certificate, key = files(FIRST)
    live.load(certificate + pki.pem([of(FIRST.authority).certificate]), key)
    assert await serial(port, trusting(FIRST)) == of(FIRST.serving).certificate.serial_number
    assert live.unready(now) == []


def test_the_same_is_not_loaded_twice(live: LiveContext, ends: list[datetime]) -> None:
    assert live.load(*files(FIRST))
    assert not live.load(*files(FIRST))
    assert ends == [of(FIRST.serving).certificate.not_valid_after_utc]


def test_an_expired_certificate_is_told(live: LiveContext) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    authority = pki.new_authority(now)
    pair = pki.new_serving(authority, now, HOSTS)
    live.load(pki.pem([pair.certificate]), pki.key_pem(pair.key))
    assert live.unready(now + 89 * DAY) == []
    assert live.unready(now + 90 * DAY) == ["webhook: the certificate has expired on 2026-05-30"]
    assert pair.certificate.not_valid_before_utc == now - timedelta(days=1)
