"""What a container must be recreated for: a hash per field of its spec, small enough for one containerd label.

Since nobody keeps the old spec, the container carries the hashes of what it was made from; comparing them with those of the
present spec names the fields that changed. Fields that can change in a running container are not part of it, and neither are
fields at their default, so that a field added to the API later changes no fingerprint. Pure.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from controller.api.container import ContainerSpec
from controller.oci import reference
from controller.oci.errors import InvalidReference

IN_PLACE: Final = frozenset(
    {
        "nodeName",
        "nodeSelector",
        "tolerations",
        "reschedule",
        "desiredState",
        "imagePullPolicy",
        "stopSignal",
        "terminationGracePeriodSeconds",
        "resources",
        "restartPolicy",
        "autoRemove",
        "healthCheck",
        "logging.maxSize",
        "logging.maxFiles",
        "dependsOn",
    }
)
"""Fields, by their names on the wire, that take effect without a new container."""
_SECTIONS: Final = frozenset({"securityContext", "network", "logging"})
"""Objects whose fields are named one by one."""
_DIGITS: Final = 8
"""Hexadecimal digits per field: an accidental match of a changed field has one chance in four thousand million."""
MAX_BYTES: Final = 4000
"""containerd's bound for a label is 4096 bytes, key and value together."""

Fingerprint = Mapping[str, str]
"""Field (`securityContext.user`) to hash."""


def fingerprint(spec: ContainerSpec) -> dict[str, str]:
    """The hashes of every field that is not at its default and can't change in place, by camelCase name."""
    values = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {name: _short_hash(_canonical(name, value)) for name, value in sorted(_fields(values))}


def spec_hash(spec: ContainerSpec) -> str:
    """One hash over all of the fingerprint; 16 hexadecimal digits."""
    return hashlib.sha256(encode(fingerprint(spec)).encode()).hexdigest()[:16]


def changed_fields(old: Fingerprint, new: Fingerprint) -> list[str]:
    """The fields that differ, in alphabetical order; empty when nothing calls for a new container."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def encode(fields: Fingerprint) -> str:
    """The text of a label: `command=1f0c9a2b,image=77d0e1c4`; below `MAX_BYTES` for every spec that the API can hold."""
    return ",".join(f"{name}={value}" for name, value in sorted(fields.items()))


def decode(label: str) -> dict[str, str]:
    """What `encode` wrote; parts that it can't have written are ignored, and so show up as changed."""
    pairs = (part.partition("=") for part in label.split(",") if part)
    return {name: value for name, equals, value in pairs if name and equals}


def _fields(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if name in _SECTIONS:
            named = ((f"{name}.{inner}", innermost) for inner, innermost in value.items())
            yield from ((path, innermost) for path, innermost in named if path not in IN_PLACE)
        elif name not in IN_PLACE:
            yield name, value


def _canonical(name: str, value: Any) -> Any:
    """Two ways to write one image are one image."""
    if name != "image":
        return value
    try:
        return reference.parse(value).name
    except InvalidReference:
        return value


def _short_hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
