"""A proxy before a real registry that lets the bytes of large blobs through only as far as a test has allowed."""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LARGE = 1 << 20
"""Smaller answers pass."""
CHUNK = 1 << 16
PATIENCE = 60.0


class GatedRegistry:
    """`address` is where it listens. What is sent of large blobs is never more than what was allowed."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self._allowed = 0
        self._moved = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    @contextmanager
    def running(self) -> Iterator["GatedRegistry"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.allow(1 << 62)
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def allow(self, total: int) -> None:
        """Let so many bytes of each large blob through, counted from its beginning."""
        with self._moved:
            self._allowed = total
            self._moved.notify_all()

    def allowed_beyond(self, offset: int) -> int:
        """Wait until something beyond `offset` is allowed, and return how far it goes."""
        with self._moved:
            self._moved.wait_for(lambda: self._allowed > offset, PATIENCE)
            return self._allowed

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kept = {name: value for name, value in self.headers.items() if name in {"Accept", "Range"}}
                request = urllib.request.Request(gate.upstream + self.path, headers=kept, method=self.command)
                try:
                    with urllib.request.urlopen(request, timeout=30) as answer:
                        self._send(answer.status, dict(answer.headers.items()), answer.read())
                except urllib.error.HTTPError as error:
                    with error:
                        self._send(error.code, dict(error.headers.items()), error.read())

            do_HEAD = do_GET  # noqa: N815 - the base class calls it by this name

            def _send(self, code: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response(code)
                for name in ("Content-Type", "Content-Length", "Content-Range", "Docker-Content-Digest"):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.end_headers()
                sent = len(body) if len(body) < LARGE else 0
                try:
                    self.wfile.write(body[:sent])
                    while sent < len(body):
                        end = min(gate.allowed_beyond(sent), sent + CHUNK, len(body))
                        self.wfile.write(body[sent:end])
                        sent = end
                except OSError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        return Handler
