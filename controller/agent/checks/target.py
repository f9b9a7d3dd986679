"""Who is asked by a health check. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """The process that is asked, and whose it is."""

    container_id: str
    pid: int
    namespace: str
    """Of its object: the tenants of a node take turns."""
