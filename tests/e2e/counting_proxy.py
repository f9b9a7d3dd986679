"""A proxy before the API server that counts what one client is sent: every Container of every list and of every watch."""

import http.client
import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from hack import lab
from tests.e2e.cluster import PLURAL

REQUEST_SECONDS = 60.0
KEPT = {"accept", "content-type", "user-agent"}
Name = tuple[str, str]


class CountingProxy:
    """`kubeconfig` leads to it; behind it is the API server, as the admin sees it. Where that is away, nobody answers."""

    def __init__(self, plane: lab.ControlPlane, directory: Path) -> None:
        self._plane = plane
        self._tls = ssl.create_default_context(cafile=str(plane.certificates / "ca.crt"))
        self._tls.load_cert_chain(plane.certificates / "admin.crt", plane.certificates / "admin.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.watched: Counter[Name] = Counter()
        """How often a Container came in a watch, by namespace and name."""
        self.listed: Counter[Name] = Counter()
        """How often one came in a list, whole or in part."""
        self.watches = threading.Event()
        """Set once Containers are watched."""
        self.mute = threading.Event()
        """While it is set, nothing that a watch brings is handed on, and the connection stays: a watch that hangs."""
        self.kubeconfig = str(self._write_kubeconfig(directory / "kubeconfig"))

    def _write_kubeconfig(self, path: Path) -> Path:
        content = yaml.safe_load(self._plane.kubeconfig.read_text())
        content["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._server.server_port}"}
        content["users"][0]["user"] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content))
        return path

    @contextmanager
    def running(self) -> Iterator["CountingProxy"]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def _count(self, into: Counter[Name], body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        into[metadata["namespace"], metadata["name"]] += 1

    def _count_list(self, raw: bytes) -> None:
        for item in json.loads(raw).get("items") or ():
            self._count(self.listed, item)

    def _count_event(self, line: bytes) -> None:
        event = json.loads(line)
        if event["type"] in {"ADDED", "MODIFIED", "DELETED"}:
            self._count(self.watched, event["object"])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                address = urlsplit(proxy._plane.address)
                connection = http.client.HTTPSConnection(
                    str(address.hostname), address.port, context=proxy._tls, timeout=REQUEST_SECONDS
                )
                try:
                    self._forward(connection)
                except (OSError, http.client.HTTPException):
                    self.close_connection = True
                finally:
                    connection.close()

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class calls them by these names

            def _forward(self, connection: http.client.HTTPSConnection) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name: value for name, value in self.headers.items() if name.lower() in KEPT}
                connection.request(self.command, self.path, body or None, headers)
                url = urlsplit(self.path)
                ours = url.path.endswith(f"/{PLURAL}") and self.command == "GET"
                if "true" in parse_qs(url.query).get("watch", ()):
                    connection.sock.settimeout(None)
                    self._stream(connection.getresponse(), counted=ours)
                else:
                    self._answer(connection.getresponse(), counted=ours)

            def _answer(self, answer: http.client.HTTPResponse, *, counted: bool) -> None:
                raw = answer.read()
                if counted and answer.status == 200:
                    proxy._count_list(raw)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def _stream(self, answer: http.client.HTTPResponse, *, counted: bool) -> None:
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                if counted and answer.status == 200:
                    proxy.watches.set()
                while line := answer.readline():
                    if proxy.mute.is_set():
                        continue
                    if counted and answer.status == 200:
                        proxy._count_event(line)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                """Say nothing."""

        return Handler
