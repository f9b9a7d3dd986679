"""httpGet, tcpSocket and grpc against servers that only the container's own loopback interface leads to."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest

from controller.agent.checks.namespaces import Networks
from controller.agent.checks.prober import Prober
from controller.agent.checks.state import CheckRun
from controller.agent.checks.target import Target
from tests.integration.checks.conftest import Start, check

pytestmark = pytest.mark.feature("L14")
HTTPD = 8000
PORT = 8080
Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def made(prober: Prober, target: Target, **fields: object) -> CheckRun:
    answer = await prober.check(target, check(**fields))
    assert answer is not None
    return answer


async def until_it_answers(prober: Prober, target: Target, **fields: object) -> CheckRun:
    async with asyncio.timeout(20):
        while (answer := await made(prober, target, **fields)).exit_code != 0:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    return answer


@asynccontextmanager
async def listening(target: Target, family: socket.AddressFamily = socket.AF_INET) -> AsyncIterator[socket.socket]:
    """A socket that listens in the container's network; the test speaks over it."""
    networks = Networks()
    made = await networks.open(target.pid, family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("::1" if family is socket.AF_INET6 else "127.0.0.1", PORT))
    made.listen()
    try:
        yield made
    finally:
        made.close()
        networks.close()


@asynccontextmanager
async def serving(target: Target, answer: Conversation) -> AsyncIterator[None]:
    writers = []

    async def spoken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await answer(reader, writer)

    async with listening(target) as listener, await asyncio.start_server(spoken, sock=listener):
        try:
            yield
        finally:
            for writer in writers:
                # Whoever asked may have gone without hearing everything.
                writer.transport.abort()
                with suppress(OSError):
                    await writer.wait_closed()


@pytest.fixture
async def target(start: Start, prober: Prober) -> Target:
    """A container that runs busybox's httpd on its loopback interface."""
    found = await start("exec httpd -f -p 127.0.0.1:8000 -h /www")
    await until_it_answers(prober, found, tcpSocket={"port": HTTPD})
    return found


async def test_a_server_without_a_network_is_reached(prober: Prober, target: Target) -> None:
    assert (await made(prober, target, tcpSocket={"port": HTTPD})).exit_code == 0
    found = await made(prober, target, httpGet={"port": HTTPD, "path": "/index.html"})
    assert (found.exit_code, found.output) == (0, "HTTP 200 OK\nHello from Tallyman.")


async def test_a_refusal_is_a_failure_with_its_cause(prober: Prober, target: Target) -> None:
    for kind in ("tcpSocket", "httpGet", "grpc"):
        found = await made(prober, target, **{kind: {"port": 81}})
        assert (found.exit_code, found.output) == (1, "port 81: Connection refused"), kind
    missing = await made(prober, target, httpGet={"port": HTTPD, "path": "/missing"})
    assert (missing.exit_code, missing.output.splitlines()[0]) == (1, "HTTP 404 Not Found")


async def test_the_node_itself_is_not_asked(prober: Prober, target: Target) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = await made(prober, target, tcpSocket={"port": port})
    assert (found.exit_code, found.output) == (1, f"port {port}: Connection refused")


async def test_one_that_accepts_and_says_nothing_takes_too_long(prober: Prober, target: Target) -> None:
    async with listening(target):
        assert (await made(prober, target, tcpSocket={"port": PORT})).exit_code == 0
        for kind in ("httpGet", "grpc"):
            found = await made(prober, target, **{kind: {"port": PORT}}, timeoutSeconds=0.3)
            assert (found.exit_code, found.output) == (-1, f"port {PORT}: no answer within 0.3 s"), kind


async def test_the_request_is_the_users(prober: Prober, target: Target) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    headers = [{"name": "Host", "value": "web.example.com"}, {"name": "user-agent", "value": "probe"}]
    async with serving(target, answer):
        found = await made(prober, target, httpGet={"port": PORT, "path": "/a%20b?c=%2F", "httpHeaders": headers})
    assert (found.exit_code, found.output) == (0, "HTTP 302 Found")
    lines = asked[0].splitlines()
    assert lines[0] == "GET /a%20b?c=%2F HTTP/1.1"
    assert "Host: web.example.com" in lines
    assert [line for line in lines if line.lower().startswith("user-agent")] == ["user-agent: probe"]


@pytest.mark.parametrize("said", [b"garbage\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000])
async def test_what_is_no_http_is_a_failure(prober: Prober, target: Target, said: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with serving(target, answer):
        found = await made(prober, target, httpGet={"port": PORT})
    assert found.exit_code == 1
    assert found.output


async def test_only_the_beginning_of_a_long_answer_is_kept(prober: Prober, target: Target) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"4\r\nab\0\xff\r\n" * 100_000)
        writer.close()

    async with serving(target, answer):
        found = await made(prober, target, httpGet={"port": PORT})
    assert found.exit_code == 0
    assert found.output.startswith("HTTP 200 OK\nab")
    assert len(found.output.encode()) <= 1024


async def test_ipv6(prober: Prober, target: Target) -> None:
    async with listening(target, socket.AF_INET6) as listener:
        found = await made(prober, target, httpGet={"port": PORT, "host": "::1"}, timeoutSeconds=0.3)
        assert found.exit_code == -1, "it was accepted, and not answered"
        assert (await made(prober, target, tcpSocket={"port": PORT})).exit_code == 1
        listener.accept()[0].close()


class Health:
    """The protocol's server by the bytes of its specification, independent of our own definitions."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers

    async def check(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:  # type: ignore[type-arg]
        if request not in self._answers:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self._answers[request]

    def handler(self) -> grpc.GenericRpcHandler:
        method: Any = grpc.unary_unary_rpc_method_handler(self.check)
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})


async def test_grpc(prober: Prober, target: Target) -> None:
    answers = {b"": b"\x08\x01", b"\x0a\x04shop": b"\x08\x02", b"\x0a\x03new": b"\x08\x63"}
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Health(answers).handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, away = await asyncio.open_connection("127.0.0.1", port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, away), copy(there, writer))

    try:
        async with serving(target, forward):
            for service, code, says in (
                ("", 0, "SERVING"),
                ("shop", 1, "NOT_SERVING"),
                ("new", 1, "99"),
                ("none", 1, "NOT_FOUND: unknown service"),
            ):
                found = await made(prober, target, grpc={"port": PORT, "service": service})
                assert (found.exit_code, found.output) == (code, says)
    finally:
        await server.stop(None)


async def test_grpc_to_a_server_of_something_else(prober: Prober, target: Target) -> None:
    found = await made(prober, target, grpc={"port": HTTPD})
    assert found.exit_code == 1
    assert found.output.startswith("UNAVAILABLE")
