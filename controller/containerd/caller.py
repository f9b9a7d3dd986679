"""The one way to containerd: deadline, namespace, lease, typed errors and measurement for every call.

Services name a method and hand over a request; nothing else in this room touches gRPC's channel. What a call means is
not known here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from controller.containerd import errors
from controller.containerd.connection import Connection

DEFAULT_TIMEOUT = 10.0
"""Seconds that a call may take unless it says otherwise."""

Observer = Callable[[str, float, str], None]
"""Told of each finished call: operation (`Tasks.Start`), seconds, and the name of the status code (`OK`, `NOT_FOUND`)."""

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True, eq=False)
class Method(Generic[Request, Response]):
    """One RPC: its name for people, its path on the wire, and what goes in and comes out."""

    service: str
    name: str
    request: type[Request]
    response: type[Response]

    @property
    def operation(self) -> str:
        """The name in errors and metrics, as in `Tasks.Start`."""
        return f"{self.service.rpartition('.')[2]}.{self.name}"

    @property
    def path(self) -> str:
        """The gRPC path, as in `/containerd.services.tasks.v1.Tasks/Start`."""
        return f"/{self.service}/{self.name}"


def _ignore(_operation: str, _seconds: float, _code: str) -> None:
    """Observe nothing."""


class Caller:
    """Calls methods over a connection in one containerd namespace, optionally under a lease."""

    def __init__(
        self, connection: Connection, namespace: str, observer: Observer | None = None, lease: str | None = None
    ) -> None:
        self.connection = connection
        self.namespace = namespace
        self.lease = lease
        self._observe = observer or _ignore
        metadata = [("containerd-namespace", namespace)]
        if lease is not None:
            metadata.append(("containerd-lease", lease))
        self._metadata = tuple(metadata)
        self._bound: dict[Any, tuple[str, Any]] = {}

    def leased(self, lease: str) -> "Caller":
        """Return a caller over the same connection whose calls all carry `lease`: what they make is kept by it."""
        return Caller(self.connection, self.namespace, self._observe, lease)

    def _bind(self, shape: str, method: Method[Request, Response]) -> tuple[str, Any]:
        """Return operation and multi-callable of `method`; looked up once, this is on every call's way."""
        bound = self._bound.get(method)
        if bound is None:
            callee = self.connection.callable(
                shape, method.path, method.request.SerializeToString, method.response.FromString
            )
            bound = self._bound[method] = (method.operation, callee)
        if self.connection.closed:
            raise errors.Unavailable(bound[0], "the connection is closed")
        return bound

    async def unary(
        self, method: Method[Request, Response], request: Request, timeout: float | None = DEFAULT_TIMEOUT
    ) -> Response:
        """Call `method` and return its response within `timeout` seconds (None: for as long as it takes).

        Raises a `ContainerdError` of the type that fits the status.
        """
        operation, callee = self._bind("unary_unary", method)
        with self._watched(operation):
            response: Response = await callee(request, timeout=timeout, metadata=self._metadata)
            return response

    async def stream(
        self, method: Method[Request, Response], request: Request, timeout: float | None = DEFAULT_TIMEOUT
    ) -> AsyncIterator[Response]:
        """Call a method with a stream of responses and yield them; errors as with `unary`, also in the middle."""
        operation, callee = self._bind("unary_stream", method)
        with self._watched(operation):
            call = callee(request, timeout=timeout, metadata=self._metadata)
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()

    @asynccontextmanager
    async def duplex(self, method: Method[Request, Response]) -> AsyncIterator["Duplex[Request, Response]"]:
        """Open a stream both ways for the length of the block; each exchange on it has its own deadline."""
        operation, callee = self._bind("stream_stream", method)
        with self._watched(operation):
            call = callee(metadata=self._metadata)
            try:
                duplex: Duplex[Request, Response] = Duplex(operation, call)
                try:
                    yield duplex
                except errors.ContainerdError:
                    raise
                except Exception:
                    # The fault is not the stream's: have the server let go of what it holds before anything else is tried.
                    with suppress(errors.ContainerdError):
                        await duplex.finish()
                    raise
                await duplex.finish()
            finally:
                call.cancel()

    @contextmanager
    def _watched(self, operation: str) -> Iterator[None]:
        """Translate what gRPC raises in the block, and tell the observer how it went and how long it took."""
        started, code = perf_counter(), "OK"
        try:
            yield
        except grpc.RpcError as error:
            typed = errors.from_rpc(operation, error)
            code = typed.code
            raise typed from error
        except errors.ContainerdError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = errors.Cancelled.code
            # gRPC cancels the calls of a channel that is closed. That is the connection's end, not the task's.
            task = asyncio.current_task()
            if self.connection.closed and task is not None and not task.cancelling():
                code = errors.Unavailable.code
                raise errors.Unavailable(operation, "the connection was closed") from None
            raise
        finally:
            self._observe(operation, perf_counter() - started, code)


class Duplex(Generic[Request, Response]):
    """A stream both ways, used in step: one request, one response."""

    def __init__(self, operation: str, call: Any) -> None:
        self._operation = operation
        self._call = call

    async def exchange(self, request: Request, timeout: float = DEFAULT_TIMEOUT) -> Response:
        """Send `request` and return the response to it; raises `DeadlineExceeded` after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                return await self._step(request)
        except TimeoutError:
            raise errors.DeadlineExceeded(self._operation, f"no answer within {timeout:g} s") from None

    async def finish(self) -> None:
        """End the stream and wait for the server to have let go of what it held for it; raises how it went wrong."""
        try:
            async with asyncio.timeout(DEFAULT_TIMEOUT):
                await self._call.done_writing()
                while await self._call.read() is not grpc.aio.EOF:
                    pass
        except TimeoutError:
            raise errors.DeadlineExceeded(self._operation, "the stream does not end") from None
        if (code := await self._call.code()) is not grpc.StatusCode.OK:
            raise errors.from_code(self._operation, code, await self._call.details())

    async def _step(self, request: Request) -> Response:
        try:
            await self._call.write(request)
        except asyncio.InvalidStateError:
            # The stream is over already; why, the read below tells.
            pass
        response = await self._call.read()
        if response is grpc.aio.EOF:
            await self._raise_end()
        answer: Response = response
        return answer

    async def _raise_end(self) -> None:
        """Raise for a stream that ended where an answer was due."""
        code, detail = await self._call.code(), await self._call.details()
        raise errors.from_code(self._operation, code, detail)
