"""Reads the bodies of requests that anybody may send: no slow one holds up another, and all together they are bounded.

A small body, as nearly all are, waits for nobody. What is larger waits for its turn, for only some may be in memory at once, and is given up
when it then does not come.
"""

import asyncio
from typing import Final

from aiohttp import StreamReader

MAX_BYTES: Final = 8 * 2**20
"""An object and the one before it, of 3 MiB at most each, as the API server sends them."""
SMALL_BYTES: Final = 128 * 2**10
READ_SECONDS: Final = 10.0
"""A body's time, waiting included."""
LARGE_AT_ONCE: Final = 8
LARGE_SECONDS: Final = 3.0
"""A large body's time from its turn on."""


class TooLarge(ValueError):
    """A body has more than `MAX_BYTES`."""


class Bodies:
    """Reads bodies; one for all requests."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(LARGE_AT_ONCE)

    async def read(self, content: StreamReader) -> bytes:
        """The whole of it.

        Raises:
            TooLarge: it is too large; the rest was not read.
            TimeoutError: it did not come in time.
        """
        body = bytearray()
        async with asyncio.timeout(READ_SECONDS):
            if await _ends_within(SMALL_BYTES, content, body):
                return bytes(body)
            async with self._turns, asyncio.timeout(LARGE_SECONDS):
                if await _ends_within(MAX_BYTES, content, body):
                    return bytes(body)
        raise TooLarge


async def _ends_within(most: int, content: StreamReader, body: bytearray) -> bool:
    """Add what comes to `body`, until it ends or has more than `most` bytes."""
    while part := await content.readany():
        body += part
        if len(body) > most:
            return False
    return True
