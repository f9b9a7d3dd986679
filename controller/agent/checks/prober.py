"""One check of one container: by the way that is declared, within its time, and the answer taken down.

A check that could not be made is no answer: it counts neither as a success nor as a failure.
"""

import asyncio
import os
import resource
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from controller import metrics
from controller.agent.checks import grpc_health, http, output
from controller.agent.checks.answer import Answer, CannotAsk
from controller.agent.checks.commands import Commands
from controller.agent.checks.namespaces import Networks
from controller.agent.checks.state import TIMED_OUT, CheckRun
from controller.agent.checks.target import Target
from controller.agent.checks.turns import Turns
from controller.api.container import HealthCheck
from controller.api.healthcheck import GRPCCheck, HTTPGetCheck
from controller.containerd.client import Containerd

LOOPBACK: Final = "127.0.0.1"
CONNECTIONS_AT_ONCE: Final = 64
MOST_WAITING: Final = 4096
WAITING_SHARE: Final = 8
"""Of the agent's descriptors, so much is for connections that wait for an answer; each takes up to four."""
PATIENCE_SECONDS: Final = 2.0
"""A connection that waits for longer is one of those."""


class Prober:
    """Makes checks."""

    def __init__(self, containerd: Containerd, directory: Path) -> None:
        self._directory = directory
        self._commands = Commands(containerd, directory)
        self._networks = Networks()
        self._connections = Turns(CONNECTIONS_AT_ONCE, _waiting_at_once(), PATIENCE_SECONDS)

    def prepare(self) -> None:
        """Make the directory for what a check needs while it lasts, empty: an agent that was killed may have left something."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        output.release(self._directory)

    def close(self) -> None:
        """No more checks."""
        self._networks.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def check(self, target: Target, check: HealthCheck) -> CheckRun | None:
        """Make one check; None when it could not be made."""
        start = datetime.now(UTC)
        try:
            answer = await self._ask(target, check)
        except CannotAsk:
            metrics.health_check("unknown")
            return None
        metrics.health_check("success" if answer.exit_code == 0 else "failure")
        return CheckRun(start, datetime.now(UTC), answer.exit_code, answer.output)

    async def _ask(self, target: Target, check: HealthCheck) -> Answer:
        seconds = check.timeout_seconds
        if check.exec is not None:
            return await self._commands.run(target, check.exec.command, seconds)
        async with self._connections.turn(target.namespace, target.container_id):
            try:
                async with asyncio.timeout(seconds):
                    return await self._connect(target, check)
            except TimeoutError:
                return Answer(TIMED_OUT, f"{_where(check)}: no answer within {seconds:g} s")
            except OSError as error:
                said = os.strerror(error.errno) if error.errno else str(error)
                return Answer(1, f"{_where(check)}: {said}")

    async def _connect(self, target: Target, check: HealthCheck) -> Answer:
        if check.http_get is not None:
            return await self._http(target, check.http_get)
        if check.grpc is not None:
            return await self._grpc(target, check.grpc)
        if check.tcp_socket is not None:
            (await self._connected(target, check.tcp_socket.port)).close()
            return Answer(0)
        raise CannotAsk("the health check says nothing")

    async def _http(self, target: Target, check: HTTPGetCheck) -> Answer:
        address = check.host or LOOPBACK
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return await http.get(check, address, await self._networks.open(target.pid, family))

    async def _grpc(self, target: Target, check: GRPCCheck) -> Answer:
        connected = await self._connected(target, check.port)
        try:
            # NB: the path of a socket may have 107 bytes; the id's beginning tells containers of a node apart.
            return await grpc_health.call(check, connected, self._directory / f"{target.container_id[:16]}.sock")
        finally:
            connected.close()

    async def _connected(self, target: Target, port: int) -> socket.socket:
        made = await self._networks.open(target.pid)
        try:
            await asyncio.get_running_loop().sock_connect(made, (LOOPBACK, port))
        except BaseException:
            made.close()
            raise
        return made


def _where(check: HealthCheck) -> str:
    """What a check connects to, in words."""
    asked = check.http_get or check.tcp_socket or check.grpc
    host = check.http_get.host if check.http_get is not None else None
    port = f"port {asked.port}" if asked is not None else "nowhere"
    return f"{host}, {port}" if host else port


def _waiting_at_once() -> int:
    """Room for those that wait: on an ordinary node for every container that there may be."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        MOST_WAITING if descriptors < 0 else min(max(descriptors // WAITING_SHARE, CONNECTIONS_AT_ONCE), MOST_WAITING)
    )
