"""Layers of an image: a dictionary of paths becomes a tar archive that is the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Compression = Literal["gzip", "zstd", "none"]

MEDIA_TYPES: dict[Compression, str] = {
    "gzip": "application/vnd.oci.image.layer.v1.tar+gzip",
    "zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
    "none": "application/vnd.oci.image.layer.v1.tar",
}
DOCKER_MEDIA_TYPES: dict[Compression, str] = {
    "gzip": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "none": "application/vnd.docker.image.rootfs.diff.tar",
}


@dataclass(frozen=True)
class File:
    """A regular file."""

    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Directory:
    """A directory; parents that no entry names are made with mode 0755 by whoever unpacks."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Symlink:
    """A symbolic link."""

    target: str
    uid: int = 0
    gid: int = 0
    mode: int = 0o777


@dataclass(frozen=True)
class Hardlink:
    """A hard link to a path of the same layer."""

    target: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


Entry = bytes | File | Directory | Symlink | Hardlink
"""What stands at a path; plain bytes are a file of mode 0644 that root owns. A whiteout is a file named `.wh.<name>`."""


def digest_of(data: bytes) -> str:
    """Return the sha256 digest in the form that registries use."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass(frozen=True)
class Layer:
    """A layer as it is stored (`blob`) and as it is named in the image's config (`diff_id`)."""

    blob: bytes = field(repr=False)
    diff_id: str
    compression: Compression = "gzip"

    @property
    def digest(self) -> str:
        """The digest of the stored blob."""
        return digest_of(self.blob)

    def media_type(self, *, docker: bool) -> str:
        """Return the layer's media type in the OCI or in the docker form."""
        return (DOCKER_MEDIA_TYPES if docker else MEDIA_TYPES)[self.compression]


def layer(entries: Mapping[str, Entry], *, compression: Compression = "gzip") -> Layer:
    """Make a layer; the same entries give the same digest on every machine that has the same zlib."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as files:
        for path, entry in sorted(entries.items()):
            header, data = _member(path.strip("/"), entry)
            files.addfile(header, io.BytesIO(data))
    raw = archive.getvalue()
    return Layer(_compressed(raw, compression), digest_of(raw), compression)


def _member(path: str, entry: Entry) -> tuple[tarfile.TarInfo, bytes]:
    item = File(entry) if isinstance(entry, bytes) else entry
    header = tarfile.TarInfo(path)
    header.mode, header.uid, header.gid, header.mtime = item.mode, item.uid, item.gid, 0
    match item:
        case File(data=data):
            header.size = len(data)
            return header, data
        case Directory():
            header.type = tarfile.DIRTYPE
        case Symlink(target=target):
            header.type, header.linkname = tarfile.SYMTYPE, target
        case Hardlink(target=target):
            header.type, header.linkname = tarfile.LNKTYPE, target.strip("/")
    return header, b""


def _compressed(raw: bytes, compression: Compression) -> bytes:
    match compression:
        case "gzip":
            return gzip.compress(raw, compresslevel=6, mtime=0)
        case "zstd":
            import zstandard  # noqa: PLC0415 - only tests use it, and only they have it

            return bytes(zstandard.ZstdCompressor(level=3).compress(raw))
        case "none":
            return raw
