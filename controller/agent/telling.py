"""An actor that tells what it does: how long each action takes, to the metrics; what it changed, to the user.

Decides nothing and changes nothing: what is worth telling is decided in `news`.
"""

from collections.abc import Callable
from typing import Protocol

from controller import metrics
from controller.agent import news
from controller.agent.act import Actor
from controller.agent.actions import Action, Announcement, StartContainer
from controller.agent.declared import Declared
from controller.agent.identity import Key
from controller.agent.observation import ObservedContainer
from controller.agent.observed import ObservedStore


class Subject(Protocol):
    """An object that news is about."""

    @property
    def key(self) -> Key:
        """Its namespace and name."""

    @property
    def uid(self) -> str:
        """Its uid."""

    @property
    def resource_version(self) -> str:
        """Its version when the news was made."""


Announce = Callable[[Subject, Announcement], None]


class TellingActor:
    """Carries out actions as the actor within it does."""

    def __init__(self, actor: Actor, observed: ObservedStore, announce: Announce) -> None:
        self._actor = actor
        self._observed = observed
        self._announce = announce

    async def perform(self, action: Action, declared: Declared | None) -> None:
        """Carry out one action. What has no object any more is nobody's news.

        Raises:
            Exception: as `Actor.perform`; then nothing is told.
        """
        before = self._about(action)
        with metrics.action(type(action).__name__):
            await self._actor.perform(action, declared)
        if declared is None:
            return
        after = self._about(action)
        _count(action, news.end(action, declared, before, after))
        for told in news.of_step(action, declared, before, after):
            self._announce(declared, told)

    def _about(self, action: Action) -> ObservedContainer | None:
        return self._observed.get(getattr(action, "id", ""))


def _count(action: Action, end: Announcement | None) -> None:
    if end is not None:
        metrics.container_exited(end.reason)
    if isinstance(action, StartContainer) and action.again is not None:
        metrics.container_restarted(by_policy=action.again.retries > 0)
