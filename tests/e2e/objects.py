"""Reading a Container as a user does: conditions by their type, and the states that tests wait for."""

from collections.abc import Callable, Mapping
from typing import Any

Body = Mapping[str, Any]
Predicate = Callable[[Body], bool]

FOREVER = "1000000"
"""Seconds that a container sleeps which is to run until it is stopped."""


def status(body: Body) -> dict[str, Any]:
    return dict(body.get("status") or {})


def container_id(body: Body) -> str:
    return str(status(body).get("containerID") or "")


def life(body: Body) -> dict[str, Any]:
    """What tells one run of one container from any other."""
    return {name: status(body).get(name) for name in ("containerID", "pid", "startedAt", "restartCount", "exitCode")}


def condition(body: Body, kind: str) -> dict[str, Any]:
    """One condition; one without a status when there is none."""
    found = [one for one in status(body).get("conditions") or [] if one["type"] == kind]
    assert len(found) <= 1, f"condition {kind} is there {len(found)} times"
    return dict(found[0]) if found else {"type": kind, "status": "", "reason": "", "message": ""}


def holds(body: Body, kind: str) -> bool:
    return bool(condition(body, kind)["status"] == "True")


def up_to_date(body: Body) -> bool:
    """Whether the status speaks of the spec as it is now."""
    return bool(status(body).get("observedGeneration") == body["metadata"]["generation"])


def is_ready(body: Body) -> bool:
    return up_to_date(body) and holds(body, "Ready")


def is_settled(body: Body) -> bool:
    """Whether the agent has nothing left to do."""
    return up_to_date(body) and condition(body, "Reconciling")["status"] == "False"


def is_running(body: Body) -> bool:
    return is_ready(body) and status(body)["state"] == "Running"


def is_refused(body: Body) -> bool:
    return up_to_date(body) and condition(body, "Accepted")["status"] == "False"


def in_state(state: str) -> Predicate:
    """Settled in that state."""
    return lambda body: is_settled(body) and status(body)["state"] == state


has_exited = in_state("Exited")


def because(reason: str) -> Predicate:
    """Not ready for that reason."""
    return lambda body: up_to_date(body) and condition(body, "Ready")["reason"] == reason


def for_people(body: Body) -> str:
    """What there is to know of an object, in a few lines."""
    shown = status(body)
    conditions = [
        f"  {one['type']}={one['status']} {one['reason']}: {one.get('message', '')}"
        for one in shown.pop("conditions", [])
    ]
    head = f"{body['metadata']['name']} generation {body['metadata']['generation']} {shown}"
    return "\n".join([head, *conditions])
