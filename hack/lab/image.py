"""Images from layers and settings: config, manifest and multi-platform index, in the OCI or in the docker form.

Only bytes are made here; `image_push` brings them to a registry.
"""

from __future__ import annotations

import json
import platform as machine
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hack.lab.image_layer import Layer, digest_of

OCI = {
    "config": "application/vnd.oci.image.config.v1+json",
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "index": "application/vnd.oci.image.index.v1+json",
}
DOCKER = {
    "config": "application/vnd.docker.container.image.v1+json",
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
}
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def this_architecture() -> str:
    """Return this machine's architecture by the name that images use."""
    return ARCHITECTURES.get(machine.machine(), machine.machine())


@dataclass(frozen=True)
class Blob:
    """Bytes with their media type, named by their digest."""

    data: bytes = field(repr=False)
    media_type: str

    @property
    def digest(self) -> str:
        """The digest of the bytes."""
        return digest_of(self.data)

    def descriptor(self, **more: object) -> dict[str, Any]:
        """Return how a manifest or an index refers to these bytes."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data), **more}


@dataclass(frozen=True)
class Image:
    """One image for one platform. `settings` are further fields of the config's `config` part, as they are."""

    layers: Sequence[Layer]
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    architecture: str = field(default_factory=this_architecture)
    variant: str = ""
    os: str = "linux"
    docker: bool = False

    @cached_property
    def config(self) -> Blob:
        """The image's config."""
        settings = {
            "Entrypoint": list(self.entrypoint),
            "Cmd": list(self.cmd),
            "Env": [f"{name}={value}" for name, value in self.env.items()],
            "User": self.user,
            "WorkingDir": self.working_dir,
            "StopSignal": self.stop_signal,
            "Labels": dict(self.labels),
            **self.settings,
        }
        return self._blob(
            "config",
            {
                "created": "2024-01-01T00:00:00Z",
                **self.platform,
                "config": {name: value for name, value in settings.items() if value},
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
                "history": [{"created_by": "hack.lab"} for _ in self.layers],
            },
        )

    @cached_property
    def manifest(self) -> Blob:
        """The image's manifest."""
        return self._blob(
            "manifest",
            {
                "schemaVersion": 2,
                "mediaType": self._types["manifest"],
                "config": self.config.descriptor(),
                "layers": [
                    Blob(layer.blob, layer.media_type(docker=self.docker)).descriptor() for layer in self.layers
                ],
            },
        )

    @property
    def platform(self) -> dict[str, str]:
        """The platform as an index names it."""
        variant = {"variant": self.variant} if self.variant else {}
        return {"architecture": self.architecture, "os": self.os, **variant}

    @property
    def blobs(self) -> list[bytes]:
        """Everything that must be in a repository before the manifest is."""
        return [self.config.data, *(layer.blob for layer in self.layers)]

    @property
    def _types(self) -> dict[str, str]:
        return DOCKER if self.docker else OCI

    def _blob(self, kind: str, content: Mapping[str, Any]) -> Blob:
        return Blob(json.dumps(content, separators=(",", ":")).encode(), self._types[kind])


@dataclass(frozen=True)
class Index:
    """One name for the images of several platforms."""

    images: Sequence[Image]
    docker: bool = False

    @cached_property
    def manifest(self) -> Blob:
        """The index itself."""
        media_type = (DOCKER if self.docker else OCI)["index"]
        content = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [image.manifest.descriptor(platform=image.platform) for image in self.images],
        }
        return Blob(json.dumps(content, separators=(",", ":")).encode(), media_type)
