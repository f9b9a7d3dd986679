"""The grpc check: one call of the gRPC health checking protocol over a socket that is there already.

gRPC connects by address only. So it is given that of a socket in a directory of ours, behind which the bytes are passed on, for the
length of one call.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import grpc

from controller.agent.checks.answer import OUTPUT_BYTES, Answer
from controller.agent.checks.wire.health_pb2 import HealthCheckRequest, HealthCheckResponse
from controller.api.healthcheck import GRPCCheck

_METHOD = "/grpc.health.v1.Health/Check"
_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.default_authority", "localhost"),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 65536),
]
_CHUNK = 65536


async def call(check: GRPCCheck, connected: socket.socket, path: Path) -> Answer:
    """Ask once; whoever calls limits the time. `path` is used for as long as that takes."""
    async with _reachable(connected, path), grpc.aio.insecure_channel(f"unix:{path}", options=_OPTIONS) as channel:
        ask = channel.unary_unary(
            _METHOD,
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        try:
            response = await ask(HealthCheckRequest(service=check.service))
        except grpc.aio.AioRpcError as error:
            return Answer(1, f"{error.code().name}: {error.details()}"[:OUTPUT_BYTES])
    status = HealthCheckResponse.ServingStatus
    name = status.Name(response.status) if response.status in status.values() else str(response.status)
    return Answer(0 if response.status == HealthCheckResponse.SERVING else 1, name)


@asynccontextmanager
async def _reachable(connected: socket.socket, path: Path) -> AsyncIterator[None]:
    """Make a connection reachable by a path, for one that connects to it."""
    passing = _Passing(*await asyncio.open_connection(sock=connected))
    try:
        server = await asyncio.start_unix_server(passing.accept, path)
        try:
            yield
        finally:
            server.close()
    finally:
        await passing.end()
        path.unlink(missing_ok=True)


class _Passing:
    """Passes on what goes over one connection to who connects, and back."""

    def __init__(self, there: asyncio.StreamReader, away: asyncio.StreamWriter) -> None:
        self._there, self._away = there, away
        self._writers = [away]
        self._tasks: list[asyncio.Task[None]] = []
        self._over = False

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one who connects; one that comes too late is turned away."""
        self._writers.append(writer)
        if self._over:
            writer.transport.abort()
            return
        self._tasks += [asyncio.create_task(_copy(reader, self._away)), asyncio.create_task(_copy(self._there, writer))]

    async def end(self) -> None:
        """Close everything; what is still on its way is thrown away."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until either side ends, then end the other."""
    try:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
