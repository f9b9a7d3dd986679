"""The Linux capabilities and the names under which users write them (`NET_ADMIN`, `CAP_NET_ADMIN`, `ALL`).

How `add` and `drop` apply is the business of the OCI room.
Pure: no input or output.
"""

from typing import Final

ALL: Final = "ALL"
"""Stands for every capability in a list of additions or removals."""

_NAMES: Final = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
ORDERED: Final = tuple(f"CAP_{name}" for name in _NAMES.split())
"""Every capability in the order of the kernel's numbers, 0 (CAP_CHOWN) to 40 (CAP_CHECKPOINT_RESTORE)."""

KNOWN_CAPABILITIES: Final = frozenset(ORDERED)
"""Every capability by its full name."""

_DEFAULT_NAMES: Final = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE"
)
DEFAULT: Final = frozenset(f"CAP_{name}" for name in _DEFAULT_NAMES.split())
"""What root has in a container unless the Container says otherwise: the set of Docker and containerd."""


def normalise(name: str) -> str:
    """The full name (`CAP_NET_ADMIN`) of a capability written in any case with or without `CAP_`; `ALL` stays `ALL`.

    Raises:
        ValueError: Linux has no capability of that name.
    """
    upper = name.upper()
    if upper in (ALL, f"CAP_{ALL}"):
        return ALL
    full = upper if upper.startswith("CAP_") else f"CAP_{upper}"
    if full not in KNOWN_CAPABILITIES:
        raise ValueError(f"{name!r} is not a Linux capability; write ALL or one of capabilities(7), such as NET_ADMIN")
    return full
