"""The Version service: which containerd this is."""

from dataclasses import dataclass

from google.protobuf.empty_pb2 import Empty

from controller.containerd.caller import DEFAULT_TIMEOUT, Caller, Method
from controller.containerd.wire import version_pb2 as pb

VERSION = Method("containerd.services.version.v1.Version", "Version", Empty, pb.VersionResponse)


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """A containerd's own words for its version, as in `1.7.24~ds1` (distributions add to it), and its revision."""

    version: str
    revision: str


class Version:
    """The version of the containerd that answers."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def get(self, timeout: float = DEFAULT_TIMEOUT) -> VersionInfo:
        """Return the version. Also the cheapest way to ask whether containerd is there."""
        response = await self._caller.unary(VERSION, Empty(), timeout)
        return VersionInfo(response.version, response.revision)
