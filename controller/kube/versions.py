"""Which objects of a kind there are, and of which version: all that is needed to tell whether a watch has missed something."""

from typing import Final

from controller.kube.client import METADATA_ONLY, Client

PAGE: Final = 500
Name = tuple[str, str]
"""Namespace, which is empty where the kind has none, and name."""
Version = tuple[str, str]
"""uid and resourceVersion."""


def later(one: str, other: str) -> bool:
    """Whether a resourceVersion is surely later than another: they are numbers of one sequence in every server there is."""
    return one.isdigit() and other.isdigit() and int(one) > int(other)


async def listed(client: Client, collection: str, cached: bool = False, *, selector: str = "") -> dict[Name, Version]:
    """The version of each object in a collection, or of those that a label selector matches.

    Cached, as the API server remembers it: that costs it little, and may be a moment old. Else as it is stored, which costs the server a
    millisecond an object; it is asked for page by page, so that little of it is in memory at a time.
    """
    found: dict[Name, Version] = {}
    query = {"resourceVersion": "0"} if cached else {"limit": str(PAGE)}
    if selector:
        query["labelSelector"] = selector
    while True:
        answer = await client.get(collection, query=query, accept=METADATA_ONLY)
        for item in answer["items"] or ():
            metadata = item["metadata"]
            found[metadata.get("namespace", ""), metadata["name"]] = (metadata["uid"], metadata["resourceVersion"])
        more = answer["metadata"].get("continue")
        if not more:
            return found
        query["continue"] = more
