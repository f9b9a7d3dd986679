"""Counts what is in the agent's memory, when somebody asks for its metrics. Reads only; nothing is counted in between."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from controller import metrics
from controller.agent.declared import Declared, DeclaredStore
from controller.agent.queue import WorkQueue
from controller.api.conditions import ConditionStatus, ConditionType
from controller.api.container import ContainerState
from controller.kube.events import Recorder


@dataclass(frozen=True)
class Census:
    """What is counted."""

    declared: DeclaredStore
    queues: tuple[WorkQueue, ...]
    recorder: Recorder

    def take(self) -> None:
        """Bring the gauges that are read off the memory up to date."""
        metrics.events_waiting(self.recorder.waiting())
        known = list(self.declared)
        metrics.containers(
            Counter(one.status.state or ContainerState.PENDING for one in known),
            Counter(one.spec.desired_state for one in known if one.spec is not None),
            Counter(_not_ready(known)),
        )
        loads = [queue.load() for queue in self.queues]
        metrics.queue(
            sum(load.waiting for load in loads),
            max(load.longest_wait for load in loads),
            max(load.longest_look for load in loads),
            sum(load.backing_off for load in loads),
        )


def _not_ready(known: Iterable[Declared]) -> Iterable[str]:
    """The reason of each condition Ready that is not True."""
    for declared in known:
        for condition in declared.status.conditions:
            if condition.type is ConditionType.READY and condition.status is not ConditionStatus.TRUE:
                yield condition.reason
