"""Which capabilities a container's process gets: the default set, changed by `drop` and `add`.

Capabilities that the node itself can't give (a node whose own bounding set is smaller) are left out of `ALL` and of the
default, because the runtime would fail on them. Pure.
"""

from collections.abc import Iterable

from controller.api.capabilities import ALL, KNOWN_CAPABILITIES, ORDERED, normalise
from controller.api.capabilities import DEFAULT as DEFAULT
from controller.api.container import SecurityContext
from controller.oci.errors import NodeUnfit


def from_mask(mask: int) -> frozenset[str]:
    """The capabilities in a bit mask as /proc/<pid>/status shows it (CapBnd); bits without a known name are ignored."""
    return frozenset(name for number, name in enumerate(ORDERED) if mask >> number & 1)


def effective(security: SecurityContext, available: frozenset[str] = KNOWN_CAPABILITIES) -> frozenset[str]:
    """The process's capabilities. `drop` applies before `add`, so `drop: [ALL], add: [X]` leaves X alone.

    Raises:
        NodeUnfit: one is added by name that the node can't give.
        ValueError: a name that is not a capability.
    """
    if security.privileged:
        return available
    kept = (DEFAULT & available) - _expanded(security.capabilities.drop, KNOWN_CAPABILITIES)
    return kept | added(security, available)


def added(security: SecurityContext, available: frozenset[str] = KNOWN_CAPABILITIES) -> frozenset[str]:
    """The capabilities that the Container asks for by name or by ALL."""
    wanted = _expanded(security.capabilities.add, available)
    if missing := sorted(wanted - available):
        raise NodeUnfit(
            f"this node can't give the capabilities {', '.join(missing)}: the node's own limits exclude them"
        )
    return wanted


def oci(security: SecurityContext, uid: int, available: frozenset[str] = KNOWN_CAPABILITIES) -> dict[str, list[str]]:
    """The runtime spec's `process.capabilities`.

    Root has the whole set in force. For any other user the kernel clears it at exec, except what is ambient; so what the
    Container adds by name is made ambient (as podman does), or adding it would have no effect. The defaults are not: a plain
    non-root container has no capability in force, as everywhere.
    """
    bounding = effective(security, available)
    if uid == 0:
        return {"bounding": _ordered(bounding), "effective": _ordered(bounding), "permitted": _ordered(bounding)}
    given = _ordered(added(security, available))
    return {
        "bounding": _ordered(bounding),
        "effective": given,
        "permitted": given,
        "inheritable": given,
        "ambient": given,
    }


def _expanded(names: Iterable[str], everything: frozenset[str]) -> frozenset[str]:
    full = frozenset(normalise(name) for name in names)
    return (full - {ALL}) | everything if ALL in full else full


def _ordered(names: frozenset[str]) -> list[str]:
    return [name for name in ORDERED if name in names]
