"""Gathers what the agent says of its node. Reads only; what becomes of it is decided in `nodestatus`."""

from time import monotonic

from controller.agent.declared import DeclaredStore
from controller.agent.node import Node
from controller.agent.nodestatus import Machine, NodeReport, Room
from controller.agent.runtimes import Runtimes
from controller.agent.settings import Settings
from controller.api.node import NodeRuntime
from controller.containerd.errors import ContainerdError
from controller.containerd.version import Version
from controller.probes import Freshness

VERSION_SECONDS = 60.0
"""How often containerd is asked for its version: it may be replaced by a newer one at any time."""


class NodeReporter:
    """Reports on one node."""

    def __init__(
        self,
        *,
        settings: Settings,
        here: Node,
        machine: Machine,
        containerd: Version,
        runtimes: Runtimes,
        declared: DeclaredStore,
        freshness: Freshness,
    ) -> None:
        self._here = here
        self._machine = machine
        self._version = settings.agent_version
        self._room = Room(settings.max_containers, settings.reserved_cpu, settings.reserved_memory)
        self._containerd = containerd
        self._runtimes = runtimes
        self._declared = declared
        self._freshness = freshness
        self._containerd_version = ""
        self._asked_at: float | None = None

    async def report(self) -> NodeReport:
        """All that is known at this moment."""
        if self._asked_at is None or monotonic() - self._asked_at >= VERSION_SECONDS:
            self._asked_at = monotonic()
            await self._ask()
        return NodeReport(
            agent_version=self._version,
            containerd_version=self._containerd_version,
            machine=self._machine,
            boot_id=self._here.boot_id,
            room=self._room,
            features=self._here.features,
            runtimes=tuple(
                NodeRuntime(name=runtime.name, binary=runtime.binary, available=there)
                for runtime, there in self._runtimes.each()
            ),
            states=tuple(one.status.state for one in self._declared),
            out_of_step=tuple(self._freshness.out_of_step()),
        )

    async def _ask(self) -> None:
        try:
            self._containerd_version = (await self._containerd.get()).version
        except ContainerdError:
            # NB: whether containerd answers is what the lists tell; the version that was heard last stays.
            pass
