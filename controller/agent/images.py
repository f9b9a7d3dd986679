"""The images that this node's containers ask for: looked up, pulled in the background, and reported on.

One acquisition an object, so that `Always` asks the registry for each of them; one pull a reference at a time, which all that wait
for it share. Decides nothing about containers. What takes long, and what goes wrong, is announced once for each object that waits.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from controller import log, metrics
from controller.agent import news
from controller.agent.declared import Declared
from controller.agent.identity import Key
from controller.agent.observation import ImagePhase, ObservedImage
from controller.api.container import ImagePullPolicy
from controller.api.reasons import Reason
from controller.containerd.errors import ContainerdError
from controller.containerd.image_errors import ImageError
from controller.containerd.pull.image import Image
from controller.containerd.pull.local import LocalImages
from controller.containerd.pull.platforms import Platform, this_platform
from controller.containerd.pull.progress import Progress
from controller.containerd.pull.puller import Puller
from controller.containerd.registry.reference import ImageReference
from controller.oci import image as oci_image
from controller.oci.errors import InvalidImage
from controller.oci.reference import Reference

FIRST_BACKOFF = timedelta(seconds=5)
LAST_BACKOFF = timedelta(minutes=5)
NEVER_BACKOFF = timedelta(seconds=60)
REMEMBERED = 64
Announce = Callable[[Key, Reason, str], None]
"""Tells the user of an object something new, with a reason."""
_log = log.get(__name__)


@dataclass(frozen=True)
class ReadyImage:
    """An image that is on the node, with its configuration parsed."""

    image: Image
    config: oci_image.ImageConfig


@dataclass(frozen=True)
class ImageSource:
    """Where images come from: containerd's own, and registries; for one platform and one snapshotter."""

    puller: Puller
    local: LocalImages
    snapshotter: str
    platform: Platform = field(default_factory=this_platform)

    async def load(self, reference: Reference) -> Image | None:
        """The image if it is in containerd, whole."""
        return await self.local.load(reference.name, self.platform, self.snapshotter)

    async def pull(self, reference: Reference, on_progress: Callable[[Progress], None]) -> Image:
        """What the registry has under this reference now, in containerd."""
        wanted = ImageReference(reference.name, reference.host, reference.repository, reference.tag, reference.digest)
        return await self.puller.pull(wanted, self.platform, self.snapshotter, on_progress)


class ImageKeeper:
    """The images wanted by objects, by key."""

    def __init__(self, source: ImageSource, wake: Callable[[Key], None], announce: Announce, parallel: int) -> None:
        self._source = source
        self._wake = wake
        self._announce = announce
        self._parallel = parallel
        self._seats: dict[str, asyncio.Semaphore] = {}
        self._observed: dict[Key, ObservedImage] = {}
        self._ready: dict[Key, ReadyImage] = {}
        self._failures: dict[Key, int] = {}
        self._configs: dict[str, oci_image.ImageConfig] = {}
        self._pulls: dict[str, asyncio.Task[Image]] = {}
        self._waiting: dict[str, set[Key]] = {}
        self._followers: set[asyncio.Task[None]] = set()

    def of(self, key: Key) -> ObservedImage | None:
        """How far the image of an object has come."""
        return self._observed.get(key)

    def ready(self, key: Key) -> ReadyImage | None:
        """The image of an object, if it is there."""
        return self._ready.get(key)

    def forget(self, key: Key) -> None:
        """Drop what is known for an object: its container is made, or it no longer wants one."""
        self._observed.pop(key, None)
        self._ready.pop(key, None)
        self._failures.pop(key, None)
        self._leave(key)

    def _leave(self, key: Key) -> None:
        """The object waits for no pull any longer. One that nobody waits for is ended; what it has received is kept."""
        for name, keys in list(self._waiting.items()):
            keys.discard(key)
            if not keys:
                del self._waiting[name]
                pull = self._pulls.pop(name, None)
                if pull is not None:
                    pull.cancel()

    async def ensure(self, declared: Declared) -> None:
        """Look the image up, or begin to pull it; returns at once in either case.

        Raises:
            ContainerdError: containerd could not be asked.
        """
        reference, policy = declared.reference, declared.pull_policy
        if reference is None:
            return
        if policy is not ImagePullPolicy.ALWAYS:
            local = await self._source.load(reference)
            if local is not None:
                self._present(declared.key, declared.image_wanted, local)
                return
        if policy is ImagePullPolicy.NEVER:
            message = f"image {reference.familiar} is not on the node and imagePullPolicy is Never"
            before = self._observed.get(declared.key)
            if before is None or before.wanted != declared.image_wanted:
                self._announce(declared.key, Reason.ERR_IMAGE_NEVER_PULL, message)
            self._failed(declared.key, declared.image_wanted, Reason.ERR_IMAGE_NEVER_PULL, message, NEVER_BACKOFF)
            return
        self._pull(declared.key, declared.image_wanted, reference)

    def _present(self, key: Key, wanted: str, image: Image) -> None:
        try:
            config = self._config(image)
        except InvalidImage as error:
            self._failed(key, wanted, Reason.ERR_IMAGE_PULL, str(error), LAST_BACKOFF)
            return
        self._failures.pop(key, None)
        self._ready[key] = ReadyImage(image, config)
        self._observed[key] = ObservedImage(wanted, ImagePhase.PRESENT, image_id=image.config_digest)

    def _config(self, image: Image) -> oci_image.ImageConfig:
        """The image's configuration, parsed once for as long as its containers come in a row."""
        known = self._configs.get(image.config_digest)
        if known is None:
            known = oci_image.parse(json.dumps(image.config).encode())
            self._configs[image.config_digest] = known
            if len(self._configs) > REMEMBERED:
                del self._configs[next(iter(self._configs))]
        return known

    def _failed(self, key: Key, wanted: str, reason: Reason, message: str, backoff: timedelta) -> None:
        until = datetime.now(UTC) + backoff
        text = f"{message}; next try at {until:%H:%M:%S} UTC"
        self._observed[key] = ObservedImage(wanted, ImagePhase.FAILED, reason=reason, message=text, retry_at=until)

    def _pull(self, key: Key, wanted: str, reference: Reference) -> None:
        """Join the pull of this reference, or begin it, and follow it for this object."""
        name = reference.name
        before = self._observed.get(key)
        if before is not None and before.wanted != wanted:
            self._failures.pop(key, None)
        if key not in self._waiting.get(name, ()):
            self._leave(key)
        self._waiting.setdefault(name, set()).add(key)
        self._observed[key] = ObservedImage(
            wanted, ImagePhase.PULLING, message=f"pulling {reference.familiar}", started_at=datetime.now(UTC)
        )
        if name not in self._pulls:
            self._pulls[name] = asyncio.create_task(self._pull_seated(reference), name=f"pull {name}")
        follower = asyncio.create_task(self._follow(key, wanted, reference, self._pulls[name]))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)

    async def _pull_seated(self, reference: Reference) -> Image:
        """Pull when there is a seat. Each registry has its own, so that one that hangs holds up no other."""
        seats = self._seats.setdefault(reference.host, asyncio.Semaphore(self._parallel))
        if seats.locked():
            self._say(reference.name, f"waiting for other pulls from {reference.host}")
        try:
            async with seats:
                self._say(reference.name, f"pulling {reference.familiar}")
                with metrics.image_pull() as pull:
                    image = await self._source.pull(
                        reference, lambda progress: self._progress(reference.name, progress)
                    )
                    pull.bytes = image.size
                    return image
        finally:
            if self._pulls.get(reference.name) is asyncio.current_task():
                del self._pulls[reference.name]

    def _say(self, name: str, message: str) -> None:
        """Tell those that wait for a pull what it is doing."""
        for key in self._waiting.get(name, ()):
            known = self._observed.get(key)
            if known is not None and known.phase is ImagePhase.PULLING:
                self._observed[key] = replace(known, message=message)

    def _progress(self, name: str, progress: Progress) -> None:
        for key in self._waiting.get(name, ()):
            known = self._observed.get(key)
            if known is not None and known.phase is ImagePhase.PULLING:
                if not known.total_bytes:
                    self._announce(key, Reason.PULLING, f"{known.message}: {progress.bytes_total} bytes")
                self._observed[key] = replace(
                    known, received_bytes=progress.bytes_done, total_bytes=progress.bytes_total
                )

    async def _follow(self, key: Key, wanted: str, reference: Reference, pull: asyncio.Task[Image]) -> None:
        """Wait for the pull and note how it went for one object."""
        try:
            image = await asyncio.shield(pull)
        except (ImageError, ContainerdError) as error:
            if self._still_wants(key, wanted, reference):
                self._note_failure(key, wanted, reference, error)
        except asyncio.CancelledError:
            if not pull.cancelled():
                raise
            if self._still_wants(key, wanted, reference) and self._pulls.get(reference.name) is None:
                # Ended when nobody waited, just before this object came: it is to be pulled anew.
                del self._observed[key]
        else:
            if self._still_wants(key, wanted, reference):
                waited = self._observed[key]
                if waited.total_bytes:
                    told = news.pulled(reference.familiar, waited.started_at, datetime.now(UTC), image.size)
                    self._announce(key, Reason.PULLED, told)
                self._present(key, wanted, image)
        if self._pulls.get(reference.name) is None:
            self._waiting.get(reference.name, set()).discard(key)
        self._wake(key)

    def _still_wants(self, key: Key, wanted: str, reference: Reference) -> bool:
        known = self._observed.get(key)
        return known is not None and known.wanted == wanted and key in self._waiting.get(reference.name, ())

    def _note_failure(self, key: Key, wanted: str, reference: Reference, error: Exception) -> None:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        message = f"image {reference.familiar} could not be pulled: {error}"
        backoff = min(FIRST_BACKOFF * 2 ** min(count - 1, 10), LAST_BACKOFF)
        reason = Reason.ERR_IMAGE_PULL if count == 1 else Reason.IMAGE_PULL_BACK_OFF
        _log.warning("an image could not be pulled", namespace=key[0], name=key[1], attempt=count, error=str(error))
        self._announce(key, Reason.ERR_IMAGE_PULL, message)
        self._failed(key, wanted, reason, message, backoff)

    async def close(self) -> None:
        """Cancel what is under way; a later pull resumes it."""
        tasks = [*self._pulls.values(), *self._followers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
