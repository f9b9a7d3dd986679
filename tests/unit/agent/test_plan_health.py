"""What is decided by health: readiness, what follows a failure, and how an end for its health counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.agent.actions import Again, KillContainer, RecordExit, SignalStop, StartContainer
from controller.agent.checks.state import STARTING, CheckRun, Health
from controller.agent.declared import Declared
from controller.agent.facts import Facts, Verdict
from controller.agent.identity import StopCause
from controller.agent.observation import Observation
from controller.agent.plan import Plan, plan
from controller.agent.restarting import Restart, Stay, after_unhealthy, short_runs
from controller.agent.status import difference, summarize
from controller.api.conditions import ConditionType
from controller.api.container import ContainerState, ContainerStatus, HealthStatus
from controller.api.lifecycle import Backoff, RestartPolicy
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    ID,
    NODE,
    NOW,
    PAUSED,
    RUNNING,
    ago,
    ahead,
    container,
    declared,
    ended,
    ending,
    mark,
)

pytestmark = pytest.mark.feature("L14")
WELL = Health(HealthStatus.HEALTHY)
ILL = Health(HealthStatus.UNHEALTHY, 3, message="3 health checks in a row failed: no")
RESTART, STOP, KILL = StopCause.HEALTH_RESTART, StopCause.HEALTH_STOP, StopCause.HEALTH_KILL


def checked(on_failure: str = "None", **more: Any) -> Declared:
    return declared(healthCheck={"tcpSocket": {"port": 80}, "onFailure": on_failure}, **more)


def decided(given: Declared, health: Health | None, **changes: Any) -> Plan:
    return plan(given, Observation((container(**changes),), health=health), NOW)


def reason_of(one: Plan) -> tuple[ContainerState, Reason, bool, bool]:
    facts = one.facts
    assert facts is not None
    return facts.state, facts.why.reason, facts.ready, facts.stalled is not None


@pytest.mark.parametrize(
    ("health", "reason", "ready", "progressing"),
    [
        (None, Reason.HEALTH_STARTING, False, True),
        (STARTING, Reason.HEALTH_STARTING, False, True),
        (WELL, Reason.RUNNING, True, False),
        (ILL, Reason.UNHEALTHY, False, False),
    ],
)
def test_it_is_ready_only_while_it_is_healthy(
    health: Health | None, reason: Reason, ready: bool, progressing: bool
) -> None:
    found = decided(checked(), health)
    assert found.actions == ()
    assert reason_of(found) == (ContainerState.RUNNING, reason, ready, False)
    assert found.facts is not None
    assert (found.facts.progressing is not None) == progressing
    assert found.facts.health == (health or STARTING)


def test_without_a_check_health_is_no_matter() -> None:
    found = decided(declared(), None)
    assert reason_of(found) == (ContainerState.RUNNING, Reason.RUNNING, True, False)
    assert found.facts is not None
    assert found.facts.health is None


@pytest.mark.parametrize(("on_failure", "cause"), [("Restart", RESTART), ("Stop", STOP)])
def test_an_unhealthy_process_is_asked_to_stop(on_failure: str, cause: StopCause) -> None:
    (action,) = decided(checked(on_failure), ILL).actions
    assert isinstance(action, SignalStop)
    assert (action.id, action.signal, action.cause, action.because) == (ID, 15, cause, ILL.message)
    assert decided(checked(on_failure), WELL).actions == ()
    waiting = decided(checked(on_failure), None, stop=mark(cause, 2), signalled=True)
    assert (waiting.actions, waiting.look_again) == ((), ahead(8))


def test_or_killed_at_once() -> None:
    (action,) = decided(checked("Kill"), ILL).actions
    assert isinstance(action, KillContainer)
    assert action.cause is KILL
    assert decided(checked("Kill"), None, stop=mark(KILL, 0.1)).actions == (KillContainer(ID),)


def test_a_paused_process_is_left_alone_and_one_that_is_to_be_paused_is_paused() -> None:
    assert decided(checked("Restart", desiredState="Paused"), ILL, task=PAUSED).actions == ()
    assert not isinstance(decided(checked("Restart", desiredState="Paused"), ILL, task=RUNNING).actions[0], SignalStop)


def exited(given: Declared, cause: StopCause, *, runs: int = 1, seconds: float = 0.01, **changes: Any) -> Plan:
    end = replace(ending(143, Reason.UNHEALTHY, ago(seconds), "it was unhealthy"), short_runs=runs)
    return decided(given, None, task=None, stop=mark(cause), exit=end, **changes)


def test_a_restart_waits_as_the_back_off_says_and_counts() -> None:
    waiting = exited(checked("Restart"), RESTART, runs=3)
    assert waiting.actions == ()
    assert reason_of(waiting)[:2] == (ContainerState.RESTARTING, Reason.CRASH_LOOP_BACK_OFF)
    assert waiting.look_again == ago(0.01) + timedelta(seconds=0.4)
    due = exited(checked("Restart"), RESTART, runs=3, seconds=0.5, retries=2)
    assert due.actions == (StartContainer(ID, Again(3, 3, "")),)


@pytest.mark.parametrize("policy", ["Never", "OnFailure", "UnlessStopped", "Always"])
def test_what_was_stopped_for_its_health_stays_so(policy: str) -> None:
    found = exited(checked("Stop", restartPolicy={"name": policy}), STOP, seconds=1000)
    assert found.actions == ()
    assert reason_of(found) == (ContainerState.EXITED, Reason.UNHEALTHY, False, True)


def test_it_says_what_the_check_was_answered() -> None:
    ill = replace(mark(STOP, 5), because=ILL.message)
    found = decided(checked("Stop"), None, task=None, stop=ill, exit=ending(143, Reason.UNHEALTHY))
    assert found.facts is not None
    assert found.facts.why.message.endswith("3 health checks in a row failed: no; it stays so until it is restarted")


def test_what_was_killed_for_its_health_is_the_restart_policys() -> None:
    assert reason_of(exited(checked("Kill"), KILL))[:2] == (ContainerState.EXITED, Reason.UNHEALTHY)
    again = exited(checked("Kill", restartPolicy={"name": "Always"}), KILL, seconds=1)
    assert again.actions == (StartContainer(ID, Again(1, 1, "")),)


@pytest.mark.parametrize("cause", [RESTART, STOP, KILL])
def test_the_users_word_counts_more(cause: StopCause) -> None:
    asked = checked("Stop", status={"restartedAt": ""})
    asked = replace(asked, restarted_at="now")
    assert exited(asked, cause, seconds=0).actions == (StartContainer(ID, Again(restarted_at="now")),)
    stopped = exited(checked("Restart", desiredState="Stopped"), cause)
    assert [type(action).__name__ for action in stopped.actions] == ["RememberStop"]


@pytest.mark.parametrize(("ran", "runs"), [(30, 5), (54, 5), (56, 0)])
def test_a_run_that_was_never_well_does_not_pass_for_stable(ran: float, runs: int) -> None:
    """Three checks of 10 s with 5 s each, and the 10 s after which a run is stable."""
    found = decided(
        checked("Restart"),
        None,
        task=ended(143, ago(0.1)),
        stop=mark(RESTART, 1),
        started_at=ago(1 + ran),
        short_runs=4,
    )
    (action,) = found.actions
    assert isinstance(action, RecordExit)
    assert action.short_runs == runs


def test_retries_have_their_limit_whatever_the_exit_code() -> None:
    policy = RestartPolicy.model_validate({"name": "OnFailure", "maximumRetryCount": 2, "neverRestartExitCodes": [143]})
    end = ending(143, Reason.UNHEALTHY, NOW)
    assert isinstance(after_unhealthy(policy, end, 1), Restart)
    stay = after_unhealthy(policy, end, 2)
    assert isinstance(stay, Stay)
    assert stay.reason is Reason.RETRY_LIMIT_REACHED


def test_what_is_spared_comes_on_top() -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    assert short_runs(Backoff(), 1, began, began + timedelta(seconds=10)) == 0
    assert short_runs(Backoff(), 1, began, began + timedelta(seconds=10), timedelta(seconds=1)) == 2


# --- the status ---------------------------------------------------------------------------------------------------------


def facts(health: Health | None) -> Facts:
    return Facts(ContainerState.RUNNING, Verdict(Reason.RUNNING), ready=True, container=container(), health=health)


def check_run(code: int, output: str) -> CheckRun:
    return CheckRun(ago(1.2345), ago(1), code, output)


def written(given: Declared, health: Health | None) -> ContainerStatus:
    return summarize(given, facts(health), NODE, NOW)


def test_the_status_tells_of_health_with_its_last_checks() -> None:
    status = written(checked(), Health(HealthStatus.UNHEALTHY, 3, (check_run(1, "no"), check_run(-1, "")), "why"))
    assert status.health is not None
    assert status.health.model_dump(by_alias=True, exclude_none=True, mode="json") == {
        "status": "Unhealthy",
        "failingStreak": 3,
        "log": [
            {
                "start": "2026-11-22T09:59:59.015000Z",
                "end": "2026-11-22T09:59:59.250000Z",
                "exitCode": 1,
                "output": "no",
            },
            {"start": "2026-11-22T09:59:59.015000Z", "end": "2026-11-22T09:59:59.250000Z", "exitCode": -1},
        ],
    }
    healthy = next(one for one in status.conditions if one.type is ConditionType.HEALTHY)
    assert (healthy.status, healthy.reason, healthy.message) == ("False", "Unhealthy", "why")


def test_without_a_check_it_tells_nothing_of_health() -> None:
    status = written(declared(), None)
    assert status.health is None
    assert ConditionType.HEALTHY not in {one.type for one in status.conditions}


def test_what_is_written_of_a_health_that_changed_is_the_difference() -> None:
    before = written(checked(), WELL)
    assert difference(before, written(checked(), WELL)) == {}
    assert difference(before, written(checked(), ILL))["health"] == {"status": "Unhealthy", "failingStreak": 3}
    assert difference(before, written(checked(), None))["health"] is None
