"""The machine of a container's life: each edge has a history of its own that goes along it, and there are no others.

The histories run in `world`, by real plans; that nothing happens which is no edge is a law there, kept in every random life of
`test_plan_life`.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from controller.agent import actions, life
from controller.agent.life import EDGES, KNOWN, MEANING, Edge, Phase, phase
from controller.agent.observation import ObservedContainer
from controller.api.container import ContainerState
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    NEVER_STARTED,
    PAUSED,
    RUNNING,
    UNKNOWN,
    ago,
    container,
    declared,
    ended,
    ending,
    mark,
)
from tests.unit.agent.plan_tables import status_of
from tests.unit.agent.test_plan_life import (
    AT_ONCE,
    DELETE,
    FREEZES,
    INEFFECTIVE,
    LOOK,
    LOST,
    OTHER,
    PAUSES,
    PULLED,
    RECORD_THIEF,
    RESTART,
    RUN,
    SEEN,
    STARTS,
    STOPS,
    STUBBORN,
    THAWS,
    THIEF,
    UNSEEN,
    Occurrence,
    dies_after,
    ends,
    fails,
    restarts,
)
from tests.unit.agent.world import World

P = Phase
ALWAYS = restarts("Always", backoff={"initialSeconds": 60})
MADE_ONLY = [fails("made only"), OTHER, LOOK, PULLED, LOOK]
"""A new container whose process was made and not started."""
UNTOLD = [fails("answer lost"), OTHER, LOOK, PULLED, LOOK, RESTART]
"""A new container that runs, of which no status tells and no agent knows."""
CUT_SHORT = Occurrence("the next removal is cut short", lambda world: setattr(world, "stuck_removals", 1))


def obey(world: World) -> None:
    for record in world.records.values():
        if record.task is not None:
            record.task.polite = True


OBEDIENT = Occurrence("the processes obey from now on", obey)

HISTORIES: dict[tuple[Phase, Phase, str], Sequence[Occurrence]] = {
    (P.ABSENT, P.CREATED, "CreateContainer"): [],
    (P.CREATED, P.RUNNING, "StartContainer"): [],
    (P.CREATED, P.MADE, "StartContainer"): MADE_ONLY,
    (P.CREATED, P.ABSENT, "RemoveContainer"): [fails("not found"), OTHER, RUN],
    (P.CREATED, P.EXITED, "RecordFailedStart"): [ALWAYS, STOPS, RUN, fails("not found"), STARTS, RUN],
    (P.MADE, P.RUNNING, "StartContainer"): [*MADE_ONLY, RUN],
    (P.MADE, P.STOPPING, "KillContainer"): [*MADE_ONLY, INEFFECTIVE, STOPS, LOOK],
    (P.MADE, P.ENDED, "KillContainer"): [*MADE_ONLY, STOPS, RUN],
    (P.MADE, P.ABSENT, "RemoveContainer"): [*MADE_ONLY, DELETE, RUN],
    (P.MADE, P.CREATED, "RemoveContainer"): [*MADE_ONLY, CUT_SHORT, DELETE, RUN],
    (P.MADE, P.CREATED, life.NODE): [*MADE_ONLY, THIEF],
    (P.RUNNING, P.PAUSED, "PauseContainer"): [PAUSES, RUN],
    (P.RUNNING, P.PAUSED, life.SOMEBODY): [FREEZES],
    (P.RUNNING, P.STOPPING, "SignalStop"): [STUBBORN, OTHER, RUN, STOPS, LOOK],
    (P.RUNNING, P.STOPPING, "KillContainer"): [INEFFECTIVE, AT_ONCE, LOOK],
    (P.RUNNING, P.ENDED, "SignalStop"): [STOPS, RUN],
    (P.RUNNING, P.ENDED, "KillContainer"): [AT_ONCE, RUN],
    (P.RUNNING, P.ENDED, life.PROCESS): [ends(3)],
    (P.RUNNING, P.VANISHED, life.NODE): [THIEF],
    (P.RUNNING, P.CREATED, life.NODE): [*UNTOLD, THIEF],
    (P.PAUSED, P.RUNNING, "ResumeContainer"): [PAUSES, RUN, STARTS, RUN],
    (P.PAUSED, P.RUNNING, life.SOMEBODY): [PAUSES, RUN, THAWS],
    (P.PAUSED, P.STOPPING, "SignalStop"): [PAUSES, RUN, STOPS, LOOK],
    (P.PAUSED, P.STOPPING, "KillContainer"): [PAUSES, RUN, INEFFECTIVE, AT_ONCE, LOOK],
    (P.PAUSED, P.ENDED, "KillContainer"): [PAUSES, RUN, AT_ONCE, RUN],
    (P.PAUSED, P.VANISHED, life.NODE): [PAUSES, RUN, THIEF],
    (P.PAUSED, P.CREATED, life.NODE): [*UNTOLD, FREEZES, THIEF],
    (P.STOPPING, P.ENDED, "SignalStop"): [STUBBORN, OTHER, RUN, STOPS, dies_after(1), OBEDIENT, RUN],
    (P.STOPPING, P.ENDED, "ResumeContainer"): [PAUSES, RUN, STOPS, RUN],
    (P.STOPPING, P.ENDED, "KillContainer"): [STUBBORN, OTHER, RUN, STOPS, RUN],
    (P.STOPPING, P.ENDED, life.PROCESS): [STUBBORN, OTHER, RUN, STOPS, LOOK, ends(0)],
    (P.STOPPING, P.ENDED, life.SOMEBODY): [PAUSES, RUN, dies_after(1), STOPS, dies_after(2), THAWS],
    (P.STOPPING, P.VANISHED, life.NODE): [STUBBORN, OTHER, RUN, STOPS, LOOK, THIEF],
    (P.ENDED, P.RECORDED, "RecordExit"): [ends(3), RUN],
    (P.ENDED, P.VANISHED, life.NODE): [ends(3), THIEF],
    (P.ENDED, P.CREATED, life.NODE): [*UNTOLD, ends(3), THIEF],
    (P.ENDED, P.ABSENT, "RemoveContainer"): [ends(3), DELETE, RUN],
    (P.ENDED, P.VANISHED, "RemoveContainer"): [ends(3), CUT_SHORT, DELETE, RUN],
    (P.ENDED, P.CREATED, "RemoveContainer"): [*UNTOLD, ends(3), CUT_SHORT, DELETE, RUN],
    (P.RECORDED, P.EXITED, "FreeProcess"): [ends(3), RUN],
    (P.RECORDED, P.EXITED, life.NODE): [ends(3), LOST, LOOK, THIEF],
    (P.RECORDED, P.EXITED, "RemoveContainer"): [ends(3), LOST, LOOK, CUT_SHORT, DELETE, RUN],
    (P.RECORDED, P.ABSENT, "RemoveContainer"): [ends(3), LOST, LOOK, DELETE, RUN],
    (P.VANISHED, P.EXITED, "RecordExit"): [THIEF, RUN],
    (P.VANISHED, P.ABSENT, "RemoveContainer"): [THIEF, DELETE, RUN],
    (P.EXITED, P.RUNNING, "StartContainer"): [STOPS, RUN, STARTS, RUN],
    (P.EXITED, P.MADE, "StartContainer"): [STOPS, RUN, fails("made only"), STARTS, LOOK],
    (P.EXITED, P.CREATED, "StartContainer"): [STOPS, RUN, fails("not found"), STARTS, LOOK],
    (P.EXITED, P.ABSENT, "RemoveContainer"): [ends(3), RUN, DELETE, RUN],
    (P.UNKNOWN, P.ENDED, life.PROCESS): [UNSEEN, ends(3)],
    (P.UNKNOWN, P.ENDED, "SignalStop"): [UNSEEN, DELETE, RUN],
    (P.UNKNOWN, P.ENDED, "KillContainer"): [AT_ONCE, STARTS, RUN, UNSEEN, DELETE, RUN],
    (P.UNKNOWN, P.VANISHED, life.NODE): [UNSEEN, THIEF],
    (P.UNKNOWN, P.CREATED, life.NODE): [*UNTOLD, UNSEEN, THIEF],
    **{
        (source, P.UNKNOWN, life.CONTAINERD): [*way, UNSEEN]
        for source, way in {
            P.MADE: MADE_ONLY,
            P.RUNNING: [],
            P.PAUSED: [PAUSES, RUN],
            P.STOPPING: [STUBBORN, OTHER, RUN, STOPS, LOOK],
        }.items()
    },
    **{
        (P.UNKNOWN, target, life.CONTAINERD): [*way, UNSEEN, SEEN]
        for target, way in {
            P.MADE: MADE_ONLY,
            P.RUNNING: [],
            P.PAUSED: [PAUSES, RUN],
            P.STOPPING: [STUBBORN, OTHER, RUN, STOPS, LOOK],
        }.items()
    },
    **{
        (source, P.ABSENT, life.SOMEBODY): [*way, RECORD_THIEF]
        for source, way in {
            P.CREATED: [*MADE_ONLY, THIEF],
            P.MADE: MADE_ONLY,
            P.RUNNING: [],
            P.PAUSED: [PAUSES, RUN],
            P.STOPPING: [STUBBORN, OTHER, RUN, STOPS, LOOK],
            P.ENDED: [ends(3)],
            P.RECORDED: [ends(3), LOST, LOOK],
            P.VANISHED: [THIEF],
            P.EXITED: [ends(3), RUN],
            P.UNKNOWN: [UNSEEN],
        }.items()
    },
}


def name(edge: tuple[Phase, Phase, str]) -> str:
    return f"{edge[0]} to {edge[1]} by {edge[2]}"


def test_every_edge_has_a_history_and_no_history_is_of_another() -> None:
    assert HISTORIES.keys() == KNOWN
    assert len(EDGES) == len(KNOWN), "an edge is written down twice"


@pytest.mark.feature("L1", "L2", "L4", "L7", "L8", "L9", "L12", "L15", "L16", "L17")
@pytest.mark.parametrize(("edge", "history"), HISTORIES.items(), ids=map(name, HISTORIES))
def test_a_life_goes_along_the_edge(edge: tuple[Phase, Phase, str], history: Sequence[Occurrence]) -> None:
    world = World()
    world.apply()
    world.settle()
    for occurrence in history:
        occurrence.happen(world)
    assert edge in world.travelled


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        pytest.param(None, P.ABSENT, id="nothing is there"),
        pytest.param(container(task=NEVER_STARTED), P.CREATED, id="it never ran"),
        pytest.param(container(task=NEVER_STARTED, started_at=ago(5)), P.VANISHED, id="this agent saw it start"),
        pytest.param(container(task=NEVER_STARTED, stop=mark()), P.VANISHED, id="its stop was asked for"),
        pytest.param(container(task=NEVER_STARTED, exit=ending(3)), P.EXITED, id="its end is remembered"),
        pytest.param(container(task=CREATED), P.MADE, id="its process was never started"),
        pytest.param(container(), P.RUNNING, id="its process runs"),
        pytest.param(container(task=PAUSED), P.PAUSED, id="its processes are frozen"),
        pytest.param(container(task=UNKNOWN), P.UNKNOWN, id="containerd can't tell"),
        pytest.param(container(task=CREATED, stop=mark()), P.STOPPING, id="to end, and never started"),
        pytest.param(container(task=RUNNING, stop=mark()), P.STOPPING, id="to end, and runs"),
        pytest.param(container(task=PAUSED, stop=mark()), P.STOPPING, id="to end, and is frozen"),
        pytest.param(container(task=ended(3)), P.ENDED, id="its process has ended"),
        pytest.param(container(task=ended(3), exit=ending(3)), P.RECORDED, id="that is remembered too"),
        pytest.param(container(task=ended(3), exit=ending(3, at=ago(9))), P.ENDED, id="another end is remembered"),
    ],
)
def test_the_phase_of_a_container(current: ObservedContainer | None, expected: Phase) -> None:
    assert phase(BASE, current) is expected


def test_a_run_that_only_the_status_knows_has_vanished() -> None:
    told = declared(status=status_of(BASE, startedAt="2026-11-22T09:00:00Z", restartCount=1))
    current = container(task=NEVER_STARTED, restarts=1)
    assert phase(told, current) is P.VANISHED
    assert phase(told, replace(current, restarts=2)) is P.CREATED, "that was the run before"
    assert phase(None, current) is P.CREATED


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: name((edge.source, edge.target, edge.by)))
def test_an_edge_is_brought_about_by_an_action_or_by_somebody_who_is_named(edge: Edge) -> None:
    others = {life.PROCESS, life.NODE, life.SOMEBODY, life.CONTAINERD}
    assert edge.by in others or hasattr(actions, edge.by)
    assert edge.when.endswith((".", "!"))


def test_every_phase_is_explained_and_has_a_way_in_and_a_way_out() -> None:
    assert MEANING.keys() == set(Phase)
    assert {edge.source for edge in EDGES} == {edge.target for edge in EDGES} == set(Phase)


def test_every_state_of_the_api_follows_from_a_phase_or_from_what_the_object_asks_for() -> None:
    assert set(life.STATES) == set(ContainerState)
    assert {one for phases in life.STATES.values() for one in phases} == set(Phase)
