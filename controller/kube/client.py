"""A small asynchronous client of the Kubernetes API: the few requests that an agent makes, and nothing else.

The `kubernetes` package would cost every node more memory than the rest of the agent; kopf logs in and watches, and this client
reads and patches with the same credentials. It knows paths and verbs, no kinds.
"""

import asyncio
import base64
import json
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import aiohttp
import kopf
import yaml

from controller.kube import errors
from controller.kube.tls import load_pair

REQUEST_SECONDS = 15.0
MERGE_PATCH = "application/merge-patch+json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
Observer = Callable[[str, str], None]
"""Called after each request with the verb and the outcome (`ok`, or the error's class name)."""
Permit = Callable[[], float]
"""Called before each request that changes something; returns the seconds that it may take, or raises when it must not be sent."""


def login() -> kopf.ConnectionInfo:
    """Credentials from the service account of the Pod, else from the kubeconfig.

    Raises:
        Forbidden: there are neither.
    """
    settings = kopf.OperatorSettings()
    try:
        info = _service_account(settings) or kopf.login_with_kubeconfig(settings=settings)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError, kopf.LoginError) as error:
        raise errors.Forbidden(f"the kubeconfig can't be used: {error}; check KUBECONFIG") from error
    if info is None:
        raise errors.Forbidden("no credentials for the API server: set KUBECONFIG or run with a service account")
    return info


def _service_account(settings: kopf.OperatorSettings) -> kopf.ConnectionInfo | None:
    """Credentials of the Pod's service account, at the address that the kubelet tells every container.

    Not at the cluster's DNS name: an agent in the node's network asks the node's resolver, which does not know it.
    """
    info = kopf.login_with_service_account(settings=settings)
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if info is None or not host:
        return info
    return replace(info, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")


class Client:
    """One connection pool to the API server. Credentials are read again when the server no longer accepts them."""

    def __init__(self, observer: Observer | None = None, *, permit: Permit | None = None) -> None:
        self._observer = observer or (lambda _verb, _outcome: None)
        self._permit = permit
        self._session: aiohttp.ClientSession | None = None
        self._server = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, *, query: Mapping[str, str] | None = None, accept: str = "application/json") -> Any:
        """Read one object or one list."""
        return await self._request("GET", path, query=query, headers={"Accept": accept})

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Apply a JSON merge patch (RFC 7386) and return the object as it is then.

        A `metadata.uid` or `metadata.resourceVersion` in the body is a precondition: `Conflict` when it does not hold.
        """
        return await self._request("PATCH", path, body=body, headers={"Content-Type": MERGE_PATCH})

    async def create(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create an object in the collection at `path`."""
        return await self._request("POST", path, body=body, headers={"Content-Type": "application/json"})

    async def delete(self, path: str, uid: str) -> Any:
        """Delete the object with this uid; `Conflict` when the name belongs to another one."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        return await self._request("DELETE", path, body=body, headers={"Content-Type": "application/json"})

    async def _request(
        self,
        verb: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            seconds = None if self._permit is None or verb == "GET" else self._permit()
            async with asyncio.timeout(seconds):
                answer = await self._send(verb, path, headers=headers, query=query, body=body)
        except TimeoutError as error:
            self._observer(verb, "Unavailable")
            raise errors.Unavailable("the time for this request is over") from error
        except errors.KubeError as error:
            self._observer(verb, type(error).__name__)
            raise
        self._observer(verb, "ok")
        return answer

    async def _send(
        self, verb: str, path: str, *, headers: Mapping[str, str], query: Mapping[str, str] | None, body: Any
    ) -> Any:
        session = await self._connected()
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        try:
            async with session.request(verb, self._server + path, params=query, data=data, headers=headers) as response:
                raw = await response.read()
                if response.status == 401:
                    await self.close()
                if response.status >= 400:
                    raise errors.from_status(response.status, _message(raw))
                return json.loads(raw)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise errors.Unavailable(f"the API server can't be reached: {type(error).__name__}") from error

    async def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            info = login()
            self._server = info.server.rstrip("/")
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls(info), limit=32),
                headers={**info.as_http_headers(), "User-Agent": "tallyman"},
                timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
            )
        return self._session


def _message(raw: bytes) -> str:
    """The message of a `Status` answer, bounded."""
    try:
        return str(json.loads(raw).get("message", ""))[:2000] or "no message"
    except (ValueError, AttributeError):
        return "an answer that is not JSON"


def tls(info: kopf.ConnectionInfo) -> ssl.SSLContext:
    """The TLS context for a connection, with the client certificate if there is one."""
    context = ssl.create_default_context(
        cafile=_text(info.ca_path), cadata=base64.b64decode(info.ca_data).decode() if info.ca_data else None
    )
    if info.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if info.certificate_path and info.private_key_path:
        context.load_cert_chain(os.fspath(info.certificate_path), os.fspath(info.private_key_path))
    elif info.certificate_data and info.private_key_data:
        load_pair(context, base64.b64decode(info.certificate_data), base64.b64decode(info.private_key_data))
    return context


def _text(path: Any) -> str | None:
    return None if path is None else os.fsdecode(path)
