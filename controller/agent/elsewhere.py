"""Containers of this node whose object is another node's now: left alone, or removed once it is sure that they were moved. Pure.

A container moves when the cluster takes its node for gone: its status is reset first, so that it speaks of no node, and then it is bound
anew. The former node, should it ever come back, finds an object that names another node and a status that does not name it. Where the
status still names it, `nodeName` was changed by hand while the container ran: that moves nothing, and the object is this node's still.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from controller.agent import stopping
from controller.agent.decision import Plan
from controller.agent.observation import Elsewhere, Observation

ELSEWHERE_AGAIN: Final = timedelta(seconds=60)
"""After this time it is asked again whether a container's object is still another node's."""


def read(body: Mapping[str, Any], node: str) -> Elsewhere:
    """An object that is not `node`'s, as the API server has it."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    return Elsewhere(
        key=(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        node_name=spec.get("nodeName"),
        moved=status.get("nodeName") != node,
    )


def decide(elsewhere: Elsewhere, observed: Observation, now: datetime) -> Plan:
    """What becomes of the containers that this node has under the object's name. Those of an earlier object are orphans."""
    unwanted = tuple(one for one in observed.containers if elsewhere.moved or one.uid != elsewhere.uid)
    if unwanted:
        return stopping.remove_all(unwanted, None, now)
    return Plan(look_again=now + ELSEWHERE_AGAIN if observed.containers else None)
