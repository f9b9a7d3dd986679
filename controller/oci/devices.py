"""The device nodes in a container and the rules of its device cgroup.

The runtime itself makes the nodes that every container has (null, zero, full, random, urandom, tty); here they are only allowed.
Pure: the caller has looked at the node's devices.
"""

from typing import Any, Final

from controller.oci.inputs import HostDevice, Inputs

_EVERYTHING: Final = {"allow": True, "access": "rwm"}
_NOTHING: Final = {"allow": False, "access": "rwm"}
_ANY_MINOR: Final = -1
_DEFAULTS: Final = (
    (1, 3),  # null
    (1, 5),  # zero
    (1, 7),  # full
    (1, 8),  # random
    (1, 9),  # urandom
    (5, 0),  # tty
    (5, 1),  # console
    (5, 2),  # ptmx
    (136, _ANY_MINOR),  # pts/*
)


def wanted(inputs: Inputs) -> tuple[HostDevice, ...]:
    """The device nodes to make: all of the node's when privileged, those of the Container in every case; one per path."""
    everything = inputs.node.devices if inputs.spec.security_context.privileged else ()
    return tuple({device.container_path: device for device in (*everything, *inputs.devices)}.values())


def nodes(inputs: Inputs) -> list[dict[str, Any]]:
    """The runtime spec's `linux.devices`, with the owner and mode that the device has on the node."""
    return [
        {
            "path": device.container_path,
            "type": device.type,
            "major": device.major,
            "minor": device.minor,
            "fileMode": device.mode,
            "uid": device.uid,
            "gid": device.gid,
        }
        for device in wanted(inputs)
    ]


def rules(inputs: Inputs) -> list[dict[str, Any]]:
    """The runtime spec's `linux.resources.devices`: nothing but the defaults and what the Container names."""
    if inputs.spec.security_context.privileged:
        return [_EVERYTHING]
    defaults = [_allow("c", major, minor, "rwm") for major, minor in _DEFAULTS]
    named = [_allow(device.type, device.major, device.minor, device.permissions) for device in inputs.devices]
    return [_NOTHING, *defaults, *named]


def _allow(kind: str, major: int, minor: int, access: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": True, "type": kind, "major": major, "access": access}
    if minor != _ANY_MINOR:
        rule["minor"] = minor
    return rule
