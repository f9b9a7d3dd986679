"""Watching Containers for as long as somebody wants to know: what there is, and then every change."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import ClientSession, ClientTimeout

Body = Mapping[str, Any]


async def follow(
    session: ClientSession,
    collection: str,
    listed: Callable[[Sequence[Body]], None],
    changed: Callable[[str, Body], None],
    begun: asyncio.Event,
    *,
    selector: str = "",
    metadata_only: bool = False,
) -> None:
    """Hand on all objects of a collection, by its URL, and then each change with its type, until cancelled.

    The API server may end a watch at any time, and does when its reader is slow; then a list goes on from there.
    """
    chosen = {"labelSelector": selector} if selector else {}
    headers = {"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"} if metadata_only else {}
    while True:
        async with session.get(collection, params=chosen) as answer:
            answer.raise_for_status()
            found = json.loads(await answer.read())
        listed(found["items"])
        query = {**chosen, "watch": "true", "resourceVersion": found["metadata"]["resourceVersion"]}
        async with session.get(collection, params=query, headers=headers, timeout=ClientTimeout()) as stream:
            begun.set()
            async for line in stream.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    break
                changed(event["type"], event["object"])
