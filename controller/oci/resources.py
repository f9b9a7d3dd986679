"""Limits and weights of a container: from Kubernetes quantities to the runtime spec's `linux.resources`.

The values are those of cgroup v1, as the runtime spec has it; the runtimes convert them for v2. Pure.
"""

from typing import Any, Final

from controller.api import quantity
from controller.api.container import ContainerSpec
from controller.oci.inputs import NodeFacts

PERIOD: Final = 100_000
"""The period over which cpu time is counted, in microseconds; the kernel's and Kubernetes' default."""
_MIN_QUOTA: Final = 1000
"""The kernel's smallest quota, in microseconds."""
_SHARES_PER_CORE: Final = 1024
_MIN_SHARES: Final = 2
_MAX_SHARES: Final = 262_144
_DEFAULT_SHARES: Final = 1024
_UNLIMITED: Final = -1


def limits(spec: ContainerSpec, node: NodeFacts) -> dict[str, Any]:
    """The limits of a container to be made; what is not limited is left out."""
    parts = {"memory": _memory(spec, node), "cpu": _cpu(spec), "pids": _pids(spec)}
    return {name: part for name, part in parts.items() if part}


def update(spec: ContainerSpec, node: NodeFacts) -> dict[str, Any]:
    """The limits for a running container; what is not limited is lifted explicitly, since an absent one would stay."""
    memory: dict[str, Any] = {"limit": _UNLIMITED}
    if node.swap_accounting:
        memory["swap"] = _UNLIMITED
    return {
        "memory": memory | _memory(spec, node),
        "cpu": {"shares": _DEFAULT_SHARES, "quota": _UNLIMITED, "period": PERIOD} | _cpu(spec),
        "pids": _pids(spec) or {"limit": _UNLIMITED},
    }


def _memory(spec: ContainerSpec, node: NodeFacts) -> dict[str, Any]:
    """The limit in bytes; the sum of memory and swap gets the same, which means no swap, where the kernel counts swap."""
    limit = quantity.whole(spec.resources.limits.memory or 0)
    if not limit:
        return {}
    return {"limit": limit, "swap": limit} if node.swap_accounting else {"limit": limit}


def _cpu(spec: ContainerSpec) -> dict[str, Any]:
    """Quota from the limit, weight from the request; as in Kubernetes a limit without a request is the request too."""
    limit = quantity.milli(spec.resources.limits.cpu or 0)
    request = quantity.milli(spec.resources.requests.cpu or 0) or limit
    result: dict[str, Any] = {}
    if request:
        result["shares"] = min(max(request * _SHARES_PER_CORE // 1000, _MIN_SHARES), _MAX_SHARES)
    if limit:
        result |= {"quota": max(limit * PERIOD // 1000, _MIN_QUOTA), "period": PERIOD}
    return result


def _pids(spec: ContainerSpec) -> dict[str, Any]:
    return {"limit": spec.resources.limits.pids} if spec.resources.limits.pids else {}
