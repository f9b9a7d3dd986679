"""How far a pull is, for whoever watches it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Layers and bytes (compressed, config included) of a pull: how many there are and how many are done.

    `layers_done` counts layers that are unpacked. Bytes that were there already count as done; `bytes_done` goes back when a
    download has to start over.
    """

    layers_total: int
    layers_done: int
    bytes_total: int
    bytes_done: int


ProgressCallback = Callable[[Progress], None]
"""Called in the event loop after each step, up to once a chunk (1 MiB); it must not block."""


class Tracker:
    """Counts, and tells after each change."""

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._layers_total = self._layers_done = 0
        self._sizes: dict[str, int] = {}
        self._bytes: dict[str, int] = {}

    def plan(self, sizes: dict[str, int], layers: int) -> None:
        """Say what there is to do: the size of each blob by digest, and the number of layers."""
        self._sizes, self._layers_total = sizes, layers
        self._tell()

    def have(self, digest: str, offset: int) -> None:
        """Say that the first `offset` bytes of a blob are there; what was not planned does not count."""
        if digest in self._sizes:
            self._bytes[digest] = offset
            self._tell()

    def unpacked(self) -> None:
        """Say that one more layer is unpacked."""
        self._layers_done += 1
        self._tell()

    def _tell(self) -> None:
        if self._callback is not None:
            total, done = sum(self._sizes.values()), sum(self._bytes.values())
            self._callback(Progress(self._layers_total, self._layers_done, total, done))
