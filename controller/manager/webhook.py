"""The HTTPS server that the API server sends its reviews to: `POST /validate`.

It holds no state and asks nobody, so every replica answers. Whoever reaches the port may ask; so connections are bounded in number and
in time (`connections`), bodies in size and in time (`bodies`), and what was read is judged at once. What is no review is answered with a
`Status` and an HTTP error: to the API server the call has then failed, and the webhook's failurePolicy decides.
"""

import json
import ssl
from collections.abc import Callable
from contextlib import nullcontext
from time import monotonic
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from controller import log
from controller.manager import admission
from controller.manager.bodies import MAX_BYTES, Bodies, TooLarge
from controller.manager.connections import Connections

PATH: Final = "/validate"
KEEP_ALIVE_SECONDS: Final = 180.0
"""Longer than the API server keeps an idle connection: whoever sends must be the one to close, or requests get lost."""
STOP_SECONDS: Final = 5.0
_OPERATIONS: Final = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})
_MOST_LOGGED: Final = 8
_REASONS: Final = {400: "BadRequest", 413: "RequestEntityTooLarge", 503: "ServiceUnavailable"}
Observer = Callable[[str, str, float], None]
"""Called after each request with the operation, how it ended (`allowed`, `refused`, `malformed` or `error`) and its seconds."""
_log = log.get(__name__)


class Webhook:
    """The server; it listens from `open` to `close`."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, observe: Observer) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._observe = observe
        self._told = ""
        self._bodies = Bodies()
        self._runner: web.AppRunner | None = None
        self._connections: Connections | None = None

    async def open(self) -> None:
        """Begin to listen.

        Raises:
            OSError: the address is taken.
        """
        pages = web.Application(middlewares=[self._attended])
        pages.add_routes([web.post(PATH, self._validate)])
        self._runner = web.AppRunner(
            pages, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=STOP_SECONDS
        )
        await self._runner.setup()
        assert self._runner.server is not None  # noqa: S101 - for the type checker; `setup` made it
        self._connections = Connections(self._runner.server, self._tls)
        await self._connections.open(self._host, self._port)

    async def close(self) -> None:
        """Listen no longer; requests that are being answered get their answer."""
        if self._connections is not None:
            await self._connections.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _attended(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Tell the connection that a request is being answered: its time is bounded by other means."""
        connection = None if self._connections is None else self._connections.of(request.protocol)
        with nullcontext() if connection is None else connection.request():
            return await handler(request)

    async def _validate(self, http: web.Request) -> web.Response:
        since, operation, outcome = monotonic(), "", "error"
        try:
            request = _parsed(await self._bodies.read(http.content))
            operation = request.operation
            verdict = admission.judge(request)
            outcome = "refused" if verdict.errors else "allowed"
            _tell(request, verdict)
            return web.json_response(admission.answer(request, verdict))
        except admission.Malformed as error:
            outcome = "malformed"
            return self._failure(400, f"this webhook can't answer the request: {error}")
        except TooLarge:
            outcome = "malformed"
            return self._failure(413, f"this webhook can't answer the request: it has more than {MAX_BYTES} bytes")
        except (TimeoutError, web.RequestPayloadError, ConnectionError):
            return self._failure(503, "this webhook can't answer the request: it did not arrive in time")
        finally:
            self._observe(operation if operation in _OPERATIONS else "", outcome, monotonic() - since)

    def _failure(self, code: int, message: str) -> web.Response:
        """As the API server writes an error, so that it can show ours. Logged when it is another one than before."""
        if message != self._told:
            _log.warning("a request can't be answered", code=code, problem=message)
        self._told = message
        body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": _REASONS[code],
            "code": code,
        }
        return web.json_response(body, status=code)


def _parsed(body: bytes) -> admission.Request:
    try:
        review = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise admission.Malformed("it is not JSON") from error
    return admission.read(review)


def _tell(request: admission.Request, verdict: admission.Verdict) -> None:
    if verdict.errors:
        _log.info(
            "refused",
            operation=request.operation,
            namespace=request.namespace,
            name=request.name,
            reason=str(verdict.reason),
            fields=[error.field for error in verdict.errors[:_MOST_LOGGED]],
        )
