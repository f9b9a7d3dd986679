"""The webhook's certificate from files that somebody else keeps, such as cert-manager by way of a mounted Secret.

Read again at each look and used when they have changed. Files that can't be used change nothing: while they are being replaced,
certificate and key need not belong together.
"""

import asyncio
from pathlib import Path
from typing import Final

from controller import log
from controller.manager.certificate_keeper import Clock, utc_now
from controller.manager.certificates import SERVING, SERVING_KEY
from controller.manager.tls import LiveContext, Unusable

RETRY_SECONDS: Final = 2.0
_log = log.get(__name__)


class CertificateFiles:
    """The files `tls.crt` and `tls.key` of a directory."""

    def __init__(self, directory: Path, tls: LiveContext, seconds: float, clock: Clock = utc_now) -> None:
        self._directory = directory
        self._tls = tls
        self._seconds = seconds
        self._clock = clock
        self._trouble = ""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            well = self.look() and not self.unready()
            await asyncio.sleep(self._seconds if well else min(self._seconds, RETRY_SECONDS))

    def unready(self) -> list[str]:
        """What keeps the webhook from being called, in words; empty when all is well."""
        found = self._tls.unready(self._clock())
        return [f"{found[0]}: {self._trouble}"] if found and self._trouble else found

    def look(self) -> bool:
        """Use the files as they are now, if they can be used. What is wrong with them is logged, once."""
        try:
            self._tls.load(*((self._directory / name).read_bytes() for name in (SERVING, SERVING_KEY)))
        except (OSError, Unusable) as error:
            trouble = f"{self._directory}: {error.strerror if isinstance(error, OSError) else error}"
            if trouble != self._trouble:
                _log.warning("the webhook's certificate can't be read", problem=trouble)
            self._trouble = trouble
            return False
        self._trouble = ""
        return True
