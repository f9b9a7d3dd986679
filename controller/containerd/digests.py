"""Digests of content (OCI image specification, descriptor.md): their form, and how they are computed. Pure."""

import hashlib
import re
from collections.abc import Iterable
from typing import Protocol

_FORMS = {
    "sha256": re.compile(r"[0-9a-f]{64}\Z"),
    "sha384": re.compile(r"[0-9a-f]{96}\Z"),
    "sha512": re.compile(r"[0-9a-f]{128}\Z"),
}


class Hasher(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Take more bytes."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far in hexadecimal."""


def is_valid(digest: object) -> bool:
    """Whether this is `algorithm:hex` with an algorithm that both we and containerd can check."""
    if not isinstance(digest, str):
        return False
    algorithm, _, value = digest.partition(":")
    form = _FORMS.get(algorithm)
    return form is not None and form.match(value) is not None


def algorithm_of(digest: str) -> str:
    """Return the algorithm of a valid digest."""
    return digest.partition(":")[0]


def hasher_for(digest: str) -> Hasher:
    """Return a hasher of the algorithm of a valid digest."""
    return hashlib.new(algorithm_of(digest))


def digest_of(data: bytes, like: str = "sha256:") -> str:
    """Return the digest of `data`, by the algorithm of the digest `like`."""
    algorithm = algorithm_of(like)
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def chain_ids(diff_ids: Iterable[str]) -> list[str]:
    """Return the name of each layer together with all below it (OCI image specification, config.md, ChainID)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return chain
