"""Which kernel parameters a container may set: those that belong to a namespace of its own, as in Kubernetes and Docker.

Any other parameter is the node's, and setting it would change every container and the node itself. Pure: no input or output.
"""

import re
from typing import Final

_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*(?:[./][a-zA-Z0-9][a-zA-Z0-9_-]*)+")
_MAX_LENGTH: Final = 253
_IPC: Final = frozenset(
    {
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    }
)
_UTS: Final = frozenset({"kernel.hostname", "kernel.domainname"})


def sysctl_problem(name: str, host_network: bool) -> str | None:
    """Why a container may not set the parameter, as a phrase for people; None when it may.

    `name` is written with dots; slashes are accepted as sysctl(8) does, and mean the same. `host_network` says that the
    container uses the node's network and so has no `net.` parameters of its own.
    """
    if len(name) > _MAX_LENGTH or not _NAME.fullmatch(name):
        return "is not the name of a kernel parameter; write it with dots, such as net.core.somaxconn"
    dotted = canonical(name)
    if dotted in _UTS:
        return "can't be set here; use the field hostname" if dotted == "kernel.hostname" else "can't be set"
    if dotted in _IPC or dotted.startswith("fs.mqueue."):
        return None
    if dotted.startswith("net."):
        return (
            "belongs to the node on the host network; remove it, or use another network mode" if host_network else None
        )
    return "belongs to the node, not to the container; only kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* and net.* may be set"


def canonical(name: str) -> str:
    """The parameter's name with dots. In a name that begins with a slash-separated part, dots and slashes change places."""
    first = re.search(r"[./]", name)
    if first is None or first.group() == ".":
        return name.replace("/", ".") if "/" in name and "." not in name else name
    return name.translate(str.maketrans("./", "/."))
