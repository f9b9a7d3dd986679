"""A ValidatingWebhookConfiguration that somebody else has made, in which we keep the CA that our webhook is known by."""

import base64
import binascii
from typing import Any

from controller.kube.client import Client

_PATH = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


class WebhookConfiguration:
    """The configuration by its name. All its webhooks are ours."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._path = f"{_PATH}/{name}"
        self._name = name

    def __str__(self) -> str:
        return f"ValidatingWebhookConfiguration {self._name}"

    async def bundle(self) -> bytes:
        """The PEM of the CAs that the API server trusts for it now; for several webhooks only what all of them have.

        Raises:
            NotFound: there is no such configuration.
        """
        bundles = {_bundle(one) for one in _webhooks(await self._client.get(self._path))}
        return bundles.pop() if len(bundles) == 1 else b""

    async def publish(self, bundle: bytes) -> bool:
        """Have the API server trust these CAs; False when it does already.

        Raises:
            Conflict: somebody else changed the configuration meanwhile.
            NotFound: there is no such configuration.
        """
        body = await self._client.get(self._path)
        webhooks = _webhooks(body)
        if all(_bundle(one) == bundle for one in webhooks):
            return False
        for one in webhooks:
            one["clientConfig"] = {**(one.get("clientConfig") or {}), "caBundle": base64.b64encode(bundle).decode()}
        # NB: a merge patch has the whole list or nothing of it; the version says that nobody's change is lost.
        version = {"resourceVersion": body["metadata"]["resourceVersion"]}
        await self._client.patch(self._path, {"metadata": version, "webhooks": webhooks})
        return True


def _webhooks(body: dict[str, Any]) -> list[dict[str, Any]]:
    return list(body.get("webhooks") or [])


def _bundle(webhook: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode((webhook.get("clientConfig") or {}).get("caBundle") or "")
    except binascii.Error:
        return b""
