"""Indexes, manifests and configs as they come from a registry (OCI image specification, docker schema 2). Pure.

They are untrusted: everything is checked here, once, so that the rest may rely on it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.containerd import digests
from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import InvalidManifest, TooLarge, UnsupportedMediaType
from controller.containerd.media_types import CONFIGS, INDEXES, LAYERS, MANIFESTS, SCHEMA_1
from controller.containerd.pull.platforms import Platform

MAX_ENTRIES = 1024
"""Manifests in an index."""
MAX_LAYERS = 512
"""Layers in a manifest; overlayfs itself mounts fewer."""
MAX_LAYER_BYTES = 128 << 30
MAX_CONFIG_BYTES = 8 << 20


@dataclass(frozen=True)
class Entry:
    """One manifest in an index, or an index in it; `number` is its place, `platform` None when it names none."""

    number: int
    descriptor: Descriptor
    platform: Platform | None


@dataclass(frozen=True)
class Index:
    """Manifests for several platforms."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Manifest:
    """One image: its config and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True)
class Config:
    """An image's config: the platform that it names, if any, and the digests of its layers unpacked."""

    platform: Platform | None
    diff_ids: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)


def parse_manifest(data: bytes, media_type: str, name: str) -> Index | Manifest:
    """Return the index or manifest that came as `media_type` for the image `name`.

    Raises `UnsupportedMediaType` for what is no container image, `InvalidManifest` and `TooLarge`.
    """
    document = _document(data, f"the manifest of {name}")
    kind = _kind(document, media_type, name)
    # One document that can be read as either is a known trick (CVE-2021-41190).
    if kind in INDEXES:
        if document.keys() & {"config", "layers", "fsLayers"}:
            raise InvalidManifest(f"{name}: an index that is a manifest too")
        return _index(document, name)
    if document.keys() & {"manifests", "fsLayers"}:
        raise InvalidManifest(f"{name}: a manifest that is an index too")
    return _manifest(document, name)


def parse_config(data: bytes, manifest: Manifest, name: str) -> Config:
    """Return the config of a manifest; raises `InvalidManifest` also when it does not fit the manifest's layers."""
    document = _document(data, f"the config of {name}")
    rootfs = document.get("rootfs")
    diff_ids = rootfs.get("diff_ids", []) if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(digests.is_valid(one) for one in diff_ids):
        raise InvalidManifest(f"the config of {name} has no valid rootfs.diff_ids")
    if len(diff_ids) != len(manifest.layers):
        raise InvalidManifest(
            f"{name} has {len(manifest.layers)} layers in its manifest and {len(diff_ids)} in its config"
        )
    return Config(_platform(document), tuple(diff_ids), document)


def _document(data: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{what} is not JSON") from error
    if not isinstance(document, dict):
        raise InvalidManifest(f"{what} is not a JSON object")
    return document


def _kind(document: Mapping[str, Any], media_type: str, name: str) -> str:
    """Return the media type of a manifest or index: what it says of itself, which must not gainsay what it came as."""
    own = document.get("mediaType") or media_type
    if media_type in SCHEMA_1 or own in SCHEMA_1 or document.get("schemaVersion") == 1:
        raise UnsupportedMediaType(f"{name} is in docker's schema 1, which is no longer supported: push it anew")
    known = INDEXES | MANIFESTS
    if own not in known:
        raise UnsupportedMediaType(f"{name} is not a container image but {str(own)[:100]!r}")
    if media_type in known and media_type != own:
        raise InvalidManifest(f"{name}: came as {media_type} and says that it is {own}")
    return str(own)


def _index(document: Mapping[str, Any], name: str) -> Index:
    entries = _list(document, "manifests", MAX_ENTRIES, name)
    return Index(
        tuple(
            Entry(number, _descriptor(one, f"manifest {number} of {name}"), _platform(one.get("platform")))
            for number, one in enumerate(entries)
        )
    )


def _manifest(document: Mapping[str, Any], name: str) -> Manifest:
    config = _descriptor(document.get("config"), f"the config of {name}")
    if config.media_type not in CONFIGS:
        raise UnsupportedMediaType(f"{name} is not a container image: its config is {config.media_type[:100]!r}")
    if config.size > MAX_CONFIG_BYTES:
        raise TooLarge(f"the config of {name} has {config.size} bytes; {MAX_CONFIG_BYTES} are allowed")
    layers = _list(document, "layers", MAX_LAYERS, name)
    return Manifest(config, tuple(_layer(one, f"layer {number} of {name}") for number, one in enumerate(layers)))


def _layer(value: Any, what: str) -> Descriptor:
    layer = _descriptor(value, what)
    if layer.media_type not in LAYERS:
        raise UnsupportedMediaType(f"{what} is {layer.media_type[:100]!r}, which cannot be unpacked")
    if layer.size > MAX_LAYER_BYTES:
        raise TooLarge(f"{what} has {layer.size} bytes; {MAX_LAYER_BYTES} are allowed")
    return layer


def _list(document: Mapping[str, Any], key: str, limit: int, name: str) -> list[dict[str, Any]]:
    values = document.get(key)
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise InvalidManifest(f"{name}: {key} is not a list of objects")
    if len(values) > limit:
        raise TooLarge(f"{name} has {len(values)} {key}; {limit} are allowed")
    return values


def _descriptor(value: Any, what: str) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidManifest(f"{what} is not described")
    digest, size, media_type = value.get("digest"), value.get("size"), value.get("mediaType")
    if not isinstance(digest, str) or not digests.is_valid(digest):
        raise InvalidManifest(f"{what} has no valid digest")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 1 << 62:
        raise InvalidManifest(f"{what} has no valid size")
    if not isinstance(media_type, str):
        raise InvalidManifest(f"{what} has no media type")
    return Descriptor(media_type, digest, size)


def _platform(value: Any) -> Platform | None:
    """Return the platform that an index's entry or a config names; None when it names none."""
    if not isinstance(value, dict):
        return None
    architecture, variant, system = (value.get(key, "") for key in ("architecture", "variant", "os"))
    if not (isinstance(architecture, str) and isinstance(variant, str) and isinstance(system, str)):
        return None
    return Platform(architecture, variant, system) if architecture and system else None
