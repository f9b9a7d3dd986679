"""Keeps the webhook's certificates: in a Secret that all managers share, at the API server that must trust them, and in use here.

Each look compares the three with what they should be by the clock of now, so that whatever happened to them heals: a certificate
that expired, a clock that jumped, a Secret that was deleted or edited by hand. Only the manager that leads writes, and only onto
what it has read: of two that make a CA at once, one finds the other's.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, Protocol

from controller import log
from controller.kube import errors
from controller.kube.secrets import Stored
from controller.manager import certificates, pki
from controller.manager.certificates import Keyring
from controller.manager.tls import LiveContext, Unusable

RETRY_SECONDS: Final = 2.0
WAITS: Final = "the manager that leads makes it (see the Lease tallyman-manager), if that one has --webhook-address and --webhook-configuration"
Clock = Callable[[], datetime]
_log = log.get(__name__)


class SecretObject(Protocol):
    """The Secret in the API server."""

    async def get(self) -> Stored | None:
        """What it holds, or None."""

    async def create(self, data: dict[str, bytes]) -> Stored:
        """Make it. Raises Conflict when it is there."""

    async def replace(self, version: str, data: dict[str, bytes]) -> Stored:
        """Change it, if it still is of this version. Raises Conflict, NotFound."""


class Configuration(Protocol):
    """The webhook's configuration in the API server."""

    async def bundle(self) -> bytes:
        """The CAs that are trusted now. Raises NotFound."""

    async def publish(self, bundle: bytes) -> bool:
        """Have these trusted; False when they are. Raises Conflict, NotFound."""


def utc_now() -> datetime:
    """The time by the node's clock."""
    return datetime.now(UTC)


class CertificateKeeper:
    """The certificates of our own CA."""

    def __init__(
        self,
        *,
        secret: SecretObject,
        configuration: Configuration | None,
        tls: LiveContext,
        hosts: Collection[str],
        leads: Callable[[], bool],
        seconds: float,
        clock: Clock = utc_now,
    ) -> None:
        self._secret = secret
        self._configuration = configuration
        self._tls = tls
        self._hosts = hosts
        self._leads = leads
        self._seconds = seconds
        self._clock = clock
        self._trouble = ""
        self._keyring = Keyring()

    async def run(self) -> None:
        """Look again and again, until cancelled; often while there is trouble or no certificate that can be used."""
        while True:
            well = await self.look() and not self._tls.unready(self._clock())
            await asyncio.sleep(self._seconds if well else min(self._seconds, RETRY_SECONDS))

    def unready(self) -> list[str]:
        """What keeps the webhook from being called, in words; empty when all is well."""
        found = self._tls.unready(self._clock())
        why = self._trouble or ("" if self._leads() else WAITS)
        return [f"{found[0]}: {why}"] if found and why else found

    async def look(self) -> bool:
        """Compare once, and mend what this manager may mend. What goes wrong is logged, and told by `unready`."""
        try:
            await self._look()
        except errors.Conflict as error:
            _log.debug("somebody else was faster", problem=str(error))
        except (errors.KubeError, Unusable) as error:
            self._tell(str(error))
        else:
            self._tell("")
            return True
        return False

    async def _look(self) -> None:
        stored = await self._secret.get()
        self._keyring = certificates.read(stored.data if stored is not None else {})
        try:
            if self._leads():
                await self._keep(stored)
        finally:
            # NB: after the API server was told of a new CA, and whether or not that worked.
            if self._keyring.serving is not None:
                self._use(self._keyring.serving)

    async def _keep(self, stored: Stored | None) -> None:
        trusted = await self._trusted()
        if not self._keyring.bundle:
            # The Secret is lost. Other managers still serve by the former CA until they see the new one.
            self._keyring = replace(self._keyring, former=pki.certificates(trusted or b""))
        now, authority = self._clock(), self._keyring.authority
        published = trusted is None or (authority is not None and pki.pem([authority.certificate]) in trusted)
        work = certificates.due(self._keyring, now, self._hosts, published=published)
        if work:
            mended = certificates.renewed(self._keyring, work, now, self._hosts)
            data = certificates.written(mended)
            await (self._secret.create(data) if stored is None else self._secret.replace(stored.version, data))
            self._keyring = mended
            _log.info("made anew", authority=work.authority, certificate=work.serving, former=len(mended.former))
        if self._configuration is not None and await self._configuration.publish(pki.pem(self._keyring.bundle)):
            _log.info("the API server was told whom to trust", authorities=len(self._keyring.bundle))

    async def _trusted(self) -> bytes | None:
        """What the API server trusts; None when that is not ours to keep."""
        if self._configuration is None:
            return None
        try:
            return await self._configuration.bundle()
        except errors.NotFound:
            return b""

    def _use(self, serving: pki.Pair) -> None:
        self._tls.load(pki.pem([serving.certificate]), pki.key_pem(serving.key))

    def _tell(self, trouble: str) -> None:
        """Log what is wrong, once."""
        if trouble and trouble != self._trouble:
            _log.warning("the webhook's certificates can't be kept", problem=trouble)
        self._trouble = trouble
