"""A manager with its admission webhook as a process, and what makes the API server ask it: a configuration with a URL on this machine."""

import base64
import json
import os
import ssl
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from controller.manager import certificates
from controller.manager.certificates import Keyring
from hack import lab
from hack.lab import ports
from tests.e2e import waiting
from tests.e2e.cluster import KUBECTL_SECONDS, Cluster, Namespace
from tests.e2e.manager_process import ManagerProcess

HOST = "127.0.0.1"
WEBHOOK = "containers.tallyman.dev"
SECRET = "tallyman-webhook"
LABEL = "tallyman-test/door"
START_SECONDS = 30.0
CHECK_SECONDS = "0.2"


@dataclass
class DoorKeeper(ManagerProcess):
    """A manager whose webhook this machine's API server can call. `namespace` is that of its Leases and of its Secret."""

    namespace: str = ""

    def __post_init__(self) -> None:
        self.settings = {
            "TALLYMAN_LEASE_NAMESPACE": self.namespace,
            "TALLYMAN_WEBHOOK_ADDRESS": f"{HOST}:{self.webhook_port}",
            "TALLYMAN_WEBHOOK_HOSTS": HOST,
            "TALLYMAN_WEBHOOK_CHECK_SECONDS": CHECK_SECONDS,
            **self.settings,
        }

    @property
    def webhook_port(self) -> int:
        return ports.remembered_port(self.directory / "webhook-port")

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.webhook_port}/validate"

    @property
    def hosts(self) -> list[str]:
        """What its certificate is for."""
        return [HOST, f"tallyman-webhook.{self.namespace}.svc"]

    def begin(self) -> None:
        """Start it, and do not wait until it is ready."""
        self.daemon.start(ready=lambda: True, timeout=START_SECONDS)

    def serial(self) -> int | None:
        """The serial number of the certificate that it shows now; None when nobody can connect."""
        try:
            shown = ssl.get_server_certificate((HOST, self.webhook_port), timeout=5)
        except OSError:
            return None
        return x509.load_pem_x509_certificate(shown.encode()).serial_number


@dataclass
class Door:
    """A configuration that sends the Containers of some namespaces to one webhook. Its name is that of its label's value too."""

    cluster: Cluster
    process: DoorKeeper
    name: str = field(default_factory=lambda: f"door-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self._api: Any = client.AdmissionregistrationV1Api(self.cluster.core.api_client)

    def install(self, *, policy: str = "Fail", **webhook: Any) -> None:
        """Make the configuration as the chart does, but for its URL."""
        rule = {
            "apiGroups": ["tallyman.dev"],
            "apiVersions": ["v1alpha1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": ["containers"],
            "scope": "Namespaced",
        }
        whole = {
            "name": WEBHOOK,
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": policy,
            "matchPolicy": "Equivalent",
            "timeoutSeconds": 5,
            "namespaceSelector": {"matchLabels": {LABEL: self.name}},
            "rules": [rule],
            "clientConfig": {"url": self.process.url},
            **webhook,
        }
        self._api.create_validating_webhook_configuration({"metadata": {"name": self.name}, "webhooks": [whole]})

    def remove(self) -> None:
        try:
            self._api.delete_validating_webhook_configuration(self.name)
        except ApiException as error:
            if error.status != 404:
                raise

    def change(self, **webhook: Any) -> None:
        """Change fields of the webhook in the configuration."""
        body = self._api.read_validating_webhook_configuration(self.name)
        changed = self._api.api_client.sanitize_for_serialization(body)["webhooks"][0] | webhook
        self._api.patch_validating_webhook_configuration(
            self.name, [{"op": "replace", "path": "/webhooks/0", "value": changed}]
        )

    def trusted(self) -> bytes:
        """The CA bundle that the API server has."""
        webhook = self._api.read_validating_webhook_configuration(self.name).webhooks[0]
        text = webhook.client_config.ca_bundle
        return b"" if text is None else decoded(text)

    def guard(self, namespace: Namespace) -> None:
        """Have the Containers of a namespace checked from now on."""
        self.mark(namespace)
        waiting.until(lambda: BAD_SAYS in refusal(namespace), "a bad Container is refused")

    def unguard(self, namespace: Namespace) -> None:
        """Have them checked no longer."""
        self._label(namespace, None)
        waiting.until(lambda: not refusal(namespace), "a bad Container is let in")

    def mark(self, namespace: Namespace) -> None:
        """As `guard`, for a door that does not open yet."""
        self._label(namespace, self.name)

    def _label(self, namespace: Namespace, value: str | None) -> None:
        self.cluster.core.patch_namespace(namespace.name, {"metadata": {"labels": {LABEL: value}}})

    def keyring(self) -> Keyring:
        """What the Secret holds; an empty one when there is none."""
        try:
            data = self.cluster.core.read_namespaced_secret(SECRET, self.process.namespace).data
        except ApiException as error:
            if error.status != 404:
                raise
            return Keyring()
        return certificates.read({name: decoded(value) for name, value in (data or {}).items()})

    def store(self, data: Mapping[str, bytes]) -> None:
        """Write into the Secret, and make it when there is none."""
        body = {"data": {name: encoded(value) for name, value in data.items()}}
        try:
            self.cluster.core.patch_namespaced_secret(SECRET, self.process.namespace, body)
        except ApiException as error:
            if error.status != 404:
                raise
            self.cluster.core.create_namespaced_secret(self.process.namespace, {"metadata": {"name": SECRET}, **body})


BAD: dict[str, Any] = {"resources": {"limits": {"cpu": "500m"}, "requests": {"cpu": "1"}}}
"""What the schema lets pass and the rules do not."""
BAD_SAYS = "spec.resources.requests.cpu: must not be above the limit of '500m'; got '1'"


def refusal(namespace: Namespace, *, good: bool = False) -> str:
    """What is said of a bad Container, or of a good one, by way of a trial; empty when it is let in."""
    body = namespace.manifest("trial", **({} if good else BAD))
    try:
        namespace.cluster.objects.create_namespaced_custom_object(
            "tallyman.dev", "v1alpha1", namespace.name, "containers", body, dry_run="All"
        )
    except ApiException as error:
        return message(error)
    return ""


def message(error: ApiException) -> str:
    """What the API server says of a request that it refuses."""
    return str(json.loads(str(error.body))["message"])


def apply(namespace: Namespace, manifest: str, *words: str) -> tuple[int, str, str]:
    """`kubectl apply` a manifest: exit code, output, and what is said to the user."""
    done = subprocess.run(
        [str(lab.find_kubectl()), "-n", namespace.name, "apply", *words, "-f", "-"],
        env={**os.environ, "KUBECONFIG": namespace.cluster.kubeconfig},
        input=manifest,
        capture_output=True,
        text=True,
        timeout=KUBECTL_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def decoded(text: str) -> bytes:
    return base64.b64decode(text)
