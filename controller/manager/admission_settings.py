"""What the admission webhook is told from outside. Imports nothing that costs memory: the command line has it, also an agent's."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AdmissionSettings:
    """The settings of one manager's webhook."""

    host: str
    port: int
    namespace: str
    """Where the Secret with the certificates is."""
    hosts: tuple[str, ...]
    """DNS names and IP addresses by which the API server calls the webhook."""
    configuration: str | None = None
    """The ValidatingWebhookConfiguration that is told of our CA."""
    certificate_directory: Path | None = None
    """Where somebody else keeps the certificate; then we make none and tell nobody of a CA."""
    check_seconds: float = 60.0
