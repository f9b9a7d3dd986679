"""The API server in memory, at the boundary of HTTP: paths, merge patches and preconditions as the real one has them, and faults.

Only what the manager asks for is there. Whoever subscribes is told of every change, as a watch would tell it.
"""

import asyncio
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

from controller.kube import errors
from controller.manager.admission import Request, judge

API = "/apis/tallyman.dev/v1alpha1"
Fault = Callable[[str, str], None]
"""Called with verb and path; raises what is to go wrong."""
Watcher = Callable[[str, dict[str, Any]], None]


def path_of(body: Mapping[str, Any]) -> str:
    """Where an object is: a Container when it has a namespace, else a ContainerNode."""
    metadata = body["metadata"]
    if "namespace" in metadata:
        return f"{API}/namespaces/{metadata['namespace']}/containers/{metadata['name']}"
    return f"{API}/containernodes/{metadata['name']}"


class Server:
    """What is stored, and who is told."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 100
        self.before: Fault = lambda _verb, _path: None
        self.after: Fault = lambda _verb, _path: None
        self.writes: list[tuple[str, str]] = []
        self.events: list[dict[str, Any]] = []
        self.watchers: list[Watcher] = []

    def put(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store an object as its user or agent would."""
        self.version += 1
        made = deepcopy(dict(body))
        made["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path_of(made)] = made
        self._tell("MODIFIED", made)
        return made

    def remove(self, path: str) -> None:
        """Let an object go."""
        self.version += 1
        gone = self.objects.pop(path)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", gone)

    def containers(self) -> list[dict[str, Any]]:
        return [body for path, body in self.objects.items() if "/containers/" in path]

    def get(self, name: str, namespace: str = "shop") -> dict[str, Any]:
        """A Container."""
        return self.objects[f"{API}/namespaces/{namespace}/containers/{name}"]

    def node(self, name: str) -> dict[str, Any]:
        return self.objects[f"{API}/containernodes/{name}"]

    def _tell(self, kind: str, body: dict[str, Any]) -> None:
        for watcher in list(self.watchers):
            watcher(kind, deepcopy(body))

    def patch(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """A merge patch, as far as there are preconditions, finalizers and a subresource."""
        of_status = path.endswith("/status")
        path = path.removesuffix("/status")
        if path not in self.objects:
            raise errors.NotFound(path)
        body = self.objects[path]
        wanted = patch.get("metadata", {})
        for name in ("uid", "resourceVersion"):
            if name in wanted and wanted[name] != body["metadata"][name]:
                raise errors.Conflict(f"{name} is {body['metadata'][name]}")
        changed = merged(body, {"status": patch["status"]} if of_status else _without_status(patch))
        if not of_status and "namespace" in body["metadata"]:
            _pass_the_door(body, changed)
        self.version += 1
        changed["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = changed
        if "deletionTimestamp" in changed["metadata"] and not changed["metadata"].get("finalizers"):
            self.remove(path)
        else:
            self._tell("MODIFIED", changed)
        return changed


def _pass_the_door(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Ask the admission webhook, which holds up nothing that a manager does."""
    name = old["metadata"]["name"]
    request = Request("", "UPDATE", "", old["metadata"]["namespace"], name, new, old)
    verdict = judge(request)
    if verdict.errors:
        raise errors.Refused(f"{name}: {verdict.message}")


def _without_status(patch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in patch.items() if name != "status"}


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """RFC 7386."""
    result = deepcopy(dict(target))
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[name] = deepcopy(value)
    return result


class FakeClient:
    """A `Client` of that server. A permit is asked for as the real one does."""

    def __init__(self, server: Server, permit: Callable[[], float] | None = None) -> None:
        self.server = server
        self._permit = permit
        self.dead = False
        """Whether its process was killed: it gets no answer any more, and sends nothing."""

    async def get(self, path: str, *, query: Mapping[str, str] | None = None, accept: str = "") -> Any:
        await self._arrive("GET", path)
        if path not in self.server.objects:
            raise errors.NotFound(path)
        return deepcopy(self.server.objects[path])

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        await self._arrive("PATCH", path)
        answer = deepcopy(self.server.patch(path, body))
        self.server.writes.append(("PATCH", path))
        self.server.after("PATCH", path)
        return answer

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        await self._arrive("POST", path)
        self.server.events.append(dict(body))
        return body

    async def _arrive(self, verb: str, path: str) -> None:
        if self._permit is not None and verb != "GET":
            self._permit()
        await asyncio.sleep(0.002)
        self.server.before(verb, path)
