"""Blobs from a registry into the content store: verified, resumable, and each one once at a time.

A large blob is written on a stream without the lease and committed on one with it. For containerd drops unfinished writes
with the lease that they were begun under, but keeps others for a day: so a pull that fails, or whose process dies, goes
on where it was, also when it is tried again under another lease.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from controller.containerd import digests, errors
from controller.containerd.client import Services
from controller.containerd.content import Content, Writer
from controller.containerd.descriptors import Descriptor
from controller.containerd.image_errors import DigestMismatch, ImageError, RegistryUnavailable
from controller.containerd.pull.locks import KeyedLocks
from controller.containerd.pull.progress import Tracker
from controller.containerd.registry.client import Registry
from controller.containerd.registry.reference import ImageReference

RETRIES = 5
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds between tries: doubled each time; a registry's own wish (`Retry-After`) counts up to the longest."""

LOCK_PATIENCE = 60.0
"""Seconds to wait for another writer of the same ref that makes no progress."""
_LOCK_POLL = 0.2

_MAX_LABEL_BYTES = 4096


class Ingest:
    """Brings the blobs of one image."""

    def __init__(
        self,
        *,
        client: Services,
        leased: Services,
        registry: Registry,
        reference: ImageReference,
        locks: KeyedLocks,
        tracker: Tracker,
    ) -> None:
        self._client = client
        self._leased = leased
        self._registry = registry
        self._reference = reference
        self._locks = locks
        self._tracker = tracker

    async def store(self, kind: str, descriptor: Descriptor, data: bytes, labels: Mapping[str, str]) -> None:
        """Put a small blob into the store, under the lease; `kind` is the first word of its ref."""
        async with self._locks.hold(descriptor.digest):
            try:
                async with AsyncExitStack() as stack:
                    writer = await _open(stack, self._leased.content, f"{kind}-{descriptor.digest}", descriptor)
                    if writer.offset != descriptor.size:
                        writer.restart()
                        await writer.write(data)
                    await writer.commit(descriptor.size, descriptor.digest, {**labels, **self._source({})})
            except errors.AlreadyExists:
                await self._label(descriptor, labels)
        self._tracker.have(descriptor.digest, descriptor.size)

    async def fetch(self, kind: str, descriptor: Descriptor) -> None:
        """Fetch a blob into the store, under the lease, trying again what may pass; raises `ImageError`."""
        delay = FIRST_DELAY
        async with self._locks.hold(descriptor.digest):
            for retries_left in reversed(range(RETRIES + 1)):
                try:
                    await self._fetch_once(f"{kind}-{descriptor.digest}", descriptor)
                    break
                except ImageError as error:
                    if not error.transient or not retries_left:
                        raise
                    wish = error.retry_after if isinstance(error, RegistryUnavailable) else None
                await asyncio.sleep(min(max(delay, wish or 0.0), LONGEST_DELAY))
                delay *= 2
        self._tracker.have(descriptor.digest, descriptor.size)

    async def _fetch_once(self, ref: str, descriptor: Descriptor) -> None:
        resumed = False
        try:
            async with AsyncExitStack() as stack:
                writer = await _open(stack, self._client.content, ref, descriptor)
                resumed = 0 < writer.offset <= descriptor.size
                await self._download(writer, descriptor)
        except errors.AlreadyExists:
            # It is in the store; what follows takes it under the lease.
            pass
        except DigestMismatch:
            await self._abort(ref)
            raise
        await self._commit(ref, descriptor, resumed=resumed)

    async def _download(self, writer: Writer, descriptor: Descriptor) -> None:
        """Write what is missing of a blob, and check it when it comes as a whole."""
        if writer.offset > descriptor.size:
            writer.restart()
        if writer.offset == descriptor.size:
            return
        async with self._registry.blob(self._reference, descriptor, writer.offset) as stream:
            if stream.offset != writer.offset:
                writer.restart()
            whole = writer.offset == 0
            hasher = digests.hasher_for(descriptor.digest)
            async for chunk in stream.chunks:
                if writer.offset + len(chunk) > descriptor.size:
                    raise DigestMismatch(
                        f"{self._where} sent more than the {descriptor.size} bytes of {descriptor.digest}"
                    )
                await _both(writer, hasher, chunk)
                self._tracker.have(descriptor.digest, writer.offset)
        if writer.offset < descriptor.size:
            raise RegistryUnavailable(f"{self._where}: the connection was cut")
        if whole and hasher.hexdigest() != descriptor.digest.partition(":")[2]:
            raise DigestMismatch(f"{self._where} sent something else than {descriptor.digest}")

    async def _commit(self, ref: str, descriptor: Descriptor, *, resumed: bool) -> None:
        """Make what was written a blob under the lease; containerd checks all of it against the digest."""
        try:
            async with AsyncExitStack() as stack:
                writer = await _open(stack, self._leased.content, ref, descriptor)
                if writer.offset != descriptor.size:
                    raise RegistryUnavailable(f"{descriptor.digest} went from the store while it was fetched")
                await writer.commit(descriptor.size, descriptor.digest, self._source({}))
        except errors.AlreadyExists:
            await self._label(descriptor, {})
        except errors.FailedPrecondition as error:
            await self._abort(ref)
            if resumed:
                # What an earlier try left behind may be at fault; without it, the next one starts from nothing.
                raise RegistryUnavailable(f"{self._where}: {descriptor.digest} did not fit together") from error
            raise DigestMismatch(f"{self._where} sent something else than {descriptor.digest}") from error

    async def _abort(self, ref: str) -> None:
        try:
            await self._client.content.abort(ref)
        except errors.NotFound:
            return

    async def _label(self, descriptor: Descriptor, labels: Mapping[str, str]) -> None:
        """Set labels on a blob that was in the store before, where they are missing."""
        present = (await self._leased.content.info(descriptor.digest)).labels
        wanted = {**labels, **self._source(present)}
        missing = {key: value for key, value in wanted.items() if present.get(key) != value}
        if missing:
            await self._leased.content.update_labels(descriptor.digest, missing)

    @property
    def _where(self) -> str:
        return f"{self._reference.host}/{self._reference.repository}"

    def _source(self, present: Mapping[str, str]) -> dict[str, str]:
        """Return the label that names where a blob can be had, with what it names already (containerd's form)."""
        key = f"containerd.io/distribution.source.{self._reference.hostname}"
        repositories = {one for one in present.get(key, "").split(",") if one} | {self._reference.repository}
        value = ",".join(sorted(repositories))
        return {key: value} if len(key) + len(value) <= _MAX_LABEL_BYTES else {}


async def _both(writer: Writer, hasher: digests.Hasher, chunk: bytes) -> None:
    """Write and hash a chunk, the hashing in a thread: a megabyte takes milliseconds that others can use."""
    hashing = asyncio.create_task(asyncio.to_thread(hasher.update, chunk))
    try:
        await writer.write(chunk)
    finally:
        await hashing


async def _open(stack: AsyncExitStack, content: Content, ref: str, descriptor: Descriptor) -> Writer:
    """Become the writer of a ref, waiting for another one as long as it gets on; raises `AlreadyExists` for the blob."""
    loop = asyncio.get_running_loop()
    offset: int | None = None
    deadline = 0.0
    while True:
        try:
            return await stack.enter_async_context(
                content.writer(ref, total=descriptor.size, expected=descriptor.digest)
            )
        except errors.Unavailable as error:
            if "locked" not in error.detail:
                raise
            seen = await _offset(content, ref)
            if offset is None or seen != offset:
                offset, deadline = seen, loop.time() + LOCK_PATIENCE
            elif loop.time() > deadline:
                raise
        # containerd tells nobody when a ref is let go of, so there is nothing to wait on but time.
        await asyncio.sleep(_LOCK_POLL)


async def _offset(content: Content, ref: str) -> int:
    try:
        return (await content.status(ref)).offset
    except errors.NotFound:
        return -1
