"""What the API server can answer, as errors whose type says what follows from them."""


class KubeError(Exception):
    """Any failed request to the API server. The text is safe to show: it holds no credentials."""


class Unavailable(KubeError):
    """The server can't be reached or can't answer now; try again later."""


class NotFound(KubeError):
    """The object does not exist."""


class Conflict(KubeError):
    """The object changed, or was replaced by another of the same name, since it was read."""


class Forbidden(KubeError):
    """The agent's account lacks a permission, or its credentials are not accepted."""


class Refused(KubeError):
    """The server understood the request and refuses it; trying again won't help."""


def from_status(code: int, message: str) -> KubeError:
    """The error for an HTTP status of 400 and above."""
    by_code: dict[int, type[KubeError]] = {
        401: Forbidden,
        403: Forbidden,
        404: NotFound,
        409: Conflict,
        429: Unavailable,
    }
    kind = by_code.get(code, Unavailable if code >= 500 else Refused)
    return kind(f"{message} (HTTP {code})")
