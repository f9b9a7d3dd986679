"""The httpGet check: one request over a socket that is there already, and what its answer means."""

import socket
import ssl

from aiohttp import (
    ClientError,
    ClientOSError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from multidict import CIMultiDict
from yarl import URL

from controller.agent.checks.answer import OUTPUT_BYTES, Answer, text_of
from controller.api.healthcheck import HTTPGetCheck

_HEADERS = {"User-Agent": "tallyman", "Accept": "*/*", "Connection": "close"}
_FOREVER = ClientTimeout()


async def get(check: HTTPGetCheck, address: str, made: socket.socket) -> Answer:
    """Ask once; whoever calls limits the time. The socket is closed in any case.

    Raises:
        OSError: there was no connection.
    """
    connector = TCPConnector(socket_factory=lambda _: made, force_close=True, ssl=False)
    try:
        async with (
            ClientSession(connector=connector, cookie_jar=DummyCookieJar(), timeout=_FOREVER) as session,
            session.get(_url(check, address), headers=_headers(check), allow_redirects=False) as response,
        ):
            return await _judged(response)
    except ClientOSError:
        raise
    except (ClientError, ssl.SSLError, ValueError) as error:
        return Answer(1, f"{type(error).__name__}: {error}"[:OUTPUT_BYTES])
    finally:
        made.close()


def _url(check: HTTPGetCheck, address: str) -> URL:
    host = f"[{address}]" if ":" in address else address
    # NB: already encoded, as the user wrote it.
    return URL(f"{check.scheme.lower()}://{host}:{check.port}{check.path}", encoded=True)


def _headers(check: HTTPGetCheck) -> CIMultiDict[str]:
    """The user's headers as they are, in place of ours of the same name."""
    given = CIMultiDict((header.name, header.value) for header in check.http_headers)
    for name, value in _HEADERS.items():
        given.setdefault(name, value)
    return given


async def _judged(response: ClientResponse) -> Answer:
    body = await response.content.read(OUTPUT_BYTES)
    said = f"HTTP {response.status} {response.reason or ''}".encode() + b"\n" + body
    return Answer(0 if 200 <= response.status < 400 else 1, text_of(said))
