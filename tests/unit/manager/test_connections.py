"""Connections over real sockets and TLS: who has to go when there are too many, and who when it says nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from controller.manager import connections
from controller.manager.connections import Connections
from controller.manager.tls import LiveContext
from hack.lab.ports import free_port
from tests.unit.manager.keyrings import HOST, files, made, trusting

KEYRING = made()
LIMIT = 8
ENDS_SECONDS = 10.0
"""How long a test waits for what must happen."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """A request is a line, and its answer the same line; `wait` is one that is not answered."""

    def __init__(self, serving: "Serving") -> None:
        self._serving = serving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        connection = self._serving.connections.of(self)
        assert connection is not None
        if not data.endswith(b"\n"):
            return
        with connection.request():
            self._transport.write(data)


@dataclass
class Serving:
    """Connections that are listened for, and clients of them."""

    port: int
    connections: Connections
    _clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def plain(self) -> Streams:
        """Connect, and do not begin a handshake."""
        return self._kept(await asyncio.open_connection(HOST, self.port))

    async def secure(self) -> Streams:
        """Connect with TLS."""
        return self._kept(await asyncio.open_connection(HOST, self.port, ssl=trusting(KEYRING), server_hostname=HOST))

    def _kept(self, streams: Streams) -> Streams:
        self._clients.append(streams[1])
        return streams

    async def hold(self, count: int) -> None:
        """Return when there are so many connections."""
        async with asyncio.timeout(ENDS_SECONDS):
            while len(self.connections) != count:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)

    def leave(self) -> None:
        for writer in self._clients:
            writer.transport.abort()


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody goes for being slow unless a test is about that."""
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 60.0)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 60.0)


@asynccontextmanager
async def _serving(limit: int = LIMIT) -> AsyncIterator[Serving]:
    live = LiveContext(lambda _: None)
    live.load(*files(KEYRING))
    made_ = Connections(lambda: Echo(serving), live.context, limit)
    serving = Serving(free_port(), made_)
    await made_.open(HOST, serving.port)
    try:
        yield serving
    finally:
        serving.leave()
        await made_.close()
        await serving.hold(0)


async def _echoed(streams: Streams, line: bytes = b"hello\n") -> bool:
    reader, writer = streams
    writer.write(line)
    async with asyncio.timeout(ENDS_SECONDS):
        try:
            return await reader.readline() == line
        except ConnectionError:
            return False


async def _ended(streams: Streams) -> bool:
    async with asyncio.timeout(ENDS_SECONDS):
        try:
            return await streams[0].read() == b""
        except (ConnectionError, ssl.SSLError):
            return True


@pytest.mark.feature("D3")
@pytest.mark.parametrize("secure", [False, True], ids=["without a handshake", "with one"])
async def test_who_asks_has_the_place_of_the_oldest_who_does_not(secure: bool) -> None:
    async with _serving() as serving:
        connect = serving.secure if secure else serving.plain
        idle = [await connect() for _ in range(LIMIT)]
        await serving.hold(LIMIT)
        assert await _echoed(await serving.secure())
        assert await _ended(idle[0])
        assert len(serving.connections) == LIMIT


@pytest.mark.feature("D3")
async def test_who_has_had_an_answer_stays_while_others_come_and_say_nothing() -> None:
    async with _serving() as serving:
        known = await serving.secure()
        assert await _echoed(known)
        for _ in range(3 * LIMIT):
            await serving.plain()
        await serving.hold(LIMIT)
        assert await _echoed(known)


async def test_of_those_that_had_answers_the_one_goes_that_was_quiet_for_the_longest() -> None:
    async with _serving() as serving:
        known = [await serving.secure() for _ in range(LIMIT)]
        for one in (*known, known[0]):
            assert await _echoed(one)
        assert await _echoed(await serving.secure())
        assert await _ended(known[1])
        assert await _echoed(known[0])


async def test_there_is_room_again_when_one_leaves() -> None:
    async with _serving() as serving:
        idle = [await serving.secure() for _ in range(LIMIT)]
        idle[-1][1].close()
        await serving.hold(LIMIT - 1)
        assert await _echoed(await serving.secure())
        assert await _echoed(idle[0])


@pytest.mark.parametrize(
    ("limit", "begins", "secure"),
    [
        pytest.param("HANDSHAKE_SECONDS", b"", False, id="no handshake"),
        pytest.param("HANDSHAKE_SECONDS", b"\x16\x03\x01", False, id="half a handshake"),
        pytest.param("HEAD_SECONDS", b"", True, id="no request"),
        pytest.param("HEAD_SECONDS", b"half a li", True, id="half a request"),
    ],
)
async def test_who_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, limit: str, begins: bytes, secure: bool
) -> None:
    monkeypatch.setattr(connections, limit, 0.1)
    async with _serving() as serving:
        streams = await (serving.secure if secure else serving.plain)()
        streams[1].write(begins)
        assert await _ended(streams)
        await serving.hold(0)


async def test_half_a_request_after_an_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with _serving() as serving:
        streams = await serving.secure()
        assert await _echoed(streams)
        monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
        streams[1].write(b"half a li")
        assert await _ended(streams)


async def test_what_is_no_tls_is_closed() -> None:
    async with _serving() as serving:
        streams = await serving.plain()
        streams[1].write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(ENDS_SECONDS):
            await streams[0].read()
        await serving.hold(0)


async def test_a_burst_is_taken_in_and_whoever_asks_in_it_is_answered() -> None:
    async with _serving(limit=64) as serving:
        for _ in range(500):
            await serving.plain()
        assert await _echoed(await serving.secure())
        await serving.hold(64)


async def test_it_listens_no_longer_when_it_is_closed() -> None:
    async with _serving() as serving:
        await serving.plain()
        known = await serving.secure()
        await serving.hold(2)
        await serving.connections.close()
        await serving.hold(1)
        with pytest.raises(ConnectionRefusedError):
            await serving.plain()
        assert await _echoed(known)
