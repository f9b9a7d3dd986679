"""X.509 as far as the webhook needs it: making a CA and a serving certificate, reading PEM, and who issued what.

Time is given, keys are random; there is no other input or output. No private key is ever part of a message.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=365)
SERVING_LIFE: Final = timedelta(days=90)
BACKDATED: Final = timedelta(days=1)
"""Certificates begin so long before they are made: the API server's clock may be behind ours."""
_LONGEST_NAME: Final = 64
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: Key


def new_authority(now: datetime) -> Pair:
    """A CA that can issue certificates of servers, and no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    # NB: no two CAs may have one name, or a client that trusts both may try the wrong one only.
    name = _name(f"tallyman webhook CA {x509.random_serial_number():x}"[:_LONGEST_NAME])
    made = (
        _builder(name, name, key, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Pair(made.sign(key, hashes.SHA256()), key)


def new_serving(authority: Pair, now: datetime, hosts: Collection[str]) -> Pair:
    """A certificate for a server that is reached by each of these DNS names and IP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    until = min(now + SERVING_LIFE, issuer.not_valid_after_utc)
    made = (
        _builder(_name("tallyman webhook"), issuer.subject, key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_host(one) for one in sorted(hosts)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
    )
    return Pair(made.sign(authority.key, hashes.SHA256()), key)


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may issue others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether one is signed by the other."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def hosts_of(certificate: x509.Certificate) -> frozenset[str]:
    """The DNS names and IP addresses that it is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return frozenset()
    addresses = (str(one) for one in names.get_values_for_type(x509.IPAddress))
    return frozenset((*names.get_values_for_type(x509.DNSName), *addresses))


def certificates(text: bytes) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file; none when it can't be read."""
    try:
        return tuple(x509.load_pem_x509_certificates(text))
    except ValueError:
        return ()


def pair(certificate: bytes, key: bytes) -> Pair | None:
    """The first certificate of a PEM file with its key; None when they can't be read, or don't belong together."""
    found = certificates(certificate)
    try:
        loaded = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not found or not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return None
    return Pair(found[0], loaded) if _fits(found[0], loaded) else None


def pem(bundle: Iterable[x509.Certificate]) -> bytes:
    """Certificates as PEM."""
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in bundle)


def key_pem(key: Key) -> bytes:
    """A private key as PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _fits(certificate: x509.Certificate, key: Key) -> bool:
    try:
        return certificate.public_key() == key.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)
