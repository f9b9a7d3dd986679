"""Asking a server by HTTP whether it is there."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request


def answers(url: str, *, tls: ssl.SSLContext | None = None, timeout: float = 5.0) -> bool:
    """Say whether a GET of the page has status 200, within so many seconds."""
    try:
        with urllib.request.urlopen(url, timeout=timeout, context=tls) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
