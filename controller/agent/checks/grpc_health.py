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
    tasks: set[asyncio.Task[None]] = set()
    there, away = await asyncio.open_connection(sock=connected)

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(_copy(reader, away)))
        tasks.add(asyncio.create_task(_copy(there, writer)))

    server = await asyncio.start_unix_server(accepted, path)
    try:
        yield
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        away.close()
        path.unlink(missing_ok=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on until either side ends, then end the other."""
    try:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()
