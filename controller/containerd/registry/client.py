"""What an image registry is asked (OCI distribution specification, "pull"): which manifest, its bytes, a blob's bytes.

Mirrors are tried in order and the registry itself last. What comes is checked against its digest where it is read whole;
a blob's stream is checked by whoever reads it to its end.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
from yarl import URL

from controller.containerd import digests
from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import (
    BlobNotFound,
    DigestMismatch,
    ImageError,
    ManifestNotFound,
    RegistryConfigInvalid,
    RegistryRefused,
    TooLarge,
    Unauthorized,
)
from controller.containerd.media_types import MANIFEST_ACCEPT
from controller.containerd.registry.answers import error_for
from controller.containerd.registry.authorization import MAX_TOKEN_BYTES, Challenge, Token, Tokens
from controller.containerd.registry.hosts import Host, hosts_for, is_upstream
from controller.containerd.registry.reference import ImageReference
from controller.containerd.registry.transport import Transport, chunks, read_bounded

MAX_MANIFEST_BYTES = 4 << 20
CHUNK_BYTES = 1 << 20
"""Bytes of a blob that are handed on at a time."""

T = TypeVar("T")


@dataclass(frozen=True)
class BlobStream:
    """A blob on its way. `offset` is where its first byte belongs: 0 when the server did not heed the wish to resume."""

    offset: int
    chunks: AsyncIterator[bytes]


class Registry:
    """A client of all registries, by the node's `hosts.toml` files below `hosts_directory`. `async with` or `close()` it."""

    def __init__(self, hosts_directory: Path | None = None, transport: Transport | None = None) -> None:
        self._hosts_directory = hosts_directory
        self._transport = transport or Transport()
        self._tokens = Tokens()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def resolve(self, reference: ImageReference) -> Descriptor:
        """Return what a tag or digest stands for now.

        Raises `ManifestNotFound`, `Unauthorized`, `RegistryUnavailable` or another `ImageError`.
        """

        async def ask(host: Host) -> Descriptor:
            return await self._head(host, reference) or await self._get_descriptor(host, reference)

        return await self._first(reference, "resolve", ask)

    async def manifest(self, reference: ImageReference, descriptor: Descriptor) -> bytes:
        """Return the bytes of a manifest or index, checked against its digest; raises as `resolve`, and `TooLarge`."""

        async def ask(host: Host) -> bytes:
            body, _ = await self._get_manifest(host, reference, descriptor.digest)
            if digests.digest_of(body, descriptor.digest) != descriptor.digest:
                raise DigestMismatch(f"{host.authority} sent something else than manifest {descriptor.digest}")
            return body

        return await self._first(reference, "pull", ask)

    @asynccontextmanager
    async def blob(
        self, reference: ImageReference, descriptor: Descriptor, offset: int = 0
    ) -> AsyncIterator[BlobStream]:
        """Give a blob's bytes from `offset` on, or from 0, see `BlobStream`. They are not checked here.

        Raises `BlobNotFound`, `Unauthorized`, `RegistryUnavailable` or another `ImageError`, also while they are read.
        """
        async with AsyncExitStack() as stack:

            async def ask(host: Host) -> BlobStream:
                return await stack.enter_async_context(self._blob_from(host, reference, descriptor, offset))

            yield await self._first(reference, "pull", ask)

    async def small_blob(self, reference: ImageReference, descriptor: Descriptor) -> bytes:
        """Return a whole blob of a size to be held in memory, checked against its digest; raises as `blob`."""
        body = bytearray()
        async with self.blob(reference, descriptor) as stream:
            async for chunk in stream.chunks:
                body += chunk
                if len(body) > descriptor.size:
                    break
        data = bytes(body)
        if digests.digest_of(data, descriptor.digest) != descriptor.digest:
            raise DigestMismatch(
                f"{reference.host}/{reference.repository} sent something else than {descriptor.digest}"
            )
        return data

    async def _first(self, reference: ImageReference, capability: str, ask: Callable[[Host], Awaitable[T]]) -> T:
        """Return the answer of the first server that has one; raises the last one's error, naming the others'."""
        failures: list[tuple[Host, ImageError]] = []
        for host in hosts_for(reference, self._hosts_directory):
            if capability not in host.capabilities:
                continue
            try:
                return await ask(host)
            except ImageError as error:
                failures.append((host, error))
        if not failures:
            raise RegistryConfigInvalid(f"hosts.toml for {reference.host} names no server that may {capability}")
        raise _summed_up(failures)

    async def _head(self, host: Host, reference: ImageReference) -> Descriptor | None:
        """Return the descriptor that a HEAD tells, or None when the server does not tell enough."""
        path = f"manifests/{reference.target}"
        async with self._request(host, reference, "HEAD", path, {"Accept": MANIFEST_ACCEPT}) as response:
            if response.status in {400, 405, 501}:
                return None
            await self._check(response, host, reference, ManifestNotFound, f"manifest {reference.target}")
            digest = response.headers.get("Docker-Content-Digest", "")
            size = response.headers.get("Content-Length", "")
            media_type = _media_type(response)
        if not digests.is_valid(digest) or not re.fullmatch(r"\d{1,15}", size) or not media_type:
            return None
        if reference.digest not in {None, digest}:
            raise DigestMismatch(f"{host.authority} has {digest} where {reference.digest} was asked for")
        if int(size) > MAX_MANIFEST_BYTES:
            raise TooLarge(f"the manifest of {reference.name} has {size} bytes; {MAX_MANIFEST_BYTES} are allowed")
        return Descriptor(media_type, digest, int(size))

    async def _get_descriptor(self, host: Host, reference: ImageReference) -> Descriptor:
        """Return the descriptor of what a GET brings, for servers whose HEAD does not tell."""
        body, media_type = await self._get_manifest(host, reference, reference.target)
        digest = digests.digest_of(body, reference.digest or "sha256:")
        if reference.digest not in {None, digest}:
            raise DigestMismatch(f"{host.authority} sent something else than manifest {reference.digest}")
        return Descriptor(media_type, digest, len(body))

    async def _get_manifest(self, host: Host, reference: ImageReference, target: str) -> tuple[bytes, str]:
        headers = {"Accept": MANIFEST_ACCEPT}
        async with self._request(host, reference, "GET", f"manifests/{target}", headers) as response:
            await self._check(response, host, reference, ManifestNotFound, f"manifest {target}")
            body = await read_bounded(response, MAX_MANIFEST_BYTES, f"the manifest of {reference.name}")
            return body, _media_type(response)

    @asynccontextmanager
    async def _blob_from(
        self, host: Host, reference: ImageReference, descriptor: Descriptor, offset: int
    ) -> AsyncIterator[BlobStream]:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        path = f"blobs/{descriptor.digest}"
        async with self._request(host, reference, "GET", path, headers) as response:
            await self._check(response, host, reference, BlobNotFound, f"blob {descriptor.digest}")
            start = _start_of(response, offset)
            yield BlobStream(start, chunks(response, CHUNK_BYTES))

    @asynccontextmanager
    async def _request(
        self, host: Host, reference: ImageReference, method: str, path: str, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask one server about a repository, with a token if it wants one, and give the response whatever its status."""
        url = URL(f"{host.base}/{reference.repository}/{path}")
        if not is_upstream(host, reference.host):
            url = url.update_query(ns=reference.host)
        async with AsyncExitStack() as stack:
            for attempt in range(2):
                token = self._tokens.header(host.base, reference.repository)
                response = await stack.enter_async_context(
                    self._transport.request(host, method, url, {**headers, **token})
                )
                if response.status != 401 or attempt or not await self._get_token(host, reference, response):
                    break
            yield response

    async def _get_token(self, host: Host, reference: ImageReference, refusal: aiohttp.ClientResponse) -> bool:
        """Get the token that a refusal asks for; False when it asks for something that we do not have."""
        challenge = Challenge.parse(refusal.headers.get("WWW-Authenticate", ""))
        url = challenge.token_url(reference.repository) if challenge.scheme == "bearer" else None
        if url is None or (refusal.url.scheme == "https" and url.scheme != "https"):
            return False
        async with self._transport.request(host, "GET", url, {}) as response:
            if response.status >= 500 or response.status == 429:
                raise error_for(response, b"", f"{url.host_port_subcomponent} gave no token for {reference.repository}")
            if response.status != 200:
                return False
            token = Token.parse(
                await read_bounded(response, MAX_TOKEN_BYTES, f"the token of {url.host_port_subcomponent}")
            )
        if token is None:
            raise RegistryRefused(f"{url.host_port_subcomponent}: its answer holds no token")
        self._tokens.keep(host.base, reference.repository, token)
        return True

    async def _check(
        self,
        response: aiohttp.ClientResponse,
        host: Host,
        reference: ImageReference,
        missing: type[ImageError],
        what: str,
    ) -> None:
        """Raise for a status that is not success."""
        where = f"{host.authority}/{reference.repository}"
        if response.status in {200, 206}:
            return
        if response.status == 404:
            raise missing(f"{where}: no {what}")
        if response.status in {401, 403}:
            raise Unauthorized(f"{where}: not allowed without other credentials, or there is no such repository")
        raise error_for(response, await _some_of(response), f"{where}: {what}")


async def _some_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an error's body; nothing when there is too much of it."""
    try:
        return await read_bounded(response, 64 << 10, "the answer")
    except ImageError:
        return b""


def _start_of(response: aiohttp.ClientResponse, offset: int) -> int:
    """Return where a blob's response begins: `offset` if the server says that it heeded the range."""
    if response.status != 206:
        return 0
    begin = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
    if begin is None or int(begin[1]) != offset:
        raise RegistryRefused(f"{response.url.host_port_subcomponent}: sent another range than the one from {offset}")
    return offset


def _media_type(response: aiohttp.ClientResponse) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip()


def _summed_up(failures: list[tuple[Host, ImageError]]) -> ImageError:
    """Return the error to raise when every server failed: the registry's own, after a word on its mirrors."""
    error = failures[-1][1]
    if len(failures) > 1:
        mirrors = "; ".join(dict.fromkeys(str(one) for _, one in failures[:-1] if str(one) != str(error)))
        if mirrors:
            error.args = (f"{error} (mirrors: {mirrors})", *error.args[1:])
    return error
