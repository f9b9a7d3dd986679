"""Image references by the grammar of the distribution project, with the short forms that Docker made familiar.

`busybox` means `docker.io/library/busybox:latest`. Which server answers for `docker.io` is a matter of the registry client,
not of the name. Pure: parsing and printing only.

    reference := name [":" tag] ["@" digest]
    name      := [host "/"] component ("/" component)*
    host      := (domain | "[" IPv6 "]") [":" port]
"""

import re
from dataclasses import dataclass
from typing import Final

from controller.api.container import ImagePullPolicy
from controller.oci.errors import InvalidReference

DEFAULT_HOST: Final = "docker.io"
DEFAULT_TAG: Final = "latest"
_LIBRARY: Final = "library/"
_MAX_NAME: Final = 255
_MAX_TAG: Final = 128
_ALIAS_HOSTS: Final = frozenset({"index.docker.io"})

_DOMAIN_PART: Final = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST: Final = re.compile(rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[(?:[a-fA-F0-9:]+)\])(?::(?P<port>[0-9]+))?")
_COMPONENT: Final = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HEX64: Final = re.compile(r"[a-f0-9]{64}")
_DIGEST_LENGTHS: Final = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, slots=True)
class Reference:
    """An image by registry host, repository, and tag or digest or both. With both, the digest decides what is fetched."""

    host: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def name(self) -> str:
        """The full form, under which containerd stores the image: `docker.io/library/busybox:latest`."""
        return f"{self.host}/{self.repository}{self._suffix}"

    @property
    def familiar(self) -> str:
        """The shortest form that means the same: `busybox:latest`."""
        if self.host != DEFAULT_HOST:
            return self.name
        plain = self.repository.removeprefix(_LIBRARY)
        # `library/a/b` must keep its prefix, or it would read as `a/b`; and `a.b/c` its host, or `a.b` would read as one.
        short = self.repository if "/" in plain else plain
        return self.name if _split_host(short)[0] else f"{short}{self._suffix}"

    @property
    def target(self) -> str:
        """What the registry is asked for: the digest if there is one, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference:
    """The reference that a user wrote; a missing host and a missing tag are filled in.

    Raises:
        InvalidReference: naming the rule that is broken.
    """
    if not text or text != text.strip():
        raise InvalidReference(f"image {text!r} is empty or has spaces around it; write it as host/path:tag")
    remainder, at, digest = text.partition("@")
    host, path = _split_host(remainder)
    repository, colon, tag = path.partition(":")
    if _HEX64.fullmatch(repository) and not host:
        raise InvalidReference(f"image {text!r} is an image id; name it by host/path:tag or host/path@sha256:…")
    if "/" not in repository and (host or DEFAULT_HOST) == DEFAULT_HOST:
        repository = _LIBRARY + repository
    reference = Reference(
        host=_checked_host(host or DEFAULT_HOST, text),
        repository=_checked_repository(repository, text),
        tag=_checked_tag(tag, text) if colon else (None if at else DEFAULT_TAG),
        digest=_checked_digest(digest, text) if at else None,
    )
    if len(reference.host) + 1 + len(reference.repository) > _MAX_NAME:
        raise InvalidReference(f"image name has more than {_MAX_NAME} characters before the tag")
    return reference


def default_pull_policy(reference: Reference) -> ImagePullPolicy:
    """Always for the tag `latest`, which moves; IfNotPresent for any other tag, and for a digest, which can't move."""
    if reference.digest is None and reference.tag == DEFAULT_TAG:
        return ImagePullPolicy.ALWAYS
    return ImagePullPolicy.IF_NOT_PRESENT


def _split_host(text: str) -> tuple[str, str]:
    """Host and rest. The first part is a host if it has a dot, a colon or a capital letter, or is `localhost`."""
    first, slash, rest = text.partition("/")
    if not slash or not (set(first) & {".", ":", "["} or first == "localhost" or first != first.lower()):
        return "", text
    return (DEFAULT_HOST if first in _ALIAS_HOSTS else first), rest


def _checked_host(host: str, text: str) -> str:
    match = _HOST.fullmatch(host)
    if match is None:
        raise InvalidReference(
            f"image {text!r}: {host!r} is not a registry host; write a domain name or address, with an optional :port"
        )
    if match["port"] is not None and not 1 <= int(match["port"][:6]) <= 65535:
        raise InvalidReference(f"image {text!r}: the port of {host!r} is not between 1 and 65535")
    return host


def _checked_repository(repository: str, text: str) -> str:
    if repository != repository.lower():
        raise InvalidReference(f"image {text!r}: the repository must be in lower case")
    for component in repository.split("/"):
        if not _COMPONENT.fullmatch(component):
            raise InvalidReference(
                f"image {text!r}: {component!r} can't be part of a repository; use a-z and 0-9, separated by one of . _ __ or dashes"
            )
    return repository


def _checked_tag(tag: str, text: str) -> str:
    if not _TAG.fullmatch(tag) or len(tag) > _MAX_TAG:
        raise InvalidReference(
            f"image {text!r}: {tag[:_MAX_TAG]!r} is not a tag; use at most {_MAX_TAG} letters, digits, underscores, dots and dashes"
        )
    return tag


def _checked_digest(digest: str, text: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm)
    if length is None:
        raise InvalidReference(
            f"image {text!r}: the digest must start with one of {', '.join(_DIGEST_LENGTHS)} and a colon"
        )
    if not re.fullmatch(rf"[a-f0-9]{{{length}}}", encoded):
        raise InvalidReference(f"image {text!r}: a {algorithm} digest has {length} hexadecimal digits in lower case")
    return digest
