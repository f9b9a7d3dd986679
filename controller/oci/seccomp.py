"""The filter of system calls in the form of the runtime spec: the default profile, a profile of the node's, or none. Pure."""

import errno
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from controller.api.container import SeccompProfileType
from controller.oci import capabilities, syscalls
from controller.oci.errors import InvalidProfile
from controller.oci.inputs import Inputs

MAX_PROFILE_BYTES: Final = 2**20
_ALLOW: Final = "SCMP_ACT_ALLOW"
_ERRNO: Final = "SCMP_ACT_ERRNO"
_PROFILE_KEYS: Final = frozenset({"defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls"})


def filter_for(inputs: Inputs) -> Mapping[str, Any] | None:
    """The runtime spec's `linux.seccomp`; None for no filter (privileged, Unconfined, or a node that can't filter).

    Raises:
        InvalidProfile: a Localhost profile is asked for and was not given.
    """
    security = inputs.spec.security_context
    if security.privileged or security.seccomp_profile.type is SeccompProfileType.UNCONFINED:
        return None
    if security.seccomp_profile.type is SeccompProfileType.LOCALHOST:
        if inputs.seccomp_profile is None:
            raise InvalidProfile(f"seccomp profile {security.seccomp_profile.localhost_profile} is not on this node")
        return inputs.seccomp_profile
    if not inputs.node.seccomp:
        return None
    return default(capabilities.effective(security, inputs.node.capabilities), inputs.node.architecture)


def default(bounding: frozenset[str], machine: str) -> dict[str, Any]:
    """The default profile: refuse with EPERM what is not known to be harmless.

    `bounding` is the container's bounding set of capabilities, `machine` the architecture as uname(2) names it.
    """
    allowed = {*syscalls.ALWAYS, *syscalls.BY_MACHINE.get(machine, ())}
    for capability in bounding:
        allowed.update(syscalls.BY_CAPABILITY.get(capability, ()))
    rules = [_allow(sorted(allowed)), _allow(["socket"], _argument(0, syscalls.AF_VSOCK, "SCMP_CMP_NE"))]
    rules += [_allow(["personality"], _argument(0, value, "SCMP_CMP_EQ")) for value in syscalls.PERSONALITIES]
    if "CAP_SYS_ADMIN" not in bounding:
        rules += _restricted_clone(machine)
    profile: dict[str, Any] = {"defaultAction": _ERRNO, "defaultErrnoRet": errno.EPERM, "syscalls": rules}
    if machine in syscalls.ARCHITECTURES:
        profile["architectures"] = list(syscalls.ARCHITECTURES[machine])
    return profile


def localhost(document: bytes) -> dict[str, Any]:
    """A profile of the node in the runtime spec's own form, as containerd and Kubernetes read it.

    Only what describes the filter is taken over; keys that hand decisions to a listener are not.

    Raises:
        InvalidProfile: not JSON, too large, or without a default action.
    """
    try:
        loaded = json.loads(document) if len(document) <= MAX_PROFILE_BYTES else None
    except (ValueError, RecursionError) as error:
        raise InvalidProfile("the seccomp profile is not valid JSON") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("defaultAction"), str):
        raise InvalidProfile("the seccomp profile must be a JSON object of at most 1 MiB with a defaultAction")
    return {key: value for key, value in loaded.items() if key in _PROFILE_KEYS}


def _restricted_clone(machine: str) -> list[dict[str, Any]]:
    """Threads and processes, but no namespaces. clone3 hides its flags from the filter: ENOSYS makes libraries use clone."""
    flags_index = 1 if machine == "s390x" else 0
    no_namespaces = _argument(flags_index, syscalls.NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ", against=0)
    return [_allow(["clone"], no_namespaces), {"names": ["clone3"], "action": _ERRNO, "errnoRet": errno.ENOSYS}]


def _allow(names: Iterable[str], *arguments: dict[str, Any]) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": _ALLOW}
    return {**rule, "args": list(arguments)} if arguments else rule


def _argument(index: int, value: int, operator: str, *, against: int | None = None) -> dict[str, Any]:
    argument: dict[str, Any] = {"index": index, "value": value, "op": operator}
    return argument if against is None else {**argument, "valueTwo": against}
