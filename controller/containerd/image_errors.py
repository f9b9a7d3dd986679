"""What can go wrong when an image is fetched or looked up. Shared by `registry` and `pull`.

Messages are for users: they name the image or the registry and say what to look at. They hold nothing secret (no
credentials, no tokens, no query of a URL) and nothing long that a registry made up.
"""

from typing import ClassVar


class ImageError(Exception):
    """An image cannot be had. `transient` says whether the same request may succeed later without anyone's help."""

    transient: ClassVar[bool] = False


class ManifestNotFound(ImageError):
    """The registry has no such repository, tag or digest."""


class BlobNotFound(ImageError):
    """The registry has the manifest but not what it lists."""


class Unauthorized(ImageError):
    """The registry wants credentials, or these may not read the repository. Many say so for what does not exist, too."""


class RegistryUnavailable(ImageError):
    """No usable answer: refused, no such host, timeout, cut off, 5xx, 429. `retry_after` is the registry's wish in seconds."""

    transient = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InsecureRegistry(ImageError):
    """A TLS certificate that cannot be trusted, or a redirection from https to http."""


class RegistryRefused(ImageError):
    """An answer that the distribution specification does not foresee, and that will not change by asking again."""


class RegistryConfigInvalid(ImageError):
    """A `hosts.toml` of the node that cannot be used."""


class DigestMismatch(ImageError):
    """What came is not what its digest says."""


class InvalidManifest(ImageError):
    """A manifest, index or config that breaks the specification."""


class UnsupportedMediaType(ImageError):
    """Not a container image of a kind that we can run: an artifact, docker schema 1, an encrypted layer."""


class NoMatchingPlatform(ImageError):
    """The image exists, for other platforms than this."""


class TooLarge(ImageError):
    """More bytes or entries than the limit allows."""
