"""The Events service: what happens in containerd, as it happens.

Events are not stored: what happens while nobody listens is found only by listing. So a caller opens a subscription,
*then* lists, and after a broken stream does both again, in this order. For that the subscription must really be in place
on the server when it is said to be. gRPC does not tell: containerd sends its response headers only with the first event
(tried on 1.6, 1.7 and 2.1: `initial_metadata()` waits for ever on a quiet one). Therefore an opening subscription publishes an
event of its own under a topic that nobody else uses, again and again until it comes back on the stream. Once it has, all
later events will.

Events about tasks come from their shims and those about containers from containerd itself: each kind is in order, but the
two may overtake each other. And a shim that is asked to go may go before it has sent its last event: on 2.1.9, of 200 tasks
deleted eight at a time, 19 had no TaskDelete (on 1.6 and 1.7 all had one). TaskExit was never missing. So whoever deletes a
task goes by the answer to that call.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType
from typing import Self, cast
from uuid import uuid4

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty

from controller.containerd import errors
from controller.containerd.caller import DEFAULT_TIMEOUT, Caller, Method
from controller.containerd.event_types import Event, decode
from controller.containerd.wire import events_pb2 as pb

_SERVICE = "containerd.services.events.v1.Events"
SUBSCRIBE = Method(_SERVICE, "Subscribe", pb.SubscribeRequest, pb.Envelope)
PUBLISH = Method(_SERVICE, "Publish", pb.PublishRequest, Empty)

TOPICS = ("/containers/", "/tasks/")
"""What a subscription hears unless it asks for something else."""

_PUBLISH_AGAIN = 0.02
"""Seconds until the marker is published anew: it is lost when it overtakes the subscription."""


class Subscription:
    """A stream of events that is in place while its `async with` block runs; iterate over it once, in the same task.

    Iteration ends only by an error: `Unavailable` when containerd goes away, `ContainerdError` for anything else.
    """

    def __init__(self, caller: Caller, topics: Sequence[str], timeout: float) -> None:
        self._caller = caller
        self._timeout = timeout
        self._marker = f"/subscription/{uuid4().hex}"
        request = pb.SubscribeRequest(filters=_filters(caller.namespace, (*topics, self._marker)))
        stream = caller.stream(SUBSCRIBE, request, timeout=None)
        self._stream = cast(AsyncGenerator[pb.Envelope, None], stream)
        self._early: deque[pb.Envelope] = deque()

    async def __aenter__(self) -> Self:
        reader = asyncio.create_task(self._read_to_marker())
        try:
            async with asyncio.timeout(self._timeout):
                await self._publish_until(reader)
        except TimeoutError:
            await self._abandon(reader)
            detail = f"not in place within {self._timeout:g} s"
            raise errors.DeadlineExceeded(SUBSCRIBE.operation, detail) from None
        except BaseException:
            await self._abandon(reader)
            raise
        return self

    async def _abandon(self, reader: asyncio.Task[None]) -> None:
        reader.cancel()
        # Its error, if any, is that of the connection, which the publisher has met as well.
        await asyncio.gather(reader, return_exceptions=True)
        await self._stream.aclose()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stream.aclose()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while self._early:
            yield decode(self._early.popleft())
        async for envelope in self._stream:
            if envelope.topic != self._marker:
                yield decode(envelope)
        raise errors.Unavailable(SUBSCRIBE.operation, "containerd ended the stream")

    async def _read_to_marker(self) -> None:
        """Read until our own event comes; what comes before it is kept."""
        async for envelope in self._stream:
            if envelope.topic == self._marker:
                return
            self._early.append(envelope)
        raise errors.Unavailable(SUBSCRIBE.operation, "containerd ended the stream")

    async def _publish_until(self, reader: asyncio.Task[None]) -> None:
        """Publish our own event until `reader` has seen it; raises what the reader raises."""
        # containerd's own tools decode each event that they see; this type they all know.
        event = AnyMessage(type_url=Empty.DESCRIPTOR.full_name)
        while not reader.done():
            await self._caller.unary(PUBLISH, pb.PublishRequest(topic=self._marker, event=event))
            await asyncio.wait({reader}, timeout=_PUBLISH_AGAIN)
        await reader


class Events:
    """The events of one containerd namespace."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def subscribe(self, topics: Sequence[str] = TOPICS, timeout: float = DEFAULT_TIMEOUT) -> Subscription:
        """Return a subscription to events whose topics begin with any of `topics`, in order of arrival.

        `async with` it: in the block, it is in place on the server and misses nothing; entering raises `Unavailable`, or
        `DeadlineExceeded` when it is not in place within `timeout` seconds.
        """
        return Subscription(self._caller, topics, timeout)


def _filters(namespace: str, topics: Sequence[str]) -> list[str]:
    """Return containerd's filters, any of which lets an event through; without them it sends all namespaces'."""
    return [f'namespace=={namespace},topic~="^{topic}"' for topic in topics]
