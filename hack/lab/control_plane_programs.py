"""Finds etcd and kube-apiserver: in KUBEBUILDER_ASSETS, on PATH, in the cache, as a release download, or self-made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from hack.lab import apiserver_build, cache, debian
from hack.lab.errors import LabError
from hack.lab.image import this_architecture

RELEASE = "v1.32.4"
RELEASE_URL = "https://dl.k8s.io/release/{version}/bin/linux/{architecture}/kube-apiserver"
CONNECT_TIMEOUT = 5.0
DOWNLOAD_TIMEOUT = 60.0  # between two reads, not for the whole
CHUNK = 1 << 20


def etcd() -> Path:
    """Return the path of etcd."""
    return _provided("etcd") or debian.executable(debian.TRIXIE, "etcd-server", "usr/bin/etcd")


def kube_apiserver() -> Path:
    """Return the path of a kube-apiserver; the first time this may be a download or a build of some minutes."""
    provided = _provided("kube-apiserver")
    if provided is not None:
        return provided
    for name in (apiserver_build.NAME, RELEASE):
        cached = cache.root() / "kubernetes" / name / "kube-apiserver"
        if cached.exists():
            return cached
    expected = _published_digest()
    if expected is not None:
        return cache.artefact(f"kubernetes/{RELEASE}/kube-apiserver", lambda target: _download(target, expected))
    return apiserver_build.built_apiserver()


def needs_build() -> bool:
    """Say whether `kube_apiserver` will download or build, so that a caller can announce it."""
    names = (apiserver_build.NAME, RELEASE)
    cached = (cache.root() / "kubernetes" / name / "kube-apiserver" for name in names)
    return _provided("kube-apiserver") is None and not any(path.exists() for path in cached)


def supports(program: Path, flag: str) -> bool:
    """Say whether the help text of a program names a flag."""
    done = subprocess.run([str(program), "--help"], capture_output=True, text=True, timeout=20, check=False)
    return flag in done.stdout + done.stderr


def _provided(name: str) -> Path | None:
    places = [os.environ.get("KUBEBUILDER_ASSETS", ""), os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(place for place in places if place))
    return Path(found) if found else None


def _url() -> str:
    return RELEASE_URL.format(version=RELEASE, architecture=this_architecture())


def _published_digest() -> str | None:
    """Return the digest published beside the release, or None where the internet is out of reach."""
    try:
        with urllib.request.urlopen(f"{_url()}.sha256", timeout=CONNECT_TIMEOUT) as answer:
            text = answer.read(200).decode(errors="replace").split()
    except (urllib.error.URLError, OSError):
        return None
    return text[0] if text and len(text[0]) == 64 else None


def _download(target: Path, expected: str) -> None:
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(_url(), timeout=DOWNLOAD_TIMEOUT) as answer, target.open("wb") as output:
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                output.write(chunk)
    except OSError as error:
        raise LabError(f"{_url()}: {error}; try again, or set KUBEBUILDER_ASSETS") from error
    if digest.hexdigest() != expected:
        raise LabError(f"{_url()} has digest {digest.hexdigest()}, expected {expected}: nothing was kept")
    target.chmod(0o755)
