"""One gRPC connection to one containerd socket, shared by all services; it comes back by itself after a restart.

It knows how to reach the socket, and nothing of what is said over it: no deadlines, no errors, no namespaces.
"""

from collections.abc import Callable
from typing import Any

import grpc

MAX_MESSAGE_BYTES = 16 << 20
"""containerd's own limit, both ways. Python's default for receiving is 4 MiB, which a long list exceeds."""

_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Newer gRPC cores send the percent-encoded socket path as :authority, which Go's server refuses.
    ("grpc.default_authority", "localhost"),
    # A restarted containerd is back within a second or two; gRPC's own back-off would wait for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Connections of one process to one address are shared by default; a client that is closed must not linger in another.
    ("grpc.use_local_subchannel_pool", 1),
    # A service configuration comes from DNS; there is none for a socket.
    ("grpc.service_config_disable_resolution", 1),
]

Callables = dict[tuple[str, str], Any]


class Connection:
    """A lazily opened channel to `address`: a path, or anything that gRPC takes as a target (`unix:///…`)."""

    def __init__(self, address: str) -> None:
        self.address = address if ":" in address else f"unix://{address}"
        self._channel = grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        self._callables: Callables = {}
        self.closed = False

    def callable(self, shape: str, path: str, serialize: Callable[[Any], bytes], parse: Callable[[bytes], Any]) -> Any:
        """Return the channel's multi-callable of `shape` (`unary_unary`, …) for a method path, made once."""
        key = (shape, path)
        found = self._callables.get(key)
        if found is None:
            found = getattr(self._channel, shape)(path, request_serializer=serialize, response_deserializer=parse)
            self._callables[key] = found
        return found

    async def close(self) -> None:
        """Close the connection. Calls under way end with `Unavailable`."""
        self.closed = True
        await self._channel.close()
