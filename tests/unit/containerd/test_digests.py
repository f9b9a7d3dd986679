"""Digests: their form, and those of chains of layers by the specification's own rule."""

import hashlib

import pytest

from controller.containerd.digests import chain_ids, digest_of, hasher_for, is_valid


@pytest.mark.parametrize(
    ("digest", "valid"),
    [
        ("sha256:" + "0" * 64, True),
        ("sha384:" + "0" * 96, True),
        ("sha512:" + "f" * 128, True),
        ("sha256:" + "F" * 64, False),
        ("sha256:" + "0" * 63, False),
        ("sha256:" + "0" * 64 + "\n", False),
        ("sha1:" + "0" * 40, False),
        ("sha256", False),
        ("", False),
        (None, False),
        (5, False),
    ],
)
def test_what_is_a_digest(digest: object, valid: bool) -> None:
    assert is_valid(digest) is valid


def test_digests_are_computed_by_the_algorithm_asked_for() -> None:
    assert digest_of(b"x") == "sha256:" + hashlib.sha256(b"x").hexdigest()
    assert digest_of(b"x", "sha512:…") == "sha512:" + hashlib.sha512(b"x").hexdigest()
    hasher = hasher_for("sha512:" + "0" * 128)
    hasher.update(b"x")
    assert hasher.hexdigest() == hashlib.sha512(b"x").hexdigest()


def test_chain_ids() -> None:
    one, two, three = (f"sha256:{letter * 64}" for letter in "abc")
    second = "sha256:" + hashlib.sha256(f"{one} {two}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {three}".encode()).hexdigest()
    assert chain_ids([one, two, three]) == [one, second, third]
    assert chain_ids([]) == []
