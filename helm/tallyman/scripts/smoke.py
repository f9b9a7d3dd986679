"""`helm test`: runs one Container to its end and removes it. Uses nothing but the library; what it is told is in its environment.

SMOKE_NAMESPACE, SMOKE_NAME, SMOKE_IMAGE, SMOKE_SECONDS; SMOKE_SERVER and SMOKE_ACCOUNT for another place than a Pod's
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path(os.environ.get("SMOKE_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
REQUEST_SECONDS = 10
PAUSE_SECONDS = 0.5


def server() -> str:
    """Where the API server is."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    return os.environ.get("SMOKE_SERVER") or f"https://{f'[{host}]' if ':' in host else host}:{port}"


class Containers:
    """The Containers of one namespace."""

    def __init__(self, namespace: str) -> None:
        self._url = f"{server()}/apis/tallyman.dev/v1alpha1/namespaces/{namespace}/containers"
        self._tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def request(self, verb: str, name: str = "", body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """One request; None when there is no such object."""
        request = urllib.request.Request(
            f"{self._url}/{name}".rstrip("/"),
            method=verb,
            data=json.dumps(body).encode() if body else None,
            headers={
                "Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=self._tls) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 404:
                    return None
                raise SystemExit(f"{verb} {name}: {error.code} {error.read().decode(errors='replace')}") from error


def manifest(name: str, image: str) -> dict[str, Any]:
    """A Container that ends at once, and well."""
    return {
        "apiVersion": "tallyman.dev/v1alpha1",
        "kind": "Container",
        "metadata": {"name": name},
        "spec": {"image": image, "command": ["true"], "restartPolicy": {"name": "Never"}},
    }


def ended(body: dict[str, Any] | None) -> bool:
    """Whether it has ended."""
    return body is not None and (body.get("status") or {}).get("state") == "Exited"


def wait(containers: Containers, name: str, deadline: float, *, gone: bool) -> dict[str, Any]:
    """Look until it has ended, or is gone; says what there is when it takes too long."""
    while True:
        body = containers.request("GET", name)
        if (body is None) if gone else ended(body):
            return body or {}
        if time.monotonic() > deadline:
            status = (body or {}).get("status") or {"state": "no status: is the agent running, and the manager?"}
            raise SystemExit(
                f"{name} is not {'gone' if gone else 'at its end'} in time:\n{json.dumps(status, indent=2)}"
            )
        time.sleep(PAUSE_SECONDS)


def main() -> None:
    """Run the Container to its end, and remove it."""
    name, image = os.environ["SMOKE_NAME"], os.environ["SMOKE_IMAGE"]
    containers, deadline = (
        Containers(os.environ["SMOKE_NAMESPACE"]),
        time.monotonic() + float(os.environ["SMOKE_SECONDS"]),
    )
    containers.request("DELETE", name)
    wait(containers, name, deadline, gone=True)
    containers.request("POST", body=manifest(name, image))
    try:
        status = wait(containers, name, deadline, gone=False)["status"]
    finally:
        containers.request("DELETE", name)
    wait(containers, name, deadline, gone=True)
    if status.get("exitCode") != 0:
        raise SystemExit(f"{name} ended with {status.get('exitCode')}:\n{json.dumps(status, indent=2)}")
    sys.stdout.write(f"{name} ran on {status.get('nodeName')}, ended with 0 and is gone\n")


if __name__ == "__main__":
    main()
