"""The TLS side of the webhook: one context for the listening socket, whose certificate can be exchanged while it listens."""

import ssl
from collections.abc import Callable
from datetime import datetime

from controller import log
from controller.kube.tls import load_pair
from controller.manager import pki

_log = log.get(__name__)
Expires = Callable[[datetime], None]
"""Told the end of the certificate in use, whenever it is exchanged."""


class Unusable(ValueError):
    """A certificate and key that can't be used; the message holds nothing of them."""


class LiveContext:
    """A server's TLS context. Each handshake gets the certificate that was loaded last; connections go on with theirs."""

    def __init__(self, expires: Expires) -> None:
        self._expires = expires
        self._current: ssl.SSLContext | None = None
        self._loaded = (b"", b"")
        self._until: datetime | None = None
        self.context = _context()
        # NB: asked for every handshake, also of clients that name no server. A context that gets a second certificate keeps the
        # first one beside it if their keys are of different kinds; so each certificate has a context of its own.
        self.context.sni_callback = self._choose

    def load(self, certificates: bytes, key: bytes) -> bool:
        """Use this certificate (PEM, with those that lead to its CA) from now on; False when it is in use already.

        Raises:
            Unusable: it can't be used; the one before stays.
        """
        if (certificates, key) == self._loaded:
            return False
        context, found = _context(), pki.pair(certificates, key)
        if found is None:
            raise Unusable("certificate and key can't be read, or don't belong together")
        try:
            load_pair(context, certificates, key)
        except ssl.SSLError as error:
            raise Unusable(f"the certificate is not accepted: {error.reason or 'unknown reason'}") from error
        self._current, self._loaded = context, (certificates, key)
        self._until = found.certificate.not_valid_after_utc
        self._expires(self._until)
        _log.info("the webhook has a certificate", until=f"{self._until:%Y-%m-%dT%H:%M:%SZ}")
        return True

    def unready(self, now: datetime) -> list[str]:
        """What keeps clients from connecting."""
        if self._until is None:
            return ["webhook: there is no certificate yet"]
        return [f"webhook: the certificate has expired on {self._until:%Y-%m-%d}"] if now >= self._until else []

    def _choose(self, connection: ssl.SSLSocket | ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> int | None:
        if self._current is None:
            return int(ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR)
        connection.context = self._current
        return None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    return context
