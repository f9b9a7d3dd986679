"""What must be made anew, why and when; and that nobody who trusts one CA or the other is ever left out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import Certificate
from hypothesis import example, given, settings
from hypothesis import strategies as st

from controller.manager import certificates, pki
from controller.manager.certificates import Due, Keyring, due, renewed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOSTS = frozenset({"tallyman-webhook.tallyman-system.svc", "127.0.0.1"})
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def made(now: datetime = NOW) -> Keyring:
    """A keyring as it is made at first."""
    authority = pki.new_authority(now)
    return Keyring(authority, (), pki.new_serving(authority, now, HOSTS))


def overlapping(now: datetime = NOW) -> Keyring:
    """A new CA made `now`; the certificate is still by the former."""
    old = made(now - 240 * DAY)
    assert old.authority is not None
    serving = pki.new_serving(old.authority, now - 10 * DAY, HOSTS)
    return Keyring(pki.new_authority(now), (old.authority.certificate,), serving)


GOOD = made()
OTHER = made()
OVERLAPPING = overlapping()


def _of(serving: bool) -> Certificate:
    pair = GOOD.serving if serving else GOOD.authority
    assert pair is not None
    return pair.certificate


NO_CA = "there is none that can be used"
UNTRUSTED = "no CA that is trusted has issued it"
OVER = "two thirds of its life are over"
SET_BACK = "it is valid from 2026-02-28 only: the clock was set back"
CASES: dict[str, tuple[Keyring, datetime, bool, Due]] = {
    "there is nothing": (Keyring(), NOW, True, Due(authority=NO_CA, serving=NO_CA)),
    "all is new": (GOOD, NOW, False, Due()),
    "all is new and published": (GOOD, NOW, True, Due()),
    "the certificate is nearly two thirds through": (GOOD, NOW + 59 * DAY, True, Due()),
    "the certificate is two thirds through": (GOOD, NOW + 60 * DAY, True, Due(serving=OVER)),
    "the certificate is two thirds through and nobody was told of its CA": (GOOD, NOW + 60 * DAY, False, Due()),
    "the certificate has expired": (GOOD, NOW + 90 * DAY, False, Due(serving="it has expired on 2026-05-30")),
    "the CA is two thirds through": (
        replace(GOOD, serving=pki.new_serving(GOOD.authority, NOW + 240 * DAY, HOSTS) if GOOD.authority else None),
        NOW + 244 * DAY,
        True,
        Due(authority=OVER),
    ),
    "CA and certificate are two thirds through": (
        replace(GOOD, serving=pki.new_serving(GOOD.authority, NOW + 180 * DAY, HOSTS) if GOOD.authority else None),
        NOW + 244 * DAY,
        True,
        Due(authority=OVER, serving=OVER),
    ),
    "the CA has expired, and with it the certificate": (
        GOOD,
        NOW + 365 * DAY,
        True,
        Due(authority="it has expired on 2027-03-01", serving=UNTRUSTED),
    ),
    "the clock was set back a little": (GOOD, NOW - 23 * HOUR, True, Due()),
    "the clock was set back": (GOOD, NOW - 25 * HOUR, True, Due(authority=SET_BACK, serving=UNTRUSTED)),
    "the CA is lost": (replace(GOOD, authority=None), NOW, True, Due(authority=NO_CA, serving=UNTRUSTED)),
    "the CA's key is lost": (
        Keyring(None, (_of(serving=False),), GOOD.serving),
        NOW,
        True,
        Due(authority=NO_CA),
    ),
    "the certificate is lost": (replace(GOOD, serving=None), NOW, True, Due(serving=NO_CA)),
    "the certificate is another CA's": (replace(GOOD, serving=OTHER.serving), NOW, True, Due(serving=UNTRUSTED)),
    "the CA is no CA": (
        replace(GOOD, authority=GOOD.serving),
        NOW,
        True,
        Due(authority="it is not a CA's certificate", serving=UNTRUSTED),
    ),
    "a CA was made and not published": (OVERLAPPING, NOW + 2 * HOUR, False, Due()),
    "a CA was made just now": (OVERLAPPING, NOW + HOUR / 2, True, Due()),
    "a CA was made and published for long enough": (
        OVERLAPPING,
        NOW + HOUR,
        True,
        Due(serving="a former CA has issued it"),
    ),
    "a CA was made, never published, and the certificate expires": (
        OVERLAPPING,
        NOW + 80 * DAY,
        False,
        Due(serving="it has expired on 2026-05-20"),
    ),
    "the former CA has just been relieved": (renewed(OVERLAPPING, Due(serving="x"), NOW, HOSTS), NOW, True, Due()),
    "the former CA was relieved long enough ago": (
        renewed(OVERLAPPING, Due(serving="x"), NOW, HOSTS),
        NOW + HOUR,
        True,
        Due(former=True),
    ),
    "the former CA has expired": (OVERLAPPING, NOW + 126 * DAY, False, Due(serving=UNTRUSTED, former=True)),
    "something else is trusted besides": (replace(GOOD, former=(_of(serving=True),)), NOW, True, Due(former=True)),
}


@pytest.mark.feature("K2")
@pytest.mark.parametrize(("keyring", "now", "published", "wanted"), CASES.values(), ids=CASES.keys())
def test_what_is_due(keyring: Keyring, now: datetime, published: bool, wanted: Due) -> None:
    assert due(keyring, now, HOSTS, published=published) == wanted


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        (["127.0.0.1"], ""),
        (sorted(HOSTS), ""),
        (["b.example.com", "a.example.com", "127.0.0.1"], "it is not for 127.0.0.1, a.example.com, b.example.com"),
    ],
    ids=["fewer names", "the same names", "other names"],
)
def test_a_certificate_is_for_the_names_that_are_called(hosts: list[str], wanted: str) -> None:
    assert due(GOOD, NOW, hosts, published=True).serving == wanted


@pytest.mark.parametrize(("keyring", "now"), [(one[0], one[1]) for one in CASES.values()], ids=list(CASES))
def test_nothing_is_due_once_it_is_done(keyring: Keyring, now: datetime) -> None:
    after = renewed(keyring, due(keyring, now, HOSTS, published=True), now, HOSTS)

    assert not due(after, now, HOSTS, published=False)
    assert not due(after, now, HOSTS, published=True)


def test_a_former_ca_is_kept_when_a_new_one_is_made() -> None:
    after = renewed(GOOD, Due(authority="x"), NOW, HOSTS)

    assert after.authority is not None
    assert after.authority.certificate != _of(serving=False)
    assert after.former == (_of(serving=False),)
    assert after.serving == GOOD.serving


def test_not_all_former_cas_are_kept_for_ever() -> None:
    keyring = GOOD
    for _ in range(6):
        keyring = renewed(keyring, Due(authority="x"), NOW, HOSTS)

    assert len(keyring.bundle) == 4


def test_a_certificate_does_not_outlive_its_ca() -> None:
    assert GOOD.authority is not None
    late = pki.new_serving(GOOD.authority, NOW + 360 * DAY, HOSTS)

    assert late.certificate.not_valid_after_utc == _of(serving=False).not_valid_after_utc


def test_what_is_written_is_read() -> None:
    for keyring in (GOOD, OVERLAPPING):
        again = certificates.read(certificates.written(keyring))

        assert again.bundle == keyring.bundle
        assert certificates.written(again) == certificates.written(keyring)


def test_what_is_not_complete_is_not_written() -> None:
    with pytest.raises(ValueError, match="not complete"):
        certificates.written(replace(GOOD, serving=None))


def _unencrypted(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


WRITTEN = certificates.written(GOOD)
GARBLED: dict[str, tuple[dict[str, bytes], bool, int, bool]] = {
    "nothing at all": ({}, False, 0, False),
    "every value empty": (dict.fromkeys(WRITTEN, b""), False, 0, False),
    "every value rubbish": (dict.fromkeys(WRITTEN, b"\xff\x00rubbish"), False, 0, False),
    "PEM that holds nothing": (
        dict.fromkeys(WRITTEN, b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        False,
        0,
        False,
    ),
    "no key of the CA": ({**WRITTEN, "ca.key": b""}, False, 1, True),
    "another CA's key": ({**WRITTEN, "ca.key": certificates.written(OTHER)["ca.key"]}, False, 1, True),
    "another certificate's key": ({**WRITTEN, "tls.key": WRITTEN["ca.key"]}, True, 0, False),
    "certificate and key exchanged": (
        {**WRITTEN, "tls.crt": WRITTEN["tls.key"], "tls.key": WRITTEN["tls.crt"]},
        True,
        0,
        False,
    ),
    "a key of a kind that nobody uses": (
        {**WRITTEN, "tls.key": _unencrypted(ed25519.Ed25519PrivateKey.generate())},
        True,
        0,
        False,
    ),
    "a bundle that is cut off": ({**WRITTEN, "ca.crt": WRITTEN["ca.crt"][:100]}, False, 0, True),
    "further keys": ({**WRITTEN, "notes": b"x"}, True, 0, True),
}


@pytest.mark.feature("K2")
@pytest.mark.parametrize(("data", "authority", "former", "serving"), GARBLED.values(), ids=GARBLED.keys())
def test_whatever_a_secret_holds_is_read_as_far_as_it_goes(
    data: dict[str, bytes], authority: bool, former: int, serving: bool
) -> None:
    keyring = certificates.read(data)

    assert ((keyring.authority is not None), len(keyring.former), (keyring.serving is not None)) == (
        authority,
        former,
        serving,
    )
    mended = renewed(keyring, due(keyring, NOW, HOSTS, published=True), NOW, HOSTS)
    assert not due(mended, NOW, HOSTS, published=True)


@given(
    st.dictionaries(st.sampled_from(sorted(WRITTEN)), st.binary(max_size=300) | st.sampled_from(list(WRITTEN.values())))
)
def test_no_bytes_make_reading_fail(data: dict[str, bytes]) -> None:
    keyring = certificates.read(data)

    due(keyring, NOW, HOSTS, published=True)


def test_no_key_is_shown_by_accident() -> None:
    assert "PRIVATE" not in repr(GOOD)
    assert isinstance(GOOD.serving and GOOD.serving.key, ec.EllipticCurvePrivateKey)


@pytest.mark.feature("K2")
def test_a_certificate_that_is_due_with_its_ca_comes_from_the_one_that_is_trusted() -> None:
    now = NOW + 244 * DAY
    assert GOOD.authority is not None
    old = replace(GOOD, serving=pki.new_serving(GOOD.authority, NOW + 180 * DAY, HOSTS))

    new = renewed(old, due(old, now, HOSTS, published=True), now, HOSTS)

    assert new.authority is not None
    assert new.serving is not None
    assert new.authority.certificate != GOOD.authority.certificate
    assert pki.issued(new.serving.certificate, GOOD.authority.certificate)


issued = cache(pki.issued)


def works(serving: Certificate, trusted: tuple[Certificate, ...], now: datetime) -> bool:
    """Whether an API server that trusts these connects to a webhook with that certificate."""
    valid = serving.not_valid_before_utc <= now < serving.not_valid_after_utc
    return valid and any(issued(serving, one) and now < one.not_valid_after_utc for one in trusted)


STEPS = st.sampled_from([HOUR / 6, HOUR / 2, HOUR, 7 * HOUR, 3 * DAY, 20 * DAY])


@pytest.mark.feature("K2")
@settings(max_examples=15)
@example([HOUR / 6] * 7 + [3 * DAY] * 7 + [20 * DAY] * 8 + [3 * DAY] * 4 + [20 * DAY] * 4)
@given(st.lists(STEPS, min_size=30, max_size=90))
def test_over_the_years_nobody_is_ever_left_out(steps: list[timedelta]) -> None:
    """The leader looks now and then. API servers and other managers know what there was at some time of the hour before."""
    now, keyring = NOW, made()
    seen = [(now, keyring)]
    for step in steps:
        now += step
        keyring = renewed(keyring, due(keyring, now, HOSTS, published=True), now, HOSTS)
        seen.append((now, keyring))
        ended = [when for when, _ in seen[1:]] + [now]
        recent = [one for (_, one), end in zip(seen, ended, strict=True) if end > now - HOUR]
        for served in recent:
            assert served.serving is not None
            assert all(works(served.serving.certificate, one.bundle, now) for one in recent)
    assert len(keyring.bundle) <= 2
