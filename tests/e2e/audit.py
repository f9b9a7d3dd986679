"""The API server's own record of who changed what: its audit log, read by the tests."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "rules": [
        {
            "level": "Metadata",
            "omitStages": ["RequestReceived"],
            "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            "resources": [
                {"group": "tallyman.dev"},
                {"group": "", "resources": ["events"]},
                {"group": "events.k8s.io"},
                {"group": "coordination.k8s.io"},
            ],
        },
        {
            "level": "Metadata",
            "verbs": ["list", "watch"],
            "resources": [{"group": "tallyman.dev"}],
            # NB: a watch is written down when it is asked for. That it was answered is only written when it ends.
            "omitStages": ["ResponseStarted", "ResponseComplete"],
        },
        {"level": "None"},
    ],
}
ACCOUNTS = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}
"""Every request of every service account."""
AGENTS = ("tallyman", "kopf")
"""How the user agents of our processes begin."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


@dataclass(frozen=True)
class Write:
    """One request that changed something, or wanted to."""

    namespace: str
    resource: str
    name: str
    verb: str
    user_agent: str
    code: int

    @property
    def by_agent(self) -> bool:
        return self.user_agent.lower().startswith(AGENTS)


@dataclass(frozen=True)
class Request:
    """One request of an account about a resource."""

    user: str
    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    allowed: bool


@dataclass(frozen=True)
class Audit:
    """The audit log in a directory of its own."""

    directory: Path
    policy: Mapping[str, Any] = field(default_factory=lambda: POLICY)
    """What is written down."""

    @property
    def log(self) -> Path:
        return self.directory / "audit.log"

    def arguments(self) -> list[str]:
        """What the API server must be told; writes the policy."""
        self.directory.mkdir(parents=True, exist_ok=True)
        policy = self.directory / "policy.json"
        policy.write_text(json.dumps(self.policy))
        return [f"--audit-log-path={self.log}", f"--audit-policy-file={policy}", "--audit-log-mode=blocking"]

    def writes(self, namespace: str) -> list[Write]:
        """Every write in a namespace, in order; with an empty one, of what is in none."""
        entries = [entry for entry in self._entries() if entry["verb"] in WRITES]
        return [_write(entry) for entry in entries if entry["objectRef"].get("namespace", "") == namespace]

    def by_agent(self, namespace: str) -> list[Write]:
        """The agents' writes in a namespace, in order."""
        return [write for write in self.writes(namespace) if write.by_agent]

    def to_containers(self, namespace: str) -> list[Write]:
        """The agents' writes of Containers in a namespace, in order; Events are another matter."""
        return [write for write in self.by_agent(namespace) if write.resource.startswith("containers")]

    def of_node(self, name: str) -> list[Write]:
        """The agents' writes of a node's object, in order; those that make one do not say which."""
        own = [write for write in self.by_agent("") if write.resource.startswith("containernodes")]
        return [write for write in own if write.name in ("", name)]

    def watched_by_agents(self) -> set[str]:
        """What agents have watched: the URI of each request."""
        entries = [entry for entry in self._entries() if entry["verb"] == "watch"]
        return {entry["requestURI"] for entry in entries if entry["userAgent"].lower().startswith(AGENTS)}

    def requests(self, user: str) -> list[Request]:
        """Every request of a user about a resource, in order. What is no resource, such as discovery, is left out."""
        entries = [entry for entry in self._entries() if entry["user"]["username"] == user and "objectRef" in entry]
        return [_request(entry) for entry in entries if "resource" in entry["objectRef"]]

    def _entries(self) -> Iterator[dict[str, Any]]:
        if not self.log.exists():
            return
        for line in self.log.read_text().splitlines():
            yield json.loads(line)


def _resource(reference: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (reference["resource"], reference.get("subresource", ""))))


def _request(entry: dict[str, Any]) -> Request:
    reference = entry["objectRef"]
    return Request(
        user=entry["user"]["username"],
        verb=entry["verb"],
        group=reference.get("apiGroup", ""),
        resource=_resource(reference),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        allowed=entry["annotations"]["authorization.k8s.io/decision"] == "allow",
    )


def _write(entry: dict[str, Any]) -> Write:
    reference = entry["objectRef"]
    return Write(
        namespace=reference.get("namespace", ""),
        resource=_resource(reference),
        name=reference.get("name", ""),
        verb=entry["verb"],
        user_agent=entry.get("userAgent", ""),
        code=(entry.get("responseStatus") or {}).get("code", 0),
    )
