"""`tallyman manager` as a process of its own, with its default settings and its webhook on, as the chart runs it."""

import asyncio
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientError, ClientSession

from bench import measure
from hack.lab.daemon import Daemon
from hack.lab.ports import free_port

POLL_SECONDS = 0.1
KINDS = 3
"""Containers, nodes and Leases are listed."""
_CONTAINERS = re.compile(r"^tallyman_manager_containers (\S+)$", re.MULTILINE)
_LEADER = re.compile(r"^tallyman_manager_leader 1\.0$", re.MULTILINE)
_LISTED = re.compile(r'^tallyman_manager_list_last_seen_seconds\{kind="(\w+)"\} (?!0\.0$)', re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """Of a process, in MB."""

    resident: float
    most: float
    """The most that was ever resident: what a memory limit must leave room for."""


@dataclass(frozen=True)
class ManagerProcess:
    """One manager."""

    daemon: Daemon
    metrics: str

    def spawn(self) -> None:
        """Start it, and do not wait for it."""
        self.daemon.start(ready=lambda: True, timeout=measure.TIMEOUT)

    async def knows(self, count: int, *, leads: bool = True) -> None:
        """Wait until it leads or stands by, has compared all kinds with lists, knows so many Containers, and has told all its news."""
        async with ClientSession() as session:
            while True:
                try:
                    page = await measure.page(session, self.metrics)
                    known = _CONTAINERS.search(page)
                    compared = len(_LISTED.findall(page)) == KINDS
                    if known and float(known[1]) == count and compared and bool(_LEADER.search(page)) == leads:
                        break
                except ClientError:
                    pass  # not yet listening
                await asyncio.sleep(POLL_SECONDS)
        await measure.all_told(self.metrics)

    def memory(self) -> Memory:
        """Its memory now, and the most that it had."""
        return Memory(measure.resident_megabytes(self.daemon.pid), measure.most_megabytes(self.daemon.pid))


@contextmanager
def manager(directory: Path) -> Iterator[ManagerProcess]:
    """A manager that does not run yet; it is stopped in the end."""
    metrics = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "POD_NAME": "bench",
        "TALLYMAN_LOG_FORMAT": "json",
        "TALLYMAN_METRICS_ADDRESS": metrics,
        "TALLYMAN_WEBHOOK_ADDRESS": f"127.0.0.1:{free_port()}",
    }
    program = Path(sys.executable).parent / "tallyman"
    daemon = Daemon("manager", directory / "manager", [program, "manager"], environment)
    try:
        yield ManagerProcess(daemon, metrics)
    finally:
        daemon.stop()
