"""The only writer of statuses: what changed is sent, in one merge patch, and nothing when nothing changed.

Runs within the single flight of its object, so writes never overtake each other.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from controller import metrics
from controller.agent import news
from controller.agent.actions import Announcement
from controller.agent.allowance import Allowance
from controller.agent.decision import is_due
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.facts import Facts
from controller.agent.identity import Key
from controller.agent.memory import says_lost
from controller.agent.status import difference, summarize
from controller.kube import errors
from controller.kube.containers import Containers

LONGEST_WAIT = timedelta(seconds=10)
"""Nothing is kept back longer, unless the clock was set back meanwhile."""
UNHEARD_SECONDS = 2.0
SPACING = timedelta(seconds=2)
"""How far apart the steps of something long are written."""


class Publisher:
    """Writes statuses."""

    def __init__(
        self,
        api: Containers,
        declared: DeclaredStore,
        node: str,
        announce: Callable[[Declared, Announcement], None],
        heard: Callable[[], bool],
    ) -> None:
        self._api = api
        self._declared = declared
        self._node = node
        self._announce = announce
        self._heard = heard
        self._written: dict[Key, datetime] = {}
        self._allowance = Allowance()

    async def publish(self, declared: Declared, facts: Facts) -> float | None:
        """Write the status that the facts make, if it says anything new; returns the seconds after which it is worth a write.

        Raises:
            Conflict: the object was replaced by another of its name, or changed since this node was to write its first status of it.
            Unavailable: the write may or may not have happened; it is repeated with the next look.
        """
        now = datetime.now(UTC)
        due = self._due(declared.key, facts)
        if due is not None and not is_due(due, LONGEST_WAIT, now):
            return (due - now).total_seconds()
        status = summarize(declared, facts, self._node, now)
        patch = difference(declared.written, status)
        if not patch:
            return None
        wait = self._wait(declared)
        # NB: an id that is taken out of the status can't wait, for then containerd forgets the container.
        if wait > 0 and patch.get("containerID", "") is not None:
            return wait
        self._allowance.spend(declared.uid)
        try:
            with metrics.status_write():
                body = await self._api.patch_status(*declared.key, declared.uid, patch, self._first(declared))
        except errors.NotFound:
            self._declared.drop(declared.key, declared.uid)
            return None
        if facts.transient:
            self._written[declared.key] = now
        else:
            self._written.pop(declared.key, None)
        self._declared.put(body)
        for told in news.of_status(declared.written, status):
            self._announce(declared, told)
        return None

    def _wait(self, declared: Declared) -> float:
        """The seconds for which a write has to wait, whatever it says."""
        if says_lost(declared.written) and not self._heard():
            # What the cluster says of a lost node is set right once it hears of the node again; else each would contradict the other.
            return UNHEARD_SECONDS
        return self._allowance.wait(declared.uid)

    def _first(self, declared: Declared) -> str | None:
        """The version that the first status of this node is for: one that was bound to another meanwhile must not get it."""
        return None if declared.written.node_name == self._node else declared.resource_version

    def _due(self, key: Key, facts: Facts) -> datetime | None:
        if facts.transient and key in self._written:
            spaced = self._written[key] + SPACING
            return max(spaced, facts.publish_after) if facts.publish_after else spaced
        return facts.publish_after

    def forget(self, key: Key) -> None:
        """The object is gone."""
        self._written.pop(key, None)
