"""The container's process: command, environment, identity and what it may do. Pure."""

import posixpath
from typing import Any, Final

from controller.api.container import ContainerSpec
from controller.oci import capabilities, command, mounts, names
from controller.oci.image import ImageConfig
from controller.oci.inputs import Inputs
from controller.oci.user import User

DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def process(inputs: Inputs) -> dict[str, Any]:
    """The runtime spec's `process`."""
    security = inputs.spec.security_context
    parts: dict[str, Any] = {
        "terminal": inputs.spec.tty,
        "user": _user(inputs.user),
        "args": [*_init(inputs), *command.argv(inputs.spec, inputs.image)],
        "env": [f"{name}={value}" for name, value in environment(inputs).items()],
        "cwd": working_directory(inputs.spec, inputs.image),
        "capabilities": capabilities.oci(security, inputs.user.uid, inputs.node.capabilities),
        # As in Kubernetes a privileged process is not kept from gaining what it has anyway.
        "noNewPrivileges": not (security.allow_privilege_escalation or security.privileged),
    }
    limits = rlimits(inputs.spec)
    return {**parts, "rlimits": limits} if limits else parts


def environment(inputs: Inputs) -> dict[str, str]:
    """The variables, weakest first: ours, the image's, the Container's.

    HOME is that of /etc/passwd if it was looked up; otherwise the OCI runtime sets it.
    """
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": names.hostname(inputs)}
    if inputs.spec.tty:
        variables["TERM"] = "xterm"
    if inputs.user.home:
        variables["HOME"] = inputs.user.home
    variables.update(inputs.image.env)
    variables.update((variable.name, variable.value) for variable in inputs.spec.env)
    return variables


def working_directory(spec: ContainerSpec, image: ImageConfig) -> str:
    """The Container's, else the image's (a relative one is taken from the root), else `/`."""
    return spec.working_dir or posixpath.normpath(posixpath.join("/", image.working_dir))


def rlimits(spec: ContainerSpec) -> list[dict[str, Any]]:
    """The limits that the Container names and no others: a default could exceed what the node may give."""
    return [
        {"type": f"RLIMIT_{limit.name.upper()}", "soft": _rlimit(limit.soft), "hard": _rlimit(limit.hard)}
        for limit in spec.ulimits
    ]


def _rlimit(value: int) -> int:
    """RLIM_INFINITY is the largest unsigned number; the API writes it as -1."""
    return 2**64 - 1 if value < 0 else value


def _user(user: User) -> dict[str, Any]:
    return {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.additional_gids)}


def _init(inputs: Inputs) -> tuple[str, ...]:
    return (mounts.init_target(inputs), "--") if inputs.spec.init else ()
