"""The Introspection service: what this containerd has built in and whether it started."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty

from controller.containerd.caller import Caller, Method
from controller.containerd.wire import introspection_pb2 as pb

_SERVICE = "containerd.services.introspection.v1.Introspection"
PLUGINS = Method(_SERVICE, "Plugins", pb.PluginsRequest, pb.PluginsResponse)
SERVER = Method(_SERVICE, "Server", Empty, pb.ServerResponse)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin such as type `io.containerd.snapshotter.v1`, id `overlayfs`; `error` says why it did not start."""

    type: str
    id: str
    exports: Mapping[str, str]
    capabilities: tuple[str, ...]
    error: str | None


class Introspection:
    """What a containerd says about itself."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def plugins(self, filters: Sequence[str] = ()) -> tuple[Plugin, ...]:
        """Return the plugins that match any of `filters` (containerd's filter syntax; none: all)."""
        response = await self._caller.unary(PLUGINS, pb.PluginsRequest(filters=filters))
        return tuple(_plugin(one) for one in response.plugins)

    async def uuid(self) -> str:
        """Return the identity of this containerd's root directory; the same after a restart."""
        return (await self._caller.unary(SERVER, Empty())).uuid


def _plugin(plugin: pb.Plugin) -> Plugin:
    error = plugin.init_err.message if plugin.HasField("init_err") else None
    return Plugin(plugin.type, plugin.id, dict(plugin.exports), tuple(plugin.capabilities), error)
