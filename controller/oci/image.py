"""An image's configuration (OCI image-spec, config.md) as a typed value.

The document comes from a registry and may be hostile: every type is checked, every list bounded, and what is not used is
not looked at. Pure: the caller has fetched and verified the bytes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeVar

from controller.oci.errors import InvalidImage

_T = TypeVar("_T")
_C = TypeVar("_C", dict[str, Any], list[Any])

MAX_BYTES: Final = 8 * 2**20
_MAX_ITEMS: Final = 16384
_MAX_LAYERS: Final = 512
_DIFF_ID: Final = re.compile(r"(?:sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})")
_TEXT: Final = re.compile(r"[^\0\ud800-\udfff]*")
"""What the kernel and UTF-8 can carry: no NUL, no lone surrogate."""
_JSON_NAMES: Final[Mapping[type, str]] = MappingProxyType({dict: "an object", list: "a list", str: "a string"})


def _no_labels() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says about running it. Empty values mean that the image says nothing."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    """Names and values, in the image's order; the last of a name wins."""
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=_no_labels, hash=False)
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    """As written in the image: `8080/tcp`."""
    diff_ids: tuple[str, ...] = ()
    """Digests of the uncompressed layers, bottom first."""
    os: str = "linux"
    architecture: str = ""
    variant: str = ""


def parse(document: bytes) -> ImageConfig:
    """The configuration in an image's config blob.

    Raises:
        InvalidImage: the document is not JSON, too large, or a field has the wrong type.
    """
    root = _Section(_loaded(document), "")
    config = root.section("config")
    rootfs = root.section("rootfs")
    return ImageConfig(
        entrypoint=config.strings("Entrypoint"),
        cmd=config.strings("Cmd"),
        env=tuple(_variable(entry) for entry in config.strings("Env")),
        user=config.string("User"),
        working_dir=config.string("WorkingDir"),
        stop_signal=config.string("StopSignal"),
        labels=MappingProxyType(config.string_map("Labels")),
        volumes=config.keys("Volumes"),
        exposed_ports=config.keys("ExposedPorts"),
        diff_ids=_diff_ids(rootfs),
        os=root.string("os") or "linux",
        architecture=root.string("architecture"),
        variant=root.string("variant"),
    )


class _Section:
    """An object of the document, read field by field; null and absent are the same, as in Go."""

    def __init__(self, values: dict[str, Any], path: str) -> None:
        self._values = values
        self._path = path

    def section(self, name: str) -> "_Section":
        return _Section(self._typed(name, dict, {}), f"{self._path}{name}.")

    def string(self, name: str) -> str:
        return self._text(self._typed(name, str, ""), name)

    def strings(self, name: str) -> tuple[str, ...]:
        items = self._bounded(self._typed(name, list, []), name)
        return tuple(self._text(item, name) for item in items)

    def keys(self, name: str) -> tuple[str, ...]:
        return tuple(self._text(key, name) for key in self._bounded(self._typed(name, dict, {}), name))

    def string_map(self, name: str) -> dict[str, str]:
        values = self._bounded(self._typed(name, dict, {}), name)
        return {self._text(key, name): self._text(value, name) for key, value in values.items()}

    def _typed(self, name: str, kind: type[_T], default: _T) -> _T:
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise self._invalid(name, f"must be {_JSON_NAMES[kind]}")
        return value

    def _bounded(self, items: _C, name: str) -> _C:
        if len(items) > _MAX_ITEMS:
            raise self._invalid(name, f"has more than {_MAX_ITEMS} entries")
        return items

    def _text(self, value: object, name: str) -> str:
        if not isinstance(value, str):
            raise self._invalid(name, "must hold strings only")
        if not _TEXT.fullmatch(value):
            raise self._invalid(name, "holds characters that can't be in an argument or a variable")
        return value

    def _invalid(self, name: str, problem: str) -> InvalidImage:
        return InvalidImage(f"the image's configuration is invalid: {self._path}{name} {problem}")


def _loaded(document: bytes) -> dict[str, Any]:
    if len(document) > MAX_BYTES:
        raise InvalidImage(f"the image's configuration is larger than {MAX_BYTES // 2**20} MiB")
    try:
        loaded = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise InvalidImage("the image's configuration is not valid JSON") from error
    if not isinstance(loaded, dict):
        raise InvalidImage("the image's configuration is not a JSON object")
    return loaded


def _variable(entry: str) -> tuple[str, str]:
    name, equals, value = entry.partition("=")
    if not name or not equals:
        raise InvalidImage(
            f"the image's configuration is invalid: config.Env holds {entry[:80]!r}, which is not NAME=value"
        )
    return name, value


def _diff_ids(rootfs: _Section) -> tuple[str, ...]:
    found = rootfs.strings("diff_ids")
    if len(found) > _MAX_LAYERS:
        raise InvalidImage(f"the image has more than {_MAX_LAYERS} layers")
    for diff_id in found:
        if not _DIFF_ID.fullmatch(diff_id):
            raise InvalidImage(
                f"the image's configuration is invalid: {diff_id[:80]!r} in rootfs.diff_ids is not a digest"
            )
    return found
