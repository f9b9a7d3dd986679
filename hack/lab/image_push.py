"""Pushes images to a registry over plain HTTP (the distribution API, whole blobs)."""

from __future__ import annotations

import urllib.error
import urllib.request
from urllib.parse import urljoin

from hack.lab.errors import LabError
from hack.lab.image import Blob, Image, Index
from hack.lab.image_layer import digest_of

TIMEOUT = 60.0


def push(registry: str, name: str, image: Image | Index) -> str:
    """Push an image as `repository[:tag]` to a registry (host:port) and return the digest that the name has now."""
    repository, _, tag = name.partition(":")
    images = image.images if isinstance(image, Index) else [image]
    for one in images:
        for data in one.blobs:
            put_blob(registry, repository, data)
        put_manifest(registry, repository, one.manifest.digest, one.manifest)
    put_manifest(registry, repository, tag or "latest", image.manifest)
    return image.manifest.digest


def put_blob(registry: str, repository: str, data: bytes) -> str:
    """Upload one blob unless the repository has it, and return its digest."""
    digest = digest_of(data)
    base = f"http://{registry}/v2/{repository}/blobs/"
    if _request("HEAD", base + digest, missing_is_fine=True) is not None:
        return digest
    location = _request("POST", base + "uploads/", b"")
    target = urljoin(base, location or "")
    target += f"{'&' if '?' in target else '?'}digest={digest}"
    _request("PUT", target, data, "application/octet-stream")
    return digest


def put_manifest(registry: str, repository: str, reference: str, manifest: Blob) -> None:
    """Put a manifest or an index under a tag or a digest."""
    url = f"http://{registry}/v2/{repository}/manifests/{reference}"
    _request("PUT", url, manifest.data, manifest.media_type)


def _request(
    method: str, url: str, data: bytes | None = None, kind: str = "", *, missing_is_fine: bool = False
) -> str | None:
    """Send one request and return the answer's Location ('' without one), or None for a 404 that is fine."""
    request = urllib.request.Request(url, data=data, method=method)
    if kind:
        request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return str(answer.headers.get("Location") or "")
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404 and missing_is_fine:
                return None
            said = error.read(2000).decode(errors="replace")
        raise LabError(f"{method} {url}: {error.code} {said}") from error
    except OSError as error:
        raise LabError(f"{method} {url}: {error}; does the registry run?") from error
