"""Images that are in containerd already: found by name, with their config, and ready to be run.

On the way of every start, so what is read once is kept: a warm look-up is an Images.Get and a Snapshots.Stat.
"""

from dataclasses import replace

from controller.containerd import digests, errors
from controller.containerd.client import Services
from controller.containerd.descriptors import Descriptor
from controller.containerd.pull import lease
from controller.containerd.pull.choice import check_platform, choose
from controller.containerd.pull.image import Image, assemble
from controller.containerd.pull.manifests import MAX_CONFIG_BYTES, parse_config
from controller.containerd.pull.platforms import Platform
from controller.containerd.pull.unpack import Unpacker
from controller.containerd.registry.client import MAX_MANIFEST_BYTES

KEPT = 256
"""Images whose config is kept in memory."""

_Key = tuple[str, Platform]


class LocalImages:
    """The images of one containerd namespace; one a process, since it remembers."""

    def __init__(self, client: Services, unpacker: Unpacker | None = None) -> None:
        self._client = client
        self._known: dict[_Key, Image] = {}
        self.unpacker = unpacker or Unpacker()

    async def load(self, name: str, platform: Platform, snapshotter: str) -> Image | None:
        """Return the image stored as `name`, unpacked for `snapshotter`; None when any part of it is missing.

        An image whose content is there and whose snapshots are not (pulled for another snapshotter, say) is unpacked now.
        Raises `NoMatchingPlatform`, other `ImageError`s for content that makes no sense, and `ContainerdError`.
        """
        try:
            target = (await self._client.images.get(name)).target
        except errors.NotFound:
            return None
        image = await self._read(name, target, platform)
        if image is None or await self._is_unpacked(image, snapshotter):
            return image
        return image if await self._unpack(image, snapshotter) else None

    def remember(self, image: Image, platform: Platform) -> None:
        """Keep an image in memory, so that finding it needs no reading."""
        self._known.pop((image.digest, platform), None)
        self._known[image.digest, platform] = image
        if len(self._known) > KEPT:
            del self._known[next(iter(self._known))]

    async def _read(self, name: str, target: Descriptor, platform: Platform) -> Image | None:
        known = self._known.get((target.digest, platform))
        if known is not None:
            return known if known.name == name else replace(known, name=name)
        try:
            choice = await choose(name, target, platform, self._manifest)
            data = await self._client.content.read(choice.manifest.config.digest, MAX_CONFIG_BYTES)
        except errors.NotFound:
            return None
        config = parse_config(data, choice.manifest, name)
        check_platform(name, config, platform)
        image = assemble(name, target, choice.descriptor, choice.manifest, config)
        self.remember(image, platform)
        return image

    async def _manifest(self, descriptor: Descriptor) -> bytes:
        return await self._client.content.read(descriptor.digest, MAX_MANIFEST_BYTES)

    async def _is_unpacked(self, image: Image, snapshotter: str) -> bool:
        if not image.chain_id:
            return True
        try:
            await self._client.snapshots.stat(snapshotter, image.chain_id)
        except errors.NotFound:
            return False
        return True

    async def _unpack(self, image: Image, snapshotter: str) -> bool:
        """Unpack from content; False when a layer's content is missing, or goes meanwhile."""
        async with lease.held(self._client, image.name) as leased:
            try:
                for number, layer in enumerate(image.layers, start=1):
                    await self.unpacker.layer(leased, snapshotter, layer, image.diff_ids[:number])
                await keep_snapshots(leased, image, snapshotter)
            except errors.NotFound:
                return False
        return True


async def keep_snapshots(leased: Services, image: Image, snapshotter: str) -> None:
    """Have garbage collection keep an image's snapshots as long as its config."""
    if image.chain_id:
        label = f"containerd.io/gc.ref.snapshot.{snapshotter}"
        await leased.content.update_labels(image.config_digest, {label: digests.chain_ids(image.diff_ids)[-1]})
