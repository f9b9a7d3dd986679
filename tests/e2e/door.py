"""The admission webhook as a process, and what makes the API server ask it: a configuration with a URL on this machine."""

import base64
import json
import os
import ssl
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from controller.manager import certificates
from controller.manager.certificates import Keyring
from hack import lab
from hack.lab import ports
from hack.lab.daemon import Daemon
from tests.e2e import waiting
from tests.e2e.cluster import KUBECTL_SECONDS, Cluster, Namespace

HOST = "127.0.0.1"
WEBHOOK = "containers.tallyman.dev"
SECRET = "tallyman-webhook"
LABEL = "tallyman-test/door"
START_SECONDS = 30.0
CHECK_SECONDS = "0.2"
ROOT = Path(__file__).parents[2]


@dataclass
class WebhookProcess:
    """One process that answers; `start`, `kill` and `stop` may be repeated."""

    directory: Path
    kubeconfig: str
    namespace: str
    settings: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def port(self) -> int:
        return ports.remembered_port(self.directory / "port")

    @cached_property
    def daemon(self) -> Daemon:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/root"),
            "PYTHONPATH": str(ROOT),
            "KUBECONFIG": self.kubeconfig,
            "TALLYMAN_WEBHOOK_ADDRESS": f"{HOST}:{self.port}",
            "TALLYMAN_WEBHOOK_HOSTS": HOST,
            "TALLYMAN_WEBHOOK_CHECK_SECONDS": CHECK_SECONDS,
            **self.settings,
        }
        program = [sys.executable, "-m", "tests.e2e.webhook_program", "--lease-namespace", self.namespace]
        return Daemon("webhook", self.directory, program, environment)

    def start(self, *, serves: bool = True) -> None:
        """Start it unless it runs, and return when it shows a certificate."""
        self.daemon.start(ready=(lambda: self.serial() is not None) if serves else lambda: True, timeout=START_SECONDS)

    def kill(self) -> None:
        self.daemon.kill()

    def stop(self) -> None:
        self.daemon.stop(grace=15)

    def serial(self) -> int | None:
        """The serial number of the certificate that it shows now; None when nobody can connect."""
        try:
            shown = ssl.get_server_certificate((HOST, self.port), timeout=5)
        except OSError:
            return None
        return x509.load_pem_x509_certificate(shown.encode()).serial_number

    @property
    def log(self) -> str:
        return self.daemon.log.read_text(errors="replace") if self.daemon.log.exists() else ""


@dataclass
class Door:
    """A configuration that sends the Containers of some namespaces to one webhook. Its name is that of its label's value too."""

    cluster: Cluster
    process: WebhookProcess
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
            "clientConfig": {"url": f"https://{HOST}:{self.process.port}/validate"},
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
        waiting.until(lambda: BAD_SAYS in self.refusal(namespace), "a bad Container is refused")

    def unguard(self, namespace: Namespace) -> None:
        """Have them checked no longer."""
        self._label(namespace, None)
        waiting.until(lambda: not self.refusal(namespace), "a bad Container is let in")

    def mark(self, namespace: Namespace) -> None:
        """As `guard`, for a door that does not open yet."""
        self._label(namespace, self.name)

    def _label(self, namespace: Namespace, value: str | None) -> None:
        self.cluster.core.patch_namespace(namespace.name, {"metadata": {"labels": {LABEL: value}}})

    def refusal(self, namespace: Namespace, *, good: bool = False) -> str:
        """What is said of a bad Container, or of a good one, by way of a trial; empty when it is let in."""
        body = namespace.manifest("trial", **({} if good else BAD))
        try:
            self.cluster.objects.create_namespaced_custom_object(
                "tallyman.dev", "v1alpha1", namespace.name, "containers", body, dry_run="All"
            )
        except ApiException as error:
            return message(error)
        return ""

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
