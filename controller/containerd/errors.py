"""What can go wrong when containerd is asked for something: gRPC's status codes as types.

The one place where a gRPC status becomes an exception of ours; nothing above this room sees a gRPC error. An error says
what was asked (`operation`) and what containerd answered (`detail`), and whether asking again later may help
(`transient`); what follows from it is decided by the caller.
"""

from typing import ClassVar, Final

import grpc


class ContainerdError(Exception):
    """Containerd refused or could not be asked. Also the type for codes that have none of their own.

    `operation` is the service and method, as in `Tasks.Start`; `detail` is containerd's own message; `code` is the name
    of the gRPC status code.
    """

    code: ClassVar[str] = "UNKNOWN"
    transient: ClassVar[bool] = False

    def __init__(self, operation: str, detail: str) -> None:
        super().__init__(operation, detail)
        self.operation = operation
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.operation}: {self.detail}"


class NotFound(ContainerdError):
    """There is no such thing, or no longer."""

    code = "NOT_FOUND"


class AlreadyExists(ContainerdError):
    """There is one of that name already."""

    code = "ALREADY_EXISTS"


class InvalidArgument(ContainerdError):
    """The request itself is at fault; it will never succeed."""

    code = "INVALID_ARGUMENT"


class OutOfRange(ContainerdError):
    """An offset beyond what is there."""

    code = "OUT_OF_RANGE"


class FailedPrecondition(ContainerdError):
    """Not in the state that this needs: a running task cannot be deleted, a used image snapshot not removed."""

    code = "FAILED_PRECONDITION"


class PermissionDenied(ContainerdError):
    """Not allowed."""

    code = "PERMISSION_DENIED"


class Unimplemented(ContainerdError):
    """This containerd, or this plugin of it, cannot do that."""

    code = "UNIMPLEMENTED"


class Internal(ContainerdError):
    """An error inside containerd or on the way to it."""

    code = "INTERNAL"


class Cancelled(ContainerdError):
    """The server gave the call up. A caller that gives up itself sees `asyncio.CancelledError`, as ever."""

    code = "CANCELLED"
    transient = True


class Aborted(ContainerdError):
    """Lost against a concurrent change."""

    code = "ABORTED"
    transient = True


class ResourceExhausted(ContainerdError):
    """Out of space, of quota, or a message over the size limit."""

    code = "RESOURCE_EXHAUSTED"


class Unavailable(ContainerdError):
    """Containerd cannot be reached, or holds a lock on what was asked for (a content ref in use by another writer)."""

    code = "UNAVAILABLE"
    transient = True


class DeadlineExceeded(Unavailable):
    """No answer within the deadline; whether containerd did it is unknown."""

    code = "DEADLINE_EXCEEDED"


_SHIM_GONE: Final = "ttrpc: closed"
"""How containerd says, without a code of its own, that a shim ended under a call: nothing is wrong with what was asked."""
_BY_CODE: dict[str, type[ContainerdError]] = {
    kind.code: kind
    for kind in (
        NotFound, AlreadyExists, InvalidArgument, OutOfRange, FailedPrecondition, PermissionDenied, Unimplemented,
        Internal, Cancelled, Aborted, ResourceExhausted, Unavailable, DeadlineExceeded,
    )
}  # fmt: skip


def from_code(operation: str, code: grpc.StatusCode, detail: str | None) -> ContainerdError:
    """Return the typed error for the status that ended `operation`."""
    if code is grpc.StatusCode.OK:
        return Unavailable(operation, "the stream ended")
    if code is grpc.StatusCode.UNKNOWN and _SHIM_GONE in (detail or ""):
        return Unavailable(operation, f"the container's shim went away meanwhile: {detail}")
    return _BY_CODE.get(code.name, ContainerdError)(operation, detail or code.name)


def from_rpc(operation: str, error: grpc.RpcError) -> ContainerdError:
    """Return the typed error for what gRPC raised on `operation`."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return Internal(operation, repr(error))
    return from_code(operation, error.code(), error.details())
