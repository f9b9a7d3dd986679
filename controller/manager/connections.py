"""The connections of a server whose port anybody may reach: so many at most, and who keeps others waiting goes first.

A connection costs memory and a file before anything is known of who made it. So there is a limit, and a new one beyond it has the place of
one that is idle: of those that have never had an answer the oldest, or else the one that has been quiet for the longest. Whoever connects
and then says what it wants is not kept out by those that don't. What a request is, is the protocol's business: this only hears when one
begins and ends.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from controller import log

LIMIT: Final = 256
"""Each costs some 300 KB, most of it TLS."""
HANDSHAKE_SECONDS: Final = 5.0
HEAD_SECONDS: Final = 10.0
"""From a request's first byte, or from a new connection's being there, until the request's head is."""
ACCEPT_AGAIN_SECONDS: Final = 0.2
BACKLOG: Final = 128
_log = log.get(__name__)


class Connection(asyncio.Protocol):
    """One connection: stands before the HTTP protocol, which gets all that comes, and ends what takes too long."""

    def __init__(self, inner: asyncio.Protocol, closed: Callable[[], None]) -> None:
        self._inner = inner
        self.closed = closed
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._asking = False
        self.opening: asyncio.Task[None] | None = None
        """The TLS handshake."""
        self.answered = False
        self.since = self._loop.time()
        """When it was made, or its last request began or ended."""

    @property
    def is_open(self) -> bool:
        """Whether the handshake has ended well."""
        return self._transport is not None

    def abort(self) -> None:
        """Close it at once, whatever it is at."""
        if self._transport is not None:
            self._transport.abort()
        elif self.opening is not None:
            self.opening.cancel()

    @contextmanager
    def request(self) -> Iterator[None]:
        """While one is read and answered: its time is not this one's business."""
        self._set_deadline(None)
        self._asking, self.since = True, self._loop.time()
        try:
            yield
        finally:
            self._asking, self.since = False, self._loop.time()
            self.answered = True

    def _set_deadline(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._loop.call_later(seconds, self.abort)

    # --- what asyncio calls ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake has ended well."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self._set_deadline(HEAD_SECONDS)
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Something came."""
        if not self._asking and self._deadline is None:
            self._set_deadline(HEAD_SECONDS)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """No more will come."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """The other side does not take what is written."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is closed, whoever did it."""
        self._set_deadline(None)
        self.closed()
        self._inner.connection_lost(exc)


class Connections:
    """Listens, and holds what connects, from `open` to `close`. `made` makes the protocol for a new one."""

    def __init__(self, made: Callable[[], asyncio.Protocol], tls: ssl.SSLContext, limit: int = LIMIT) -> None:
        self._made = made
        self._tls = tls
        self._limit = limit
        self._listening: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._all: dict[asyncio.Protocol, Connection] = {}

    def __len__(self) -> int:
        return len(self._all)

    async def open(self, host: str, port: int) -> None:
        """Begin to listen.

        Raises:
            OSError: the address is taken, or is none of this machine's.
        """
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, address in dict.fromkeys((family, address[:2]) for family, _, _, _, address in found):
            listener = socket.create_server(address, family=family, backlog=BACKLOG)
            listener.setblocking(False)
            self._listening.append((listener, asyncio.create_task(self._accept(listener), name="accept")))

    async def close(self) -> None:
        """Listen no longer. Connections stay, but for those that are not made yet."""
        for _, task in self._listening:
            task.cancel()
        await asyncio.gather(*(task for _, task in self._listening), return_exceptions=True)
        for listener, _ in self._listening:
            listener.close()
        self._listening.clear()
        opening = [one.opening for one in self._all.values() if one.opening is not None]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)

    def of(self, protocol: asyncio.Protocol) -> Connection | None:
        """The connection of a protocol; None once it is closed."""
        return self._all.get(protocol)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _address = await loop.sock_accept(listener)
            except OSError as error:
                # NB: there is no file left for it, perhaps. It stays in the queue, so this would be tried without end.
                _log.warning("a connection can't be accepted", error=str(error))
                self._make_room(len(self._all))
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            self._take(accepted)
            # NB: while connections are queued, accepting them gives nobody else a turn.
            await asyncio.sleep(0)

    def _take(self, accepted: socket.socket) -> None:
        self._make_room(self._limit)
        protocol = self._made()
        made = self._all[protocol] = Connection(protocol, lambda: self._forget(protocol))
        made.opening = asyncio.create_task(self._open(made, accepted), name="handshake")

    def _make_room(self, limit: int) -> None:
        """Have fewer than `limit`."""
        while self._all and len(self._all) >= limit:
            protocol = min(self._all, key=lambda one: (self._all[one].answered, self._all[one].since))
            self._all.pop(protocol).abort()

    def _forget(self, protocol: asyncio.Protocol) -> None:
        self._all.pop(protocol, None)

    async def _open(self, made: Connection, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: made, accepted, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError:
            # It was no TLS, or not in time. Anybody can have that happen as often as he likes: nothing is logged.
            pass
        finally:
            made.opening = None
            # NB: asyncio may call it good when the other side has left in the middle of the handshake.
            if not made.is_open:
                made.closed()
