"""Anonymous Bearer tokens (distribution specification, token authentication): challenge, token, header.

The one place where something secret could be: tokens are kept in memory, per server and repository, and never appear in
an error. Credentials of users will be given out here, to the realm that a challenge names, once there are any.
"""

import json
import re
from dataclasses import dataclass
from time import monotonic

from yarl import URL

MAX_TOKEN_BYTES = 1 << 20
DEFAULT_LIFETIME = 60.0
"""Seconds that a token without `expires_in` lives, by the specification."""

_MARGIN = 10.0
"""Seconds before its end at which a token is no longer used for a new request."""

_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server asks for in `WWW-Authenticate`."""

    scheme: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, header: str) -> "Challenge":
        """Return the challenge in a header; `scheme` is in lower case, and empty when there is none."""
        scheme, _, rest = header.strip().partition(" ")
        parameters = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
            for name, quoted, plain in _PARAMETER.findall(rest)
        }
        return cls(scheme.lower(), parameters)

    def token_url(self, repository: str) -> URL | None:
        """Return the URL that gives a token for reading `repository`, or None when the realm is not an http(s) URL."""
        try:
            realm = URL(self.parameters.get("realm", ""))
        except ValueError:
            return None
        if realm.scheme not in {"http", "https"} or realm.host is None or realm.user is not None:
            return None
        # The scope is ours, not the server's: asking for less than it wants fails, asking for more gives too much.
        query = {"scope": f"repository:{repository}:pull"}
        if service := self.parameters.get("service"):
            query["service"] = service
        return realm.update_query(query)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the moment (monotonic clock, seconds) from which on it is not used."""

    value: str
    until: float

    @classmethod
    def parse(cls, body: bytes) -> "Token | None":
        """Return the token in a token server's answer, or None when there is none that fits into a header."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(answer, dict):
            return None
        value = answer.get("token") or answer.get("access_token")
        if not isinstance(value, str) or not re.fullmatch(r"[\x21-\x7e]+", value):
            return None
        lifetime = answer.get("expires_in", DEFAULT_LIFETIME)
        seconds = float(lifetime) if isinstance(lifetime, int | float) else DEFAULT_LIFETIME
        return cls(value, monotonic() + max(seconds, DEFAULT_LIFETIME) - _MARGIN)


class Tokens:
    """The tokens in use, by server and repository."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, str], Token] = {}

    def header(self, server: str, repository: str) -> dict[str, str]:
        """Return the header for a request, empty without a token that still lives."""
        token = self._tokens.get((server, repository))
        if token is None or token.until < monotonic():
            return {}
        return {"Authorization": f"Bearer {token.value}"}

    def keep(self, server: str, repository: str, token: Token) -> None:
        """Use a token from now on, and forget those that have ended."""
        now = monotonic()
        self._tokens = {key: one for key, one in self._tokens.items() if one.until >= now}
        self._tokens[server, repository] = token
