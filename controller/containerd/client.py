"""One containerd as its callers see it: every service behind one connection and one containerd namespace."""

from types import TracebackType
from typing import Self

from controller.containerd.caller import Caller, Observer
from controller.containerd.connection import Connection
from controller.containerd.containers import Containers
from controller.containerd.content import Content
from controller.containerd.diff import Diff
from controller.containerd.events import Events
from controller.containerd.images import Images
from controller.containerd.introspection import Introspection
from controller.containerd.leases import Leases
from controller.containerd.namespaces import Namespaces
from controller.containerd.snapshots import Snapshots
from controller.containerd.tasks import Tasks
from controller.containerd.version import Version


class Services:
    """All services over one caller."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self.namespace = caller.namespace
        self.containers = Containers(caller)
        self.content = Content(caller)
        self.diff = Diff(caller)
        self.events = Events(caller)
        self.images = Images(caller)
        self.introspection = Introspection(caller)
        self.leases = Leases(caller)
        self.namespaces = Namespaces(caller)
        self.snapshots = Snapshots(caller)
        self.tasks = Tasks(caller)
        self.version = Version(caller)

    def leased(self, lease_id: str) -> "Services":
        """Return the same services, where all that is made is kept by a lease from garbage collection."""
        return Services(self._caller.leased(lease_id))


class Containerd(Services):
    """A client of the containerd at `address` (a socket path or gRPC target) in one containerd namespace.

    Nothing is connected before the first call, and a connection that broke comes back by itself within a second or so;
    until then calls fail with `Unavailable` at once. `observer` is told of each call when it has ended: operation, seconds,
    status code. The long ones, `Events.Subscribe` and `Tasks.Wait`, are told like any other. Belongs to one event loop.
    """

    def __init__(self, address: str, namespace: str, observer: Observer | None = None) -> None:
        self.address = address
        self._connection = Connection(address)
        super().__init__(Caller(self._connection, namespace, observer))

    async def close(self) -> None:
        """Close the connection; calls under way end with `Unavailable`."""
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
