"""How the agent finds out whether a container's process is well, and what it does when it is not.

Part of the spec; no model here stands alone. Names are those of a Kubernetes probe where it has one, else those of container
engines. Pure: no input or output.
"""

# ruff: noqa: RUF012 -- pydantic copies a default for each instance
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, JsonValue

from controller.api.model import Model
from controller.api.scalars import HeaderName, HeaderValue, Integer, IPAddress, Number, Text, URLPath

Port = Annotated[Integer, Field(ge=1, le=65535)]
Seconds = Annotated[Number, Field(ge=0.001, le=86400)]

PROBES: Final = ("exec", "http_get", "tcp_socket", "grpc")
"""The fields of a health check of which exactly one is given."""
_ONE_OF: Final[dict[str, JsonValue]] = {
    "oneOf": [{"required": [name]} for name in ("exec", "httpGet", "tcpSocket", "grpc")]
}


class OnFailure(StrEnum):
    """What the agent does with a container that has become unhealthy."""

    NONE = "None"
    RESTART = "Restart"
    STOP = "Stop"
    KILL = "Kill"


class Scheme(StrEnum):
    """How HTTP is spoken."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class ExecCheck(Model):
    """A command in the container."""

    command: Annotated[list[Text], Field(min_length=1, max_length=4096)]
    """Program and arguments, run in the container as the process itself is: same user, environment and directory. Exit code 0 is a success."""


class HTTPHeader(Model):
    """One header of a request."""

    name: HeaderName
    """Name of the header."""
    value: HeaderValue = ""
    """Value of the header. Default: empty."""


class HTTPGetCheck(Model):
    """A GET request."""

    path: URLPath = "/"
    """Path to ask for, with its query if it needs one."""
    port: Port
    """Port that the process listens on."""
    host: IPAddress | None = None
    """Address to connect to, as seen from within the container's network. For a virtual host set the header `Host`. Default: 127.0.0.1."""
    scheme: Scheme = Scheme.HTTP
    """HTTP or HTTPS; the certificate is not verified."""
    http_headers: Annotated[list[HTTPHeader], Field(max_length=64)] = []
    """Headers to send."""


class TCPSocketCheck(Model):
    """A connection that is opened and closed again."""

    port: Port
    """Port that the process listens on."""


class GRPCCheck(Model):
    """A call of the gRPC health checking protocol (`grpc.health.v1.Health/Check`)."""

    port: Port
    """Port that the process listens on, without TLS."""
    service: Annotated[Text, Field(max_length=1024)] = ""
    """Service to ask about. Default: the server as a whole."""


class HealthCheck(Model, json_schema_extra=_ONE_OF):
    """How the agent finds out whether the process is well. Exactly one of exec, httpGet, tcpSocket and grpc."""

    exec: ExecCheck | None = None
    """A command in the container that ends with exit code 0."""
    http_get: HTTPGetCheck | None = None
    """A GET request that is answered with a status from 200 to 399; redirects are not followed."""
    tcp_socket: TCPSocketCheck | None = None
    """A connection that the process accepts."""
    grpc: GRPCCheck | None = None
    """A call of the gRPC health checking protocol that is answered with SERVING."""
    interval_seconds: Seconds = 10
    """Seconds from one check to the next."""
    timeout_seconds: Seconds = 5
    """Seconds that a check may take; a command that takes longer is killed."""
    retries: Annotated[Integer, Field(ge=0, le=1_000_000)] = 3
    """How many checks in a row must fail before the container is unhealthy; 0 means the same as 1."""
    start_period_seconds: Annotated[Number, Field(ge=0, le=86400)] = 0
    """Seconds from the start in which a failed check does not count, unless one has succeeded already."""
    start_interval_seconds: Seconds | None = None
    """Seconds from one check to the next within the start period, until one succeeds. Default: `intervalSeconds`, 5 at most."""
    on_failure: OnFailure = OnFailure.NONE
    """What happens to an unhealthy container: None, Restart (stopped and started again), Stop (stopped, and stays so) or Kill (SIGKILL; then the restart policy decides)."""
