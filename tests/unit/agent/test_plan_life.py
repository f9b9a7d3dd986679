"""Whatever users, processes, crashes and thieves do, the plan brings the world to rest, and every law holds on the way.

What may happen is a list of occurrences, drawn in any order; the laws of every moment are checked in `world`, those of the end
here. Set HYPOTHESIS_PROFILE=thorough for more examples, another seed each time.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.agent.identity import HISTORY_LENGTH, UID
from controller.api.container import FINALIZER, ContainerSpec, ContainerState, ContainerStatus, DesiredState
from controller.api.lifecycle import RestartPolicyName
from controller.api.validation import read_status
from controller.containerd.tasks import TaskStatus
from tests.unit.agent.objects import FOREIGN
from tests.unit.agent.world import Life, StartFault, Unavailable, World, foreign_finalizers


@dataclass(frozen=True)
class Occurrence:
    """Something that happens; its text is how a failing example reads."""

    text: str
    happen: Callable[[World], None]
    weight: int = 1

    def __repr__(self) -> str:
        return repr(self.text)


def applies(**spec: Any) -> Occurrence:
    return Occurrence(f"the user applies {spec}", lambda world: world.apply(**spec))


def asks_for(state: str, weight: int) -> Occurrence:
    def ask(world: World) -> None:
        if world.object is not None:
            world.apply(**{**world.object["spec"], "desiredState": state})

    return Occurrence(f"the user asks for {state}", ask, weight)


def look(world: World) -> None:
    try:
        world.look()
    except Unavailable:
        pass


def dies_after(lines: int) -> Occurrence:
    def live_and_die(world: World) -> None:
        world.die_after = lines
        look(world)
        world.restart_agent()

    return Occurrence(f"the agent looks and dies after {lines} lines", live_and_die)


def waits(seconds: float) -> Occurrence:
    def wait(world: World) -> None:
        world.wait(seconds)

    return Occurrence(f"{seconds} s pass", wait)


def ends(code: int) -> Occurrence:
    return Occurrence(f"the process ends with {code}", lambda world: world.process_ends(code), 2)


def sets_clock(seconds: float) -> Occurrence:
    return Occurrence(f"the node's clock is set by {seconds} s", lambda world: world.set_clock(seconds))


def restarts(name: str, weight: int = 1, **policy: Any) -> Occurrence:
    """The user gives the container a restart policy, and leaves the rest as it is."""

    def edit(world: World) -> None:
        if world.object is not None:
            kept = {key: value for key, value in world.object["spec"].items() if key != "autoRemove"}
            world.apply(**{**kept, "restartPolicy": {"name": name, **policy}})

    return Occurrence(f"the restart policy becomes {name} {policy}", edit, weight)


def fails(*faults: StartFault) -> Occurrence:
    def plan_for(world: World) -> None:
        world.start_faults = list(faults)

    return Occurrence(f"the next starts fail: {', '.join(faults)}", plan_for)


def sets(text: str, name: str, value: Any) -> Occurrence:
    return Occurrence(text, lambda world: setattr(world, name, value))


def containerd_goes(world: World) -> None:
    world.lost_at = world.now


def replaced(world: World) -> None:
    """Deleted with its finalizers torn off, and made anew at once."""
    world.tear_off_finalizers()
    world.delete()
    world.apply()


UNSEEN = Occurrence("containerd loses sight of the processes", partial(World.containerd_is_unsure, unsure=True))
SEEN = Occurrence("containerd sees the processes again", partial(World.containerd_is_unsure, unsure=False), 2)
FREEZES = Occurrence("somebody freezes the processes", partial(World.somebody_freezes, frozen=True))
THAWS = Occurrence("somebody thaws the processes", partial(World.somebody_freezes, frozen=False))

OCCURRENCES = [
    applies(),
    applies(args=["b"]),
    applies(args=["b"], desiredState="Stopped"),
    applies(args=["b"], terminationGracePeriodSeconds=0),
    applies(desiredState="Stopped", terminationGracePeriodSeconds=0),
    applies(image="other:1"),
    applies(resources={"limits": {"memory": "64Mi"}}),
    applies(resources={"limits": {"memory": "64Mi"}}, desiredState="Stopped"),
    applies(stopSignal="SIGINT"),
    applies(workingDir="not/absolute"),
    applies(autoRemove=True),
    restarts("Always", 2),
    restarts("Always", backoff={"initialSeconds": 0, "maxSeconds": 0}),
    restarts("UnlessStopped", backoff={"initialSeconds": 5, "factor": 3, "maxSeconds": 100, "resetAfterSeconds": 10}),
    restarts("OnFailure", 2, maximumRetryCount=1, successExitCodes=[0, 143], backoff={"initialSeconds": 60}),
    restarts("OnFailure", neverRestartExitCodes=[3]),
    asks_for("Running", 3),
    asks_for("Stopped", 3),
    asks_for("Paused", 1),
    Occurrence("the user deletes the object", World.delete),
    Occurrence("the user replaces the object by force", replaced),
    Occurrence("others release the object", World.release_foreign_finalizers),
    Occurrence("the agent looks", look, 8),
    Occurrence("the agent looks as often as it wants", World.run, 8),
    Occurrence("the agent is restarted", World.restart_agent, 2),
    *(dies_after(lines) for lines in range(10)),
    Occurrence("the pull succeeds", lambda world: world.pull_ends(well=True), 3),
    Occurrence("the pull fails", lambda world: world.pull_ends(well=False)),
    *(waits(seconds) for seconds in (0.2, 2, 11, 100)),
    *(ends(code) for code in (0, 3, 143)),
    *(sets_clock(seconds) for seconds in (3600, -3600, 20, -20)),
    Occurrence("the user asks for a restart", World.ask_for_restart),
    Occurrence("the node is rebooted", World.reboots),
    UNSEEN,
    SEEN,
    FREEZES,
    THAWS,
    sets("later processes ignore the stop signal", "polite", False),
    sets("later processes obey the stop signal", "polite", True),
    sets("the next kill has no effect", "kills_ignored", 1),
    fails("not found"),
    fails("node unfit"),
    fails("busy", "made only"),
    fails("made only"),
    fails("answer lost"),
    sets("the next write of the status is lost", "lost_writes", 1),
    sets("the next write of finalizers is lost", "lost_patches", 1),
    sets("the next removal is cut short", "stuck_removals", 1),
    Occurrence("a thief takes the process", World.task_is_removed),
    Occurrence("a thief takes the record", World.records_are_removed),
    Occurrence("containerd goes away", containerd_goes),
    sets("containerd is back", "lost_at", None),
    sets("the OCI runtime vanishes", "runtime_gone", True),
    sets("the OCI runtime is back", "runtime_gone", False),
    sets("the node lacks what a changed spec needs", "unfit", True),
    sets("the node has it again", "unfit", False),
]
ANY = st.sampled_from([one for one in OCCURRENCES for _ in range(one.weight)])


def judge_object(world: World) -> None:
    """What is deleted leaves nothing; what is there has its own container at most."""
    if world.object is None:
        assert world.records == {}
        return
    uid = world.object["metadata"]["uid"]
    assert {record.labels[UID] for record in world.records.values()} <= {uid}
    assert world.object["status"].get("containerID") in (None, *world.records)
    if "deletionTimestamp" in world.object["metadata"]:
        assert world.records == {}
        assert FINALIZER not in world.object["metadata"]["finalizers"]


def judge_process(world: World) -> None:
    """The process is as desired, or it ended and the status says how."""
    declared = world.declared()
    if declared is None or declared.deleting or declared.spec is None:
        return
    tasks = [record.task for record in world.records.values() if record.task is not None]
    status, wanted = declared.status, declared.spec.desired_state
    if wanted is DesiredState.STOPPED:
        assert tasks == []
        assert status.state in (ContainerState.PENDING, ContainerState.CREATED, ContainerState.EXITED)
        return
    if tasks:
        paused = wanted is DesiredState.PAUSED
        assert [task.status for task in tasks] == [TaskStatus.PAUSED if paused else TaskStatus.RUNNING]
        assert status.state == wanted.value
        assert status.exit_code is None
        return
    assert status.state is ContainerState.EXITED, "neither running nor ended"
    life = world.lives.get((declared.uid, declared.spec_hash))
    assert life is not None, "ended without a life"
    if not life.touched:
        expected = life.last_exit if life.last_exit is not None else life.refused
        assert status.exit_code == expected, "an end got lost, or was made up"
        wanted_again = life.exit_was_asked_for and wanted is DesiredState.RUNNING
        assert not wanted_again, "what was stopped and is wanted again does not run"
    assert may_stay(declared.spec, life, status), "its policy would have it started again"


def may_stay(spec: ContainerSpec, life: Life, status: ContainerStatus) -> bool:
    """Whether a container that has ended may be left at that, by the words of FEATURES."""
    policy = spec.restart_policy
    refused = life.last_exit is None and life.refused is not None
    unpaused = spec.desired_state is DesiredState.PAUSED and bool(status.stopped_by_user)
    if policy.name is RestartPolicyName.NEVER or refused or unpaused:
        return True
    if status.exit_code in policy.never_restart_exit_codes:
        return True
    succeeded = policy.name is RestartPolicyName.ON_FAILURE and status.exit_code in policy.success_exit_codes
    limit = policy.maximum_retry_count
    return succeeded or (limit is not None and life.restarts_by_policy >= limit)


def judge_history(world: World) -> None:
    """Every end of every run is told, or five later ones are; those that somebody meddled with aside."""
    declared = world.declared()
    if declared is None or declared.deleting or declared.uid in world.meddled:
        return
    told = [run.exit_code for run in declared.status.history]
    assert told == world.ends.get(declared.uid, [])[::-1][:HISTORY_LENGTH], "an end is missing, or told twice"


def live(world: World, occurrences: Sequence[Occurrence]) -> None:
    """Let everything happen, come to rest, and judge."""
    for occurrence in occurrences:
        occurrence.happen(world)
        assert world.decide() == world.decide(), "the plan is not deterministic"
    kept = foreign_finalizers(world)
    world.settle()
    decided = world.decide()
    assert decided.actions == ()
    assert decided.look_again is None
    assert foreign_finalizers(world) == kept
    writes = world.writes
    world.look()
    assert world.writes == writes, "a look at a settled object writes"
    judge_object(world)
    judge_process(world)
    judge_history(world)


QUICK = settings(max_examples=1000, derandomize=True)
THOROUGH = settings(max_examples=10_000, derandomize=False)
CHOSEN = THOROUGH if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else QUICK


@pytest.mark.timeout(1800)
@pytest.mark.feature("D5", "D6", "L2", "L3", "L5", "L7", "L18")
@settings(CHOSEN, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(foreign=st.booleans(), running=st.booleans(), occurrences=st.lists(ANY, min_size=8, max_size=30))
def test_the_world_comes_to_rest_and_no_law_is_broken(
    foreign: bool, running: bool, occurrences: list[Occurrence]
) -> None:
    world = World()
    world.apply((FOREIGN,) if foreign else ())
    if running:
        world.settle()
    live(world, occurrences)


LOOK = Occurrence("the agent looks", look)
RUN = Occurrence("the agent looks as often as it wants", World.run)
RESTART = Occurrence("the agent is restarted", World.restart_agent)
PULLED = Occurrence("the pull succeeds", lambda world: world.pull_ends(well=True))
THIEF = Occurrence("a thief takes the process", World.task_is_removed)
RECORD_THIEF = Occurrence("a thief takes the record", World.records_are_removed)
DELETE = Occurrence("the user deletes the object", World.delete)
LOST = sets("the next write of the status is lost", "lost_writes", 1)
STUBBORN = sets("later processes ignore the stop signal", "polite", False)
INEFFECTIVE = sets("the next kill has no effect", "kills_ignored", 1)
AWAY, BACK = Occurrence("containerd goes away", containerd_goes), sets("containerd is back", "lost_at", None)
GONE = sets("the OCI runtime vanishes", "runtime_gone", True)
UNFIT = sets("the node lacks what a changed spec needs", "unfit", True)
STOPS, STARTS, PAUSES = asks_for("Stopped", 1), asks_for("Running", 1), asks_for("Paused", 1)
AT_ONCE = applies(desiredState="Stopped", terminationGracePeriodSeconds=0)
OTHER = applies(args=["b"])

HISTORIES: dict[str, list[Occurrence]] = {
    "a kill without effect is repeated": [INEFFECTIVE, AT_ONCE, LOOK],
    "a process that ignores its signal is killed": [STUBBORN, OTHER, RUN, STOPS, RUN],
    "a paused process is stopped": [PAUSES, RUN, STOPS, RUN],
    "a start that failed for the node's sake is tried again": [fails("node unfit"), OTHER, LOOK, PULLED, LOOK, LOOK],
    "so it is by the next agent": [fails("node unfit"), OTHER, LOOK, PULLED, LOOK, LOOK, RESTART],
    "a start that failed for good stands": [fails("not found"), OTHER, LOOK, PULLED, LOOK, RUN],
    "so it does for the next agent": [fails("not found"), OTHER, RUN, RESTART, RUN],
    "a stop and a start try it again": [fails("not found"), OTHER, RUN, STOPS, RUN, STARTS, RUN],
    "a restart that failed for good stands": [STOPS, RUN, fails("not found"), STARTS, RUN],
    "so it does for the agent after that": [STOPS, RUN, fails("not found"), STARTS, RUN, RESTART, RUN],
    "a stop and a start try the restart again": [STOPS, RUN, fails("not found"), STARTS, RUN, STOPS, RUN, STARTS, RUN],
    "a restart that was cut short goes on": [STOPS, RUN, STARTS, dies_after(1), dies_after(2), RUN],
    "a process taken while it is stopped is not started and killed": [STUBBORN, OTHER, RUN, STOPS, LOOK, THIEF, RESTART, STARTS],
    "nor is one of which no status ever told": [
        STUBBORN, fails("answer lost"), OTHER, LOOK, PULLED, LOOK, STOPS, LOOK, THIEF, STARTS, RUN
    ],
    "a restart after a stop of which no status told goes on": [ends(3), RUN, STOPS, LOST, LOOK, STARTS, dies_after(1), RUN],
    "a process taken when nobody looked has an end": [THIEF, RESTART, RUN],
    "a process that was made and is not wanted goes": [fails("made only"), OTHER, LOOK, PULLED, LOOK, STOPS, RUN],
    "a process that was killed before its start is not started": [
        fails("made only"), INEFFECTIVE, OTHER, LOOK, PULLED, LOOK, AT_ONCE, LOOK, OTHER, RUN
    ],
    "an end is said before the process is freed": [ends(3), LOST, LOOK, RESTART, RUN],
    "an end in the agent's absence is said": [dies_after(0), ends(3), RUN],
    "an end whose record is taken after it was said stays an end": [ends(3), RUN, RECORD_THIEF, RUN],
    "so it does for the next agent, and through another write": [ends(3), RUN, RECORD_THIEF, RESTART, RUN, PAUSES, RUN],
    "a stop comes too late for an end": [ends(3), STOPS, RUN, STARTS, RUN],
    "the former spec comes back while its container is stopped": [STUBBORN, OTHER, RUN, applies(), LOOK, PULLED, LOOK, OTHER, RUN],
    "a change, an end and the way back": [ends(3), OTHER, LOOK, applies(), RUN],
    "a deletion in the middle of everything": [STUBBORN, OTHER, LOOK, PULLED, dies_after(1), DELETE, dies_after(2), RUN],
    "a successor in the middle of a stop": [STUBBORN, OTHER, RUN, STOPS, LOOK, Occurrence("replaced", replaced), RUN],
    "a stop and a start while containerd is away": [AWAY, STOPS, RUN, STARTS, RUN, BACK, RUN],
    "a successor while containerd is away": [AWAY, RUN, Occurrence("replaced", replaced), RUN, BACK, RUN],
    "an end while containerd is away": [AWAY, RUN, ends(3), RUN, BACK, RUN],
    "an end that only the status knows outlives an outage": [ends(3), RUN, RECORD_THIEF, RUN, AWAY, RUN, RESTART, BACK, RUN],
    "a stop without the runtime waits for it": [GONE, STOPS, RUN],
    "a deletion without the runtime waits for it": [GONE, DELETE, RUN],
    "an end without the runtime is recorded": [GONE, ends(3), RUN, RESTART, RUN],
    "so it is when its record is taken after that": [ends(3), RUN, GONE, RUN, RECORD_THIEF, RUN],
    "a change without the runtime waits for it": [GONE, OTHER, RUN, PULLED, RUN],
    "a change that can't be made waits for the node": [UNFIT, OTHER, RUN, PULLED, RUN, RESTART, RUN],
    "a start whose answer was lost is adopted": [fails("answer lost"), OTHER, LOOK, PULLED, LOOK, RESTART, RUN],
}  # fmt: skip


@pytest.mark.feature("L4", "L7", "D5", "D6")
@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES.keys())
def test_a_history_ends_well(history: list[Occurrence]) -> None:
    world = World()
    world.apply()
    world.settle()
    live(world, history)


def after(*occurrences: Occurrence) -> World:
    world = World()
    world.apply()
    world.settle()
    for occurrence in occurrences:
        occurrence.happen(world)
    return world


@pytest.mark.feature("L4")
@pytest.mark.parametrize("way", [[fails("not found"), OTHER, RUN], [STOPS, RUN, fails("not found"), STARTS, RUN]])
@pytest.mark.parametrize(
    "then",
    [
        [RUN],
        [RESTART, RUN],
        [LOST, RESTART, RUN, RUN],
        [AWAY, RUN, BACK, RUN],
        [AWAY, RUN, RESTART, RUN, BACK, RUN],
        [RESTART, AWAY, RUN, BACK, RESTART, RUN],
    ],
    ids=["looked at again", "by the next agent", "after a lost write", "by an outage", "by both", "by a long outage"],
)
def test_a_start_that_failed_for_good_is_not_repeated(way: list[Occurrence], then: list[Occurrence]) -> None:
    world = after(*way, *then)
    status = read_status((world.object or {})["status"])
    assert (status.state, status.exit_code) == (ContainerState.EXITED, 127)
    assert not any(record.task for record in world.records.values())


@pytest.mark.feature("L7")
@pytest.mark.parametrize("way", [[fails("not found"), OTHER, RUN], [STOPS, RUN, fails("not found"), STARTS, RUN]])
def test_a_stop_and_a_start_repeat_what_failed_for_good(way: list[Occurrence]) -> None:
    world = after(*way, STOPS, RUN, STARTS, RUN)
    status = read_status((world.object or {})["status"])
    assert (status.state, status.exit_code) == (ContainerState.RUNNING, None)


@pytest.mark.feature("L7")
def test_a_whole_life_takes_four_writes() -> None:
    world = after()
    finalizer = 1
    assert world.writes + finalizer <= 2, "until it runs"
    world.delete()
    world.run()
    assert world.object is None
    assert world.writes + 2 * finalizer <= 4


def test_a_life_that_ends_slowly_takes_no_more_writes() -> None:
    world = World(polite=False)
    world.apply()
    world.settle()
    world.delete()
    world.run()
    assert world.object is None
    assert world.writes == 2, "Running, and Removing"
