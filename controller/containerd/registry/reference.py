"""An image reference in its parts. How the parts are got from what a user wrote is not known here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Where an image is: `name` is the full canonical string that it is stored under.

    `host` is a registry with its port if any (`docker.io`, `127.0.0.1:5000`), `repository` a path in it. Of `tag` and
    `digest` at least one is set; the digest wins.
    """

    name: str
    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __post_init__(self) -> None:
        if self.tag is None and self.digest is None:
            raise ValueError(f"{self.name}: neither tag nor digest")

    @property
    def target(self) -> str:
        """The tag or digest to ask for."""
        return self.digest or self.tag or ""

    @property
    def hostname(self) -> str:
        """The registry without its port."""
        if self.host.startswith("["):
            return self.host[1:].partition("]")[0]
        return self.host.partition(":")[0]
