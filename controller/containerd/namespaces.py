"""The Namespaces service: containerd's namespaces, which keep clients apart from each other. Not those of the kernel."""

from google.protobuf.empty_pb2 import Empty

from controller.containerd import errors
from controller.containerd.caller import Caller, Method
from controller.containerd.wire import namespaces_pb2 as pb

_SERVICE = "containerd.services.namespaces.v1.Namespaces"
LIST = Method(_SERVICE, "List", pb.ListNamespacesRequest, pb.ListNamespacesResponse)
CREATE = Method(_SERVICE, "Create", pb.CreateNamespaceRequest, pb.CreateNamespaceResponse)
DELETE = Method(_SERVICE, "Delete", pb.DeleteNamespaceRequest, Empty)


class Namespaces:
    """containerd's namespaces by name."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def ensure(self, name: str) -> None:
        """Have a namespace `name`; one that is there already is left as it is."""
        try:
            await self._caller.unary(CREATE, pb.CreateNamespaceRequest(namespace=pb.Namespace(name=name)))
        except errors.AlreadyExists:
            return

    async def list(self) -> tuple[str, ...]:
        """Return the names of all namespaces."""
        response = await self._caller.unary(LIST, pb.ListNamespacesRequest())
        return tuple(one.name for one in response.namespaces)

    async def delete(self, name: str) -> None:
        """Delete an empty namespace; raises `FailedPrecondition` while it holds anything, `NotFound` if there is none."""
        await self._caller.unary(DELETE, pb.DeleteNamespaceRequest(name=name))
