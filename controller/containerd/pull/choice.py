"""From what a name points at to the manifest for one platform, wherever the documents come from."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import InvalidManifest, NoMatchingPlatform
from controller.containerd.pull.manifests import Config, Entry, Index, Manifest, parse_manifest
from controller.containerd.pull.platforms import Platform, best

MAX_DEPTH = 4
"""Indexes within indexes, the manifest included."""

Read = Callable[[Descriptor], Awaitable[bytes]]


@dataclass(frozen=True)
class Step:
    """An index that was passed: its descriptor and bytes, and the number of the entry that was taken."""

    descriptor: Descriptor
    data: bytes
    taken: int


@dataclass(frozen=True)
class Choice:
    """The manifest chosen and the indexes on the way to it, the outermost first."""

    descriptor: Descriptor
    data: bytes
    manifest: Manifest
    steps: tuple[Step, ...]


async def choose(name: str, target: Descriptor, platform: Platform, read: Read) -> Choice:
    """Follow indexes from `target` to a manifest for `platform`.

    Raises `NoMatchingPlatform` with what there is, whatever `read` raises, and as `parse_manifest`.
    """
    steps: list[Step] = []
    descriptor = target
    for _ in range(MAX_DEPTH):
        data = await read(descriptor)
        document = parse_manifest(data, descriptor.media_type, name)
        if isinstance(document, Manifest):
            return Choice(descriptor, data, document, tuple(steps))
        entry = _entry_for(document, platform, name)
        steps.append(Step(descriptor, data, entry.number))
        descriptor = entry.descriptor
    raise InvalidManifest(f"{name}: more than {MAX_DEPTH - 1} indexes within each other")


def check_platform(name: str, config: Config, platform: Platform) -> None:
    """Raise `NoMatchingPlatform` for an image whose config says that it is for another platform."""
    if config.platform is not None and best(platform, [config.platform], _same) is None:
        raise NoMatchingPlatform(_mismatch(name, platform, [config.platform]))


def _entry_for(index: Index, platform: Platform, name: str) -> Entry:
    named = [(entry.platform, entry) for entry in index.entries if entry.platform is not None]
    if found := best(platform, named, lambda pair: pair[0]):
        return found[1]
    # An entry that names no platform may be right; the config behind it has the last word.
    if unnamed := next((entry for entry in index.entries if entry.platform is None), None):
        return unnamed
    raise NoMatchingPlatform(_mismatch(name, platform, [one for one, _ in named]))


def _same(platform: Platform) -> Platform:
    return platform


def _mismatch(name: str, platform: Platform, offered: Sequence[Platform]) -> str:
    # Attestations are listed as unknown/unknown.
    known = sorted({str(one)[:40] for one in offered if one.os != "unknown"})
    some = ", ".join(known[:20]) or "none"
    return f"{name} has nothing for {platform}; there is: {some}{', …' if len(known) > 20 else ''}"
