"""An image that is in containerd, as those see it who make containers of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.containerd import digests
from controller.containerd.descriptors import Descriptor
from controller.containerd.pull.manifests import Config, Manifest


@dataclass(frozen=True)
class Image:
    """An image for one platform.

    `digest` is what the name points at (an index, perhaps), `manifest_digest` and `config_digest` are those of the platform
    chosen. `config` is the OCI image config, whole, and not to be changed. `chain_id` names the snapshot to put a container's
    own upon; it is empty for an image without layers. `size` is in bytes as stored, compressed.
    """

    name: str
    digest: str
    manifest_digest: str
    config_digest: str
    chain_id: str
    size: int
    config: Mapping[str, Any] = field(repr=False)
    layers: tuple[Descriptor, ...] = field(repr=False)
    diff_ids: tuple[str, ...] = field(repr=False)


def assemble(name: str, target: Descriptor, chosen: Descriptor, manifest: Manifest, config: Config) -> Image:
    """Return the image that a name's target, the manifest chosen in it and its config make up."""
    chain = digests.chain_ids(config.diff_ids)
    return Image(
        name=name,
        digest=target.digest,
        manifest_digest=chosen.digest,
        config_digest=manifest.config.digest,
        chain_id=chain[-1] if chain else "",
        size=chosen.size + manifest.config.size + sum(layer.size for layer in manifest.layers),
        config=config.document,
        layers=manifest.layers,
        diff_ids=config.diff_ids,
    )
