"""The OCI runtime spec (runtime-spec 1.0.2, config.md and config-linux.md) of a container, folded from its parts.

Each part is a small pure function in a module that names itself; here they are only put together. Safe by default: whatever
weakens the isolation happens because the Container asks for it. No input or output; the same inputs give the same spec.
"""

from typing import Any, Final

from controller.oci import devices, isolation, mounts, names, process, resources, seccomp
from controller.oci.inputs import Inputs

VERSION: Final = "1.0.2"
"""The oldest version that says all we need: runc 1.1 and crun 1.8 refuse a newer one."""


def build(inputs: Inputs) -> dict[str, Any]:
    """The runtime spec as containerd takes it (JSON-ready).

    Raises:
        OCIError: something asked for can't be described; its `reason` is the reason to show.
    """
    return {
        "ociVersion": VERSION,
        "hostname": names.hostname(inputs),
        "root": {"path": "rootfs", "readonly": inputs.spec.security_context.read_only_root_filesystem},
        "process": process.process(inputs),
        "mounts": mounts.mounts(inputs),
        "linux": _linux(inputs),
    }


def _linux(inputs: Inputs) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "cgroupsPath": names.cgroups_path(inputs),
        "namespaces": isolation.namespaces(inputs),
        "resources": {"devices": devices.rules(inputs), **resources.limits(inputs.spec, inputs.node)},
        "devices": devices.nodes(inputs),
        "maskedPaths": isolation.masked_paths(inputs),
        "readonlyPaths": isolation.readonly_paths(inputs),
        "sysctl": isolation.sysctls(inputs),
        "seccomp": seccomp.filter_for(inputs),
        "rootfsPropagation": mounts.rootfs_propagation(inputs),
    }
    return {name: part for name, part in parts.items() if part}
