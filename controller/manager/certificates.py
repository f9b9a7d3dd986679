"""The webhook's own CA and serving certificate: reading them, what must be made anew now, and making it.

A new CA must never break an API server that still trusts the old one only, nor the other way round. So a CA is replaced in steps,
each seen by all before the next; one that is lost or expired is replaced at once.

                 due          + OVERLAP, published     + OVERLAP
    ca.crt   [A] ──► [B, A] ──────────────────► [B, A] ─────────► [B]
    tls.crt   by A    by A                       by B              by B

Time is given, keys are random; there is no other input or output.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cryptography.x509 import Certificate

from controller.manager.pki import (
    BACKDATED,
    Pair,
    certificates,
    hosts_of,
    is_authority,
    issued,
    key_pem,
    new_authority,
    new_serving,
    pair,
    pem,
)

OVERLAP: Final = timedelta(hours=1)
"""How long each step of a change of CA lasts at least: every replica and every API server has noticed by then."""
MOST_FORMER: Final = 3
AUTHORITIES, AUTHORITY_KEY, SERVING, SERVING_KEY = "ca.crt", "ca.key", "tls.crt", "tls.key"
"""What the files and the keys of the Secret are called; cert-manager has the same names."""


@dataclass(frozen=True)
class Keyring:
    """All there is; what is missing or can't be used is None."""

    authority: Pair | None = None
    former: tuple[Certificate, ...] = ()
    """CAs that are trusted besides, the latest first."""
    serving: Pair | None = None

    @property
    def bundle(self) -> tuple[Certificate, ...]:
        """The CAs that an API server is to trust, the present one first."""
        present = () if self.authority is None else (self.authority.certificate,)
        return (*present, *self.former)


@dataclass(frozen=True)
class Due:
    """What must be made anew now, each with why; empty means that it may stay."""

    authority: str = ""
    serving: str = ""
    former: bool = False
    """Some CAs need not be trusted any longer."""

    def __bool__(self) -> bool:
        return bool(self.authority or self.serving or self.former)


def read(data: Mapping[str, bytes]) -> Keyring:
    """What can be used of the data of a Secret. Whatever somebody wrote into it, this does not raise."""
    bundle, keys = data.get(AUTHORITIES, b""), data.get(AUTHORITY_KEY, b"")
    authority = pair(bundle, keys)
    return Keyring(
        authority=authority,
        former=certificates(bundle)[0 if authority is None else 1 :],
        serving=pair(data.get(SERVING, b""), data.get(SERVING_KEY, b"")),
    )


def written(keyring: Keyring) -> dict[str, bytes]:
    """The data of a Secret that holds the keyring, which is complete."""
    if keyring.authority is None or keyring.serving is None:
        raise ValueError("the keyring is not complete")
    return {
        AUTHORITIES: pem(keyring.bundle),
        AUTHORITY_KEY: key_pem(keyring.authority.key),
        SERVING: pem([keyring.serving.certificate]),
        SERVING_KEY: key_pem(keyring.serving.key),
    }


def due(keyring: Keyring, now: datetime, hosts: Collection[str], *, published: bool) -> Due:
    """What must be made anew. `published`: the API server was told to trust the present CA."""
    authority = keyring.authority
    instead = _authority_due(authority, now)
    settled = published and authority is not None and _age(authority.certificate, now) >= OVERLAP
    return Due(
        authority=instead,
        serving=_serving_unusable(keyring, now, hosts) or (_serving_replaceable(keyring, now) if settled else ""),
        former=_still_trusted(keyring, now) != keyring.former,
    )


def renewed(keyring: Keyring, work: Due, now: datetime, hosts: Collection[str]) -> Keyring:
    """The keyring with what is due made anew."""
    result = replace(keyring, former=_still_trusted(keyring, now))
    if work.authority:
        known = tuple(one for one in keyring.bundle if _valid(one, now))
        result = replace(result, authority=new_authority(now), former=known[:MOST_FORMER])
    # NB: a CA that is made at this very look issues nothing yet if it can be helped, or those who trust the former one only would be left out.
    usable = keyring.authority is not None and _valid(keyring.authority.certificate, now)
    issuer = keyring.authority if usable else result.authority
    if work.serving and issuer is not None:
        result = replace(result, serving=new_serving(issuer, now, hosts))
    return result


def _authority_due(present: Pair | None, now: datetime) -> str:
    if present is None:
        return "there is none that can be used"
    if not is_authority(present.certificate):
        return "it is not a CA's certificate"
    return _dated(present.certificate, now) or _aged(present.certificate, now)


def _serving_unusable(keyring: Keyring, now: datetime, hosts: Collection[str]) -> str:
    """Why nobody can connect by the serving certificate; it is then replaced at once."""
    if keyring.serving is None:
        return "there is none that can be used"
    certificate = keyring.serving.certificate
    if not any(issued(certificate, one) for one in keyring.bundle if _valid(one, now)):
        return "no CA that is trusted has issued it"
    if not set(hosts) <= hosts_of(certificate):
        return f"it is not for {', '.join(sorted(hosts))}"
    return _dated(certificate, now)


def _serving_replaceable(keyring: Keyring, now: datetime) -> str:
    """Why the serving certificate should be replaced, now that everybody trusts the present CA."""
    if keyring.serving is None:
        return ""
    return _aged(keyring.serving.certificate, now) if _by_present(keyring) else "a former CA has issued it"


def _still_trusted(keyring: Keyring, now: datetime) -> tuple[Certificate, ...]:
    """Former CAs that servers or certificates may still depend on."""
    serving = keyring.serving
    if serving is not None and _by_present(keyring) and _age(serving.certificate, now) >= OVERLAP:
        return ()
    return tuple(one for one in keyring.former if _valid(one, now))


def _by_present(keyring: Keyring) -> bool:
    authority, serving = keyring.authority, keyring.serving
    return authority is not None and serving is not None and issued(serving.certificate, authority.certificate)


def _dated(certificate: Certificate, now: datetime) -> str:
    """Why it is not valid by its dates."""
    if now >= certificate.not_valid_after_utc:
        return f"it has expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    if now < certificate.not_valid_before_utc:
        return f"it is valid from {certificate.not_valid_before_utc:%Y-%m-%d} only: the clock was set back"
    return ""


def _aged(certificate: Certificate, now: datetime) -> str:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return "two thirds of its life are over" if now >= begin + (end - begin) * 2 / 3 else ""


def _age(certificate: Certificate, now: datetime) -> timedelta:
    """How long ago we made it."""
    return now - certificate.not_valid_before_utc - BACKDATED


def _valid(certificate: Certificate, now: datetime) -> bool:
    return is_authority(certificate) and not _dated(certificate, now)
