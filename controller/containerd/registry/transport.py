"""HTTP to one server of a registry: TLS, proxies, redirections, timeouts, and errors as types of ours.

It knows no repositories and no manifests. What it never does: follow a redirection to anything but http(s), from https to
http, or with the headers of one server to another; wait without end; decompress.
"""

import os
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from urllib.request import getproxies_environment, proxy_bypass

import aiohttp
from yarl import URL

from controller.containerd.image_errors import (
    ImageError,
    InsecureRegistry,
    RegistryConfigInvalid,
    RegistryRefused,
    RegistryUnavailable,
    TooLarge,
)
from controller.containerd.registry.hosts import Host

CONNECT_TIMEOUT = 30.0
"""Seconds for a connection, TLS included."""

STALL_TIMEOUT = 60.0
"""Seconds without a byte after which a server is given up."""

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUFFER_BYTES = 1 << 20


class Transport:
    """A pool of connections to all servers; `async with` it or `close()` it."""

    def __init__(self, connect_timeout: float = CONNECT_TIMEOUT, stall_timeout: float = STALL_TIMEOUT) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, sock_read=stall_timeout)
        self._session: aiohttp.ClientSession | None = None
        self._tls: dict[tuple[object, ...], ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self, host: Host, method: str, url: URL, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request, follow redirections, and give the response while the block runs, whatever its status.

        Raises `RegistryUnavailable`, `InsecureRegistry`, `RegistryRefused`. The body is to be read by what is below.
        """
        with translated(url):
            response = await self._follow(host, method, url, headers)
        try:
            yield response
        finally:
            response.close()

    async def _follow(self, host: Host, method: str, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        origin, sent = url.origin(), {"Accept-Encoding": "identity", **headers}
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._once(host, method, url, sent)
            if response.status not in _REDIRECTS:
                return response
            response.close()
            url = _redirected(url, response.headers.get("Location", ""))
            if url.origin() != origin:
                sent.pop("Authorization", None)
        raise RegistryRefused(f"{origin.host_port_subcomponent}: more than {MAX_REDIRECTS} redirections")

    async def _once(self, host: Host, method: str, url: URL, headers: Mapping[str, str]) -> aiohttp.ClientResponse:
        # As in containerd, a host's TLS settings hold for its token server and redirections too; its headers do not.
        own = host.headers if url.origin() == URL(host.base).origin() else ()
        return await self._open_session().request(
            method,
            url,
            headers=[*headers.items(), *own],
            allow_redirects=False,
            ssl=self._tls_for(host),
            proxy=_proxy_for(url),
        )

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=_BUFFER_BYTES,
                headers={"User-Agent": "tallyman"},
            )
        return self._session

    def _tls_for(self, host: Host) -> ssl.SSLContext:
        """Return the TLS settings of a server; made once, since reading all authorities takes tens of milliseconds."""
        key = (host.skip_verify, host.ca, host.client)
        if key not in self._tls:
            self._tls[key] = _tls_context(host)
        return self._tls[key]


@contextmanager
def translated(url: URL) -> Iterator[None]:
    """Raise what the connection to `url` raises in the block as an error of ours."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise explain(url, error) from error


async def read_bounded(response: aiohttp.ClientResponse, limit: int, what: str) -> bytes:
    """Return the whole body; raises `TooLarge` above `limit` bytes, and as `request` does."""
    body = bytearray()
    with translated(response.url):
        async for data in response.content.iter_any():
            body += data
            if len(body) > limit:
                raise TooLarge(f"{what} has more than {limit} bytes")
    return bytes(body)


async def chunks(response: aiohttp.ClientResponse, size: int) -> AsyncIterator[bytes]:
    """Yield the body in pieces of `size` bytes, the last one shorter; raises as `request` does.

    What came before the connection was cut is yielded before the error is raised: it need not be fetched again.
    """
    piece = bytearray()
    source = response.content.iter_any()
    failure: ImageError | None = None
    while True:
        try:
            with translated(response.url):
                data = await anext(source, None)
        except ImageError as error:
            failure = error
            break
        if data is None:
            break
        piece += data
        while len(piece) >= size:
            yield bytes(piece[:size])
            del piece[:size]
    if piece:
        yield bytes(piece)
    if failure is not None:
        raise failure


def explain(url: URL, error: Exception) -> ImageError:
    """Return the error of ours for one of the connection to `url`."""
    server = url.host_port_subcomponent
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = getattr(error.certificate_error, "verify_message", error.certificate_error)
        return InsecureRegistry(
            f"{server}: its TLS certificate is not trusted ({reason}); hosts.toml can name its ca or set skip_verify"
        )
    return RegistryUnavailable(f"{server}: {_reason(error)}")


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "no such host"
        case aiohttp.ClientSSLError():
            return "TLS failed; a registry that speaks plain http must be named so in hosts.toml"
        case TimeoutError():
            return "no answer in time"
        case aiohttp.ClientConnectorError():
            return os.strerror(error.errno).lower() if error.errno else "cannot connect"
        case aiohttp.ClientPayloadError() | aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "the connection was cut"
        case _:
            return type(error).__name__


def _redirected(url: URL, location: str) -> URL:
    try:
        target = url.join(URL(location))
    except ValueError:
        raise RegistryRefused(f"{url.host_port_subcomponent}: a redirection to something that is not a URL") from None
    if not location or target.scheme not in {"http", "https"} or target.host is None:
        raise RegistryRefused(f"{url.host_port_subcomponent}: a redirection to something that is not http or https")
    if url.scheme == "https" and target.scheme == "http":
        raise InsecureRegistry(
            f"{url.host_port_subcomponent}: a redirection from https to http ({target.host_port_subcomponent})"
        )
    return target


def _tls_context(host: Host) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        for authority in host.ca:
            context.load_verify_locations(authority)
        for certificate, key in host.client:
            context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise RegistryConfigInvalid(f"certificates for {host.authority}: {error}") from error
    if host.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _proxy_for(url: URL) -> str | None:
    """Return the proxy that the environment names for a URL. aiohttp's own way would also hand out what is in a netrc."""
    host = url.host or ""
    if host in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(f"{host}:{url.port}"):
        return None
    return getproxies_environment().get(url.scheme)
