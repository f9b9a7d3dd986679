"""A pull from beginning to end: resolve, fetch, unpack, name. Several at once may share layers.

The order at the end is what makes it safe: everything is under a lease until the image's name, written last, keeps it all
by the labels on index, manifest and config. So a name never points at half an image, at whatever line a pull dies.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from controller.containerd import errors
from controller.containerd.client import Services
from controller.containerd.descriptors import Descriptor
from controller.containerd.pull import lease
from controller.containerd.pull.choice import Choice, check_platform, choose
from controller.containerd.pull.image import Image, assemble
from controller.containerd.pull.ingest import Ingest
from controller.containerd.pull.local import LocalImages, keep_snapshots
from controller.containerd.pull.locks import KeyedLocks
from controller.containerd.pull.manifests import MAX_CONFIG_BYTES, parse_config
from controller.containerd.pull.platforms import Platform
from controller.containerd.pull.progress import ProgressCallback, Tracker
from controller.containerd.pull.unpack import Unpacker
from controller.containerd.registry.client import MAX_MANIFEST_BYTES, Registry
from controller.containerd.registry.reference import ImageReference

PARALLEL_LAYERS = 3
"""Layers of one image that are fetched at a time; more gain little and take bandwidth from what runs."""

_GC_REF = "containerd.io/gc.ref.content"
"""Labels that begin so keep the content that they name, as long as the content that they are on."""


class Puller:
    """Pulls images into one containerd namespace; one a process and namespace, since pulls wait for each other."""

    def __init__(
        self, client: Services, registry: Registry, local: LocalImages, parallel_layers: int = PARALLEL_LAYERS
    ) -> None:
        self._client = client
        self._registry = registry
        self._local = local
        self._parallel_layers = parallel_layers
        self._locks = KeyedLocks()

    async def pull(
        self,
        reference: ImageReference,
        platform: Platform,
        snapshotter: str,
        on_progress: ProgressCallback | None = None,
    ) -> Image:
        """Have what `reference` stands for now in containerd, unpacked, under `reference.name`, and return it.

        What is there already is not fetched again. Safe to cancel, to repeat and to run at the same time for any images.
        Raises an `ImageError` for what is wrong with image or registry, a `ContainerdError` for what is with containerd.
        """
        async with self._locks.hold(("image", reference.name)):
            target = await self._registry.resolve(reference)
            present = await self._local.load(reference.name, platform, snapshotter)
            if present is not None and present.digest == target.digest:
                return present
            async with lease.held(self._client, reference.name) as leased:
                tracker = Tracker(on_progress)
                ingest = Ingest(
                    client=self._client,
                    leased=leased,
                    registry=self._registry,
                    reference=reference,
                    locks=self._locks,
                    tracker=tracker,
                )
                pull = _Pull(leased, self._registry, reference, ingest, tracker)
                prepared = await pull.prepare(target, platform)
                unpacking = _Unpacking(self._local.unpacker, snapshotter, self._parallel_layers)
                await pull.finish(prepared, unpacking)
            self._local.remember(prepared.image, platform)
            return prepared.image


@dataclass(frozen=True)
class _Unpacking:
    """Where layers go, and how many are fetched at a time."""

    unpacker: Unpacker
    snapshotter: str
    parallel_layers: int


class _Pull:
    """One pull under its lease."""

    def __init__(
        self, leased: Services, registry: Registry, reference: ImageReference, ingest: Ingest, tracker: Tracker
    ) -> None:
        self._leased = leased
        self._registry = registry
        self._reference = reference
        self._ingest = ingest
        self._tracker = tracker

    async def prepare(self, target: Descriptor, platform: Platform) -> "_Prepared":
        """Choose the manifest, and have the config."""
        name = self._reference.name
        choice = await choose(name, target, platform, self._manifest)
        data = await self._config(choice.manifest.config)
        config = parse_config(data, choice.manifest, name)
        check_platform(name, config, platform)
        image = assemble(name, target, choice.descriptor, choice.manifest, config)
        sizes = {one.digest: one.size for one in (choice.manifest.config, *image.layers)}
        self._tracker.plan(sizes, len(image.layers))
        await self._ingest.store("config", choice.manifest.config, data, {})
        return _Prepared(target, choice, image)

    async def finish(self, prepared: "_Prepared", unpacking: _Unpacking) -> None:
        """Bring the layers, then write what keeps them, and the name last."""
        await self._layers(prepared.image, unpacking)
        await keep_snapshots(self._leased, prepared.image, unpacking.snapshotter)
        await self._store_manifests(prepared.choice)
        await self._set_name(prepared.target)

    async def _manifest(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index; what containerd has is not fetched."""
        try:
            return await self._leased.content.read(descriptor.digest, MAX_MANIFEST_BYTES)
        except errors.NotFound:
            return await self._registry.manifest(self._reference, descriptor)

    async def _config(self, descriptor: Descriptor) -> bytes:
        try:
            return await self._leased.content.read(descriptor.digest, MAX_CONFIG_BYTES)
        except errors.NotFound:
            return await self._registry.small_blob(self._reference, descriptor)

    async def _layers(self, image: Image, unpacking: _Unpacking) -> None:
        """Fetch layers side by side and unpack them in order, each as soon as it and those below it are there."""
        slots = asyncio.Semaphore(unpacking.parallel_layers)
        try:
            async with asyncio.TaskGroup() as group:
                fetches = [group.create_task(self._fetch(layer, slots)) for layer in image.layers]
                group.create_task(self._unpack(image, fetches, unpacking))
        except BaseExceptionGroup as failures:
            raise _first_of(failures) from None

    async def _fetch(self, layer: Descriptor, slots: asyncio.Semaphore) -> None:
        async with slots:
            await self._ingest.fetch("layer", layer)

    async def _unpack(self, image: Image, fetches: Sequence[asyncio.Task[None]], unpacking: _Unpacking) -> None:
        for number, (layer, fetch) in enumerate(zip(image.layers, fetches, strict=True), start=1):
            await asyncio.wait({fetch})
            if fetch.cancelled() or fetch.exception() is not None:
                return
            diff_ids = image.diff_ids[:number]
            await unpacking.unpacker.layer(self._leased, unpacking.snapshotter, layer, diff_ids)
            self._tracker.unpacked()

    async def _store_manifests(self, choice: Choice) -> None:
        """Store the manifest and the indexes above it, each with labels that keep what it points at."""
        labels = {f"{_GC_REF}.l.{number}": layer.digest for number, layer in enumerate(choice.manifest.layers)}
        labels[f"{_GC_REF}.config"] = choice.manifest.config.digest
        await self._ingest.store("manifest", choice.descriptor, choice.data, labels)
        child = choice.descriptor
        for step in reversed(choice.steps):
            await self._ingest.store("index", step.descriptor, step.data, {f"{_GC_REF}.m.{step.taken}": child.digest})
            child = step.descriptor

    async def _set_name(self, target: Descriptor) -> None:
        try:
            await self._leased.images.create(self._reference.name, target)
        except errors.AlreadyExists:
            await self._leased.images.update(self._reference.name, target)


@dataclass(frozen=True)
class _Prepared:
    """What is known of an image before its layers are there."""

    target: Descriptor
    choice: Choice
    image: Image


def _first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of several: the others follow from it, or would be met again."""
    first = failures.exceptions[0]
    return _first_of(first) if isinstance(first, BaseExceptionGroup) else first
