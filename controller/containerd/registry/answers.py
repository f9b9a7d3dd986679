"""What a registry's refusal means (distribution specification, "error codes"), in few and harmless words."""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from controller.containerd.image_errors import ImageError, RegistryRefused, RegistryUnavailable

MAX_WORDS = 160
"""Characters of a registry's own text that an error repeats."""


def error_for(response: aiohttp.ClientResponse, body: bytes, what: str) -> ImageError:
    """Return the error for a status that means neither success nor 401, 403 or 404."""
    said = f"{what}: status {response.status}{_words(body)}"
    if response.status == 429 or response.status >= 500 or response.status == 408:
        return RegistryUnavailable(said, retry_after(response.headers.get("Retry-After", "")))
    return RegistryRefused(said)


def retry_after(header: str) -> float | None:
    """Return the seconds in a `Retry-After`, given as seconds or as a date; None for anything else."""
    if re.fullmatch(r"\d{1,9}", header.strip()):
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def _words(body: bytes) -> str:
    """Return the first error's code and message in brackets, printable and short; nothing when there are none."""
    try:
        first = json.loads(body)["errors"][0]
        text = f"{first['code']}: {first.get('message') or ''}"
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    printable = "".join(letter for letter in text if letter.isprintable())[:MAX_WORDS]
    return f" ({printable.strip(' :')})"
