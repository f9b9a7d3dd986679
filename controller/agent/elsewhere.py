"""Containers of this node whose object is another node's now, for they were moved: they are removed. Pure.

A container moves when the cluster takes its node for gone: its status is reset first, so that it speaks of no node, and then it is bound
anew. The former node, should it ever come back, finds an object that names another node and a status that does not name it. Where the
status still names it, `nodeName` was changed by hand while the container ran: that moves nothing, and the object is this node's still
(`declared.belongs`), so it never comes here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controller.agent import stopping
from controller.agent.decision import Plan
from controller.agent.observation import Elsewhere, Observation


def read(body: Mapping[str, Any]) -> Elsewhere:
    """An object that is another node's, as the API server has it."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    return Elsewhere(
        key=(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        node_name=spec.get("nodeName"),
    )


def decide(observed: Observation, now: datetime) -> Plan:
    """What becomes of the containers that this node has under the object's name: all go, those of an earlier object too."""
    return stopping.remove_all(observed.containers, None, now)
