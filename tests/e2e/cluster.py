"""The tests' own view of the API server: the `kubernetes` package and kubectl, both independent of the agent's client."""

import os
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from hack import lab
from tests.e2e import waiting
from tests.e2e.objects import FOREVER, Body, Predicate, for_people, is_running

GROUP, VERSION, PLURAL = "tallyman.dev", "v1alpha1", "containers"
KIND = "containers.tallyman.dev"
FINALIZER = "tallyman.dev/container"
NODE_LABEL = "tallyman.dev/node"
CRDS = Path(__file__).parents[2] / "crds"
NODES = "containernodes"
LEASE_NAMESPACE = "tallyman-system"
KUBECTL_SECONDS = 60.0


@dataclass
class Cluster:
    """A control plane that runs, with the CRDs installed."""

    plane: lab.ControlPlane
    objects: Any = field(init=False)
    core: Any = field(init=False)
    coordination: Any = field(init=False)

    def __post_init__(self) -> None:
        connect: Any = config.new_client_from_config
        api = connect(str(self.plane.kubeconfig))
        self.objects = client.CustomObjectsApi(api)
        self.core = client.CoreV1Api(api)
        self.coordination = client.CoordinationV1Api(api)
        self._kubectl = lab.find_kubectl()

    @property
    def kubeconfig(self) -> str:
        return str(self.plane.kubeconfig)

    def kubectl(self, *words: str, fails: bool = False, given: str = "") -> str:
        """Run kubectl; returns what it printed, or its error when it is to fail."""
        done = subprocess.run(
            [str(self._kubectl), *words],
            env={**os.environ, "KUBECONFIG": self.kubeconfig},
            input=given,
            capture_output=True,
            text=True,
            timeout=KUBECTL_SECONDS,
            check=False,
        )
        assert (done.returncode != 0) == fails, (
            f"kubectl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
        return done.stderr if fails else done.stdout

    def install_definitions(self) -> None:
        self.kubectl("apply", "--server-side", "-f", str(CRDS))
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))

    def make_lease_namespace(self) -> None:
        """The namespace in which agents and managers keep their Leases; a release of the chart brings its own."""
        self.core.create_namespace({"metadata": {"name": LEASE_NAMESPACE}})

    def namespace(self, image: str) -> "Namespace":
        """A new namespace."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace({"metadata": {"name": name}})
        return Namespace(self, name, image)

    def node(self, name: str) -> Body | None:
        """A ContainerNode, or None when there is none."""
        try:
            answer = self.objects.get_cluster_custom_object(GROUP, VERSION, NODES, name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return cast("Body", answer)

    def patch_node(self, name: str, body: Mapping[str, Any]) -> None:
        """Merge-patch a ContainerNode."""
        self.objects.patch_cluster_custom_object(
            GROUP, VERSION, NODES, name, dict(body), _content_type="application/merge-patch+json"
        )

    def write_node_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Merge-patch the status of a ContainerNode, as a manager would."""
        self.objects.patch_cluster_custom_object_status(
            GROUP, VERSION, NODES, name, {"status": dict(status)}, _content_type="application/merge-patch+json"
        )

    def delete_node(self, name: str) -> None:
        """Delete a ContainerNode; one that is gone is as good."""
        try:
            self.objects.delete_cluster_custom_object(GROUP, VERSION, NODES, name)
        except ApiException as error:
            if error.status != 404:
                raise

    def delete_nodes(self) -> None:
        """Delete all ContainerNodes: those that other modules have left behind would take containers."""
        for body in self.nodes():
            self.delete_node(body["metadata"]["name"])

    def nodes(self) -> list[Body]:
        """All ContainerNodes."""
        return list(self.objects.list_cluster_custom_object(GROUP, VERSION, NODES)["items"])

    def delete_lease(self, name: str, namespace: str = LEASE_NAMESPACE) -> None:
        """Delete a Lease; one that is gone is as good."""
        try:
            self.coordination.delete_namespaced_lease(name, namespace)
        except ApiException as error:
            if error.status != 404:
                raise

    def lease(self, node: str) -> Any:
        """The Lease of a node, or None when there is none."""
        try:
            return self.coordination.read_namespaced_lease(f"tallyman-node-{node}", LEASE_NAMESPACE)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def all(self, selector: str = "") -> list[Body]:
        """The Containers of all namespaces."""
        answer = self.objects.list_cluster_custom_object(GROUP, VERSION, PLURAL, label_selector=selector)
        return list(answer["items"])


@dataclass
class Namespace:
    """One namespace, and the Containers in it. `image` is what they run unless a test says otherwise."""

    cluster: Cluster
    name: str
    image: str

    def kubectl(self, *words: str, fails: bool = False, given: str = "") -> str:
        return self.cluster.kubectl("-n", self.name, *words, fails=fails, given=given)

    def apply(self, manifest: Mapping[str, Any], *words: str) -> str:
        """`kubectl apply` a manifest."""
        return self.kubectl("apply", *words, "-f", "-", given=yaml.safe_dump(dict(manifest)))

    def manifest(self, name: str, **spec: Any) -> dict[str, Any]:
        """A Container as one would write it."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Container",
            "metadata": {"name": name, "namespace": self.name},
            "spec": {"image": self.image, **spec},
        }

    def create(self, name: str, *, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Body:
        """Create a Container; it is killed at once when it is to stop, unless the spec says otherwise."""
        quick = {"terminationGracePeriodSeconds": 0}
        body = self.manifest(name, **(quick | spec))
        body["metadata"] |= dict(metadata or {})
        return self.create_as_it_is(body)

    def create_as_it_is(self, body: Mapping[str, Any]) -> Body:
        answer = self.cluster.objects.create_namespaced_custom_object(GROUP, VERSION, self.name, PLURAL, body)
        return cast("Body", answer)

    def sleeper(self, name: str, **more: Any) -> Body:
        """Create a Container that runs until it is stopped."""
        return self.create(name, **({"command": ["sleep", FOREVER]} | more))

    def shell(self, name: str, script: str, **more: Any) -> Body:
        """Create a Container that runs a shell script."""
        return self.create(name, **({"command": ["sh", "-c", script]} | more))

    def find(self, name: str) -> Body | None:
        """The object, or None when there is none."""
        try:
            answer = self.cluster.objects.get_namespaced_custom_object(GROUP, VERSION, self.name, PLURAL, name)
        except ApiException as error:
            if error.status == 404:
                return None
            raise
        return cast("Body", answer)

    def get(self, name: str) -> Body:
        found = self.find(name)
        assert found is not None, f"{name} is gone"
        return found

    def listed(self) -> dict[str, Body]:
        """All objects by name."""
        answer = self.cluster.objects.list_namespaced_custom_object(GROUP, VERSION, self.name, PLURAL)
        return {body["metadata"]["name"]: body for body in answer["items"]}

    def patch(self, name: str, body: Mapping[str, Any]) -> Body:
        """Merge-patch the object."""
        answer = self.cluster.objects.patch_namespaced_custom_object(
            GROUP, VERSION, self.name, PLURAL, name, dict(body), _content_type="application/merge-patch+json"
        )
        return cast("Body", answer)

    def write_status(self, name: str, status: Mapping[str, Any]) -> Body:
        """Merge-patch the status, as a manager would."""
        answer = self.cluster.objects.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            self.name,
            PLURAL,
            name,
            {"status": dict(status)},
            _content_type="application/merge-patch+json",
        )
        return cast("Body", answer)

    def change(self, name: str, **spec: Any) -> Body:
        """Change fields of the spec; None removes one."""
        return self.patch(name, {"spec": spec})

    def delete(self, name: str) -> None:
        """Ask for the object's deletion; one that is gone is as good."""
        try:
            self.cluster.objects.delete_namespaced_custom_object(GROUP, VERSION, self.name, PLURAL, name)
        except ApiException as error:
            if error.status != 404:
                raise

    def wait(self, name: str, predicate: Predicate, what: str = "", *, seconds: float = waiting.SECONDS) -> Body:
        """Wait for what an object must come to, and return the object."""

        def look() -> Body | None:
            found = self.find(name)
            return found if found is not None and predicate(found) else None

        def seen() -> str:
            found = self.find(name)
            return for_people(found) if found else f"{name} is gone"

        found = waiting.until(look, f"{name} {what}".strip(), seconds=seconds, seen=seen)
        assert found is not None
        return found

    def wait_all(
        self, names: Iterable[str], predicate: Predicate, what: str = "", *, seconds: float = waiting.SECONDS
    ) -> dict[str, Body]:
        """Wait until all of these objects have come to it, looking at all of them at once."""
        wanted = list(names)

        def missing() -> list[str]:
            listed = self.listed()
            return [
                for_people(listed[name]) if name in listed else f"{name} is gone"
                for name in wanted
                if name not in listed or not predicate(listed[name])
            ]

        waiting.empty(missing, what or "all of them", seconds=seconds)
        listed = self.listed()
        return {name: listed[name] for name in wanted}

    def running(self, name: str) -> Body:
        """Wait until the container runs."""
        return self.wait(name, is_running, "runs")

    def wait_gone(self, *names: str, seconds: float = waiting.SECONDS) -> None:
        """Wait until the objects are gone; all of them when no name is given."""

        def left() -> list[str]:
            return [for_people(body) for name, body in self.listed().items() if name in names or not names]

        waiting.empty(left, f"{', '.join(names) or 'all'} gone", seconds=seconds)

    def delete_all(self, seconds: float = waiting.SECONDS) -> None:
        """Delete everything and wait until it is gone."""
        for name in self.listed():
            self.delete(name)
        self.wait_gone(seconds=seconds)

    def strip_finalizers(self) -> None:
        """Let everything go that a failed test has left; what goes of itself meanwhile is as good."""
        for name in self.listed():
            try:
                self.patch(name, {"metadata": {"finalizers": None}})
            except ApiException as error:
                if error.status != 404:
                    raise

    def events(self, name: str, reason: str = "") -> list[Any]:
        """The Events about an object, of one reason or of all."""
        listed = self.cluster.core.list_namespaced_event(
            self.name, field_selector=f"involvedObject.name={name},involvedObject.kind=Container"
        )
        return [event for event in listed.items if reason in ("", event.reason)]
