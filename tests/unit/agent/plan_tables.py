"""The rows that the tables of the plan are made of: a situation, what is to be done, and what is to be said."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pytest

from controller.agent.actions import (
    Action,
    Announcement,
    CreateContainer,
    RecordExit,
    StartContainer,
)
from controller.agent.declared import Declared
from controller.agent.identity import container_id
from controller.agent.observation import Checked, Failure, Observation, ObservedContainer, ObservedImage
from controller.agent.plan import Plan, plan
from controller.api.container import ContainerState
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    ID,
    NOW,
    OTHER_UID,
    ahead,
    declared,
)

STOPPED = declared(desiredState="Stopped")
FROZEN = declared(desiredState="Paused")
CHANGED = declared(args=["--verbose"], generation=2)
CHANGED_ID = container_id(CHANGED.uid, CHANGED.spec_hash)
INVALID = declared(workingDir="not/absolute")
MOVED = declared(nodeName="node-b")
DELETED = declared(deleting=True)
LIMITED = declared(resources={"limits": {"memory": "64Mi"}})
EXITED_0 = {"state": "Exited", "specHash": BASE.spec_hash, "exitCode": 0, "finishedAt": "2026-11-22T09:00:00Z"}
RECREATED = "changed: args; the container is replaced"
SUCCESSOR = declared(uid=OTHER_UID)


@dataclass(frozen=True)
class Said:
    """What the facts of a plan say."""

    state: ContainerState
    reason: Reason
    ready: bool = False
    progressing: bool = False
    stalled: bool = False
    refused: bool = False
    with_container: bool = True
    exit_code: int | None = None
    not_before: datetime | None = None
    transient: bool = False


@dataclass(frozen=True)
class Case:
    """A row: the sentence is its name."""

    sentence: str
    given: Declared | None
    containers: tuple[ObservedContainer, ...] = ()
    image: ObservedImage | None = None
    failure: Failure | None = None
    lost_at: datetime | None = None
    actions: tuple[Action, ...] = ()
    said: Said | None = None
    look_again: datetime | None = None
    say_first: bool = False
    forget_failure: bool = False
    checked: bool = True
    """Whether a container is known to be possible of the spec."""

    @property
    def observation(self) -> Observation:
        sure = Checked(self.given.spec_hash, NOW) if self.given is not None and self.checked else None
        return Observation(self.containers, self.image, self.failure, self.lost_at, checked=sure)


def saying(decided: Plan) -> Said | None:
    facts = decided.facts
    if facts is None:
        return None
    return Said(
        facts.state,
        facts.why.reason,
        ready=facts.ready,
        progressing=facts.progressing is not None,
        stalled=facts.stalled is not None,
        refused=facts.refused is not None,
        with_container=facts.container is not None,
        exit_code=facts.exit.code if facts.exit is not None else None,
        not_before=facts.publish_after,
        transient=facts.transient,
    )


def without_run(action: Action) -> Action:
    """The action without the length of the run, which test_restarting is about."""
    return replace(action, started_at=None, short_runs=0) if isinstance(action, RecordExit) else action


def check(case: Case) -> None:
    decided = plan(case.given, case.observation, NOW)
    assert tuple(map(without_run, decided.actions)) == case.actions
    assert saying(decided) == case.said
    assert decided.look_again == case.look_again
    assert decided.say_first == case.say_first
    assert decided.forget_failure == case.forget_failure


def table(*cases: Case) -> pytest.MarkDecorator:
    assert len({case.sentence for case in cases}) == len(cases)
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.sentence)


def pending(reason: Reason, **more: Any) -> Said:
    return Said(ContainerState.PENDING, reason, with_container=False, **more)


def status_of(given: Declared, **status: Any) -> dict[str, Any]:
    return {"containerID": container_id(given.uid, given.spec_hash), "specHash": given.spec_hash, **status}


MAKE = (CreateContainer(), StartContainer(ID))
VANISHED = Announcement(Reason.CONTAINER_VANISHED, f"container {ID[:12]} is gone from containerd and was made again")
RUNS = Said(ContainerState.RUNNING, Reason.RUNNING, ready=True)
STOPPING = Said(ContainerState.RUNNING, Reason.STOPPING, progressing=True, not_before=ahead(1))


REMOVING = Said(ContainerState.REMOVING, Reason.REMOVING, progressing=True, with_container=False, not_before=ahead(1))
