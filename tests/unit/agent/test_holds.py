"""What holds a container back, as tables: nothing begins, what runs goes on, and stopping works as ever."""

from dataclasses import replace
from typing import Any

import pytest

from controller.agent import news
from controller.agent.actions import CreateContainer, KillContainer, PauseContainer, RemoveContainer, SignalStop
from controller.agent.checks.state import Health
from controller.agent.declared import Declared
from controller.agent.facts import Verdict
from controller.agent.failures import NODES_FAULT
from controller.agent.identity import StopCause
from controller.agent.observation import Observation, ObservedContainer
from controller.agent.plan import Plan, plan
from controller.agent.status import summarize
from controller.api.container import ContainerState, ContainerStatus, HealthStatus
from controller.api.fields import FieldError
from controller.api.reasons import Reason
from tests.unit.agent.objects import (
    BASE,
    CREATED,
    ID,
    NODE,
    NOW,
    PAUSED,
    ago,
    ahead,
    container,
    declared,
    ending,
    failure,
    mark,
    present,
    pulling,
)

FORBIDDEN = (FieldError("spec.securityContext.privileged", "is not allowed"),)
CHANGED = declared(args=["--verbose"], generation=2)
STOPPED = declared(desiredState="Stopped")
ALWAYS = declared(restartPolicy={"name": "Always"})
RESTART = replace(BASE, restarted_at="now")
STOPPED_ONCE = container(task=None, exit=ending(143, Reason.ERROR), stop=mark())


def forbidden(given: Declared, *containers: ObservedContainer, **observed: Any) -> Plan:
    return plan(given, Observation(containers, violations=FORBIDDEN, **observed), NOW)


@pytest.mark.feature("P6")
@pytest.mark.parametrize(
    ("given", "containers", "observed", "state"),
    [
        pytest.param(BASE, (), {}, ContainerState.PENDING, id="no image is asked for"),
        pytest.param(BASE, (), {"image": present()}, ContainerState.PENDING, id="nothing is made"),
        pytest.param(BASE, (container(task=None),), {}, ContainerState.CREATED, id="nothing is started"),
        pytest.param(BASE, (container(task=CREATED),), {}, ContainerState.CREATED, id="what waits for its start waits"),
        pytest.param(
            ALWAYS,
            (container(ALWAYS, task=None, exit=ending(1, Reason.ERROR, at=ago(100))),),
            {},
            ContainerState.EXITED,
            id="nothing is started again",
        ),
        pytest.param(
            ALWAYS,
            (container(ALWAYS, task=None, exit=replace(ending(1, Reason.ERROR, at=ago(0)), short_runs=5)),),
            {},
            ContainerState.EXITED,
            id="nothing waits for its restart",
        ),
        pytest.param(BASE, (STOPPED_ONCE,), {}, ContainerState.EXITED, id="nothing is started after a stop"),
        pytest.param(
            CHANGED, (container(),), {"image": present(CHANGED)}, ContainerState.RUNNING, id="nothing is replaced"
        ),
        pytest.param(CHANGED, (container(),), {}, ContainerState.RUNNING, id="no image is asked for a replacement"),
        pytest.param(
            CHANGED,
            (container(task=None, exit=ending()),),
            {"image": present(CHANGED)},
            ContainerState.EXITED,
            id="what has ended is not replaced either",
        ),
        pytest.param(RESTART, (container(),), {}, ContainerState.RUNNING, id="a restart on request does not begin"),
    ],
)
def test_what_the_policy_forbids_does_not_begin(
    given: Declared, containers: tuple[ObservedContainer, ...], observed: dict[str, Any], state: ContainerState
) -> None:
    decided = forbidden(given, *containers, **observed)

    assert decided.actions == ()
    assert decided.facts is not None
    assert decided.facts.state is state
    assert decided.facts.why == decided.facts.stalled == decided.facts.refused
    assert decided.facts.why.reason is Reason.POLICY_FORBIDDEN
    assert decided.facts.why.message == "spec.securityContext.privileged: is not allowed"
    assert decided.facts.progressing is None


@pytest.mark.feature("P6")
def test_what_runs_goes_on_and_says_that_it_would_not_be_accepted() -> None:
    decided = forbidden(BASE, container())

    assert decided.actions == ()
    assert decided.facts is not None
    assert decided.facts.ready
    assert decided.facts.stalled is None
    assert decided.facts.refused is not None
    assert decided.facts.refused.reason is Reason.POLICY_FORBIDDEN


@pytest.mark.feature("P6", "L14")
@pytest.mark.parametrize(("on_failure", "action"), [("Restart", None), ("Stop", SignalStop), ("Kill", KillContainer)])
def test_what_is_unhealthy_is_not_stopped_in_order_to_start_again(on_failure: str, action: type | None) -> None:
    given = declared(healthCheck={"tcpSocket": {"port": 80}, "onFailure": on_failure})
    ill = Health(HealthStatus.UNHEALTHY, 3, message="3 health checks in a row failed: no")
    found = forbidden(given, container(given), health=ill)
    assert [type(one) for one in found.actions] == ([] if action is None else [action])
    assert found.facts is not None
    if action is None:
        assert (found.facts.state, found.facts.health) == (ContainerState.RUNNING, ill)


@pytest.mark.feature("P6")
def test_what_runs_can_be_stopped_paused_and_deleted() -> None:
    assert forbidden(STOPPED, container()).actions == (SignalStop(ID, 15, StopCause.USER),)
    assert forbidden(declared(desiredState="Paused"), container()).actions == (PauseContainer(ID),)
    assert forbidden(STOPPED, container(task=PAUSED, stop=mark(seconds_ago=11))).actions == (KillContainer(ID),)
    assert forbidden(declared(deleting=True), container(task=None)).actions == (RemoveContainer(ID),)


@pytest.mark.feature("P6")
def test_a_stop_that_had_begun_is_ended() -> None:
    begun = container(stop=mark(StopCause.RECREATE, seconds_ago=11))

    assert forbidden(CHANGED, begun, image=present(CHANGED)).actions == (KillContainer(ID),)


@pytest.mark.feature("P6")
def test_it_starts_once_it_is_allowed() -> None:
    assert CreateContainer() in plan(BASE, Observation(image=present()), NOW).actions


@pytest.mark.feature("P6")
def test_a_pull_that_is_under_way_is_told_of() -> None:
    decided = forbidden(BASE, image=pulling())

    assert decided.facts is not None
    assert decided.facts.refused is not None


@pytest.mark.feature("P6")
def test_what_is_found_out_at_the_creation_is_refused_too_and_tried_again() -> None:
    assert Reason.POLICY_FORBIDDEN in NODES_FAULT
    late = failure(reason=Reason.POLICY_FORBIDDEN, exit_code=None, retry_at=ahead(30))

    decided = plan(BASE, Observation((), present(), late), NOW)

    assert decided.facts is not None
    assert decided.facts.refused == decided.facts.stalled == decided.facts.why
    assert decided.look_again == ahead(30)


@pytest.mark.feature("P6")
@pytest.mark.parametrize("containers", [(), (container(),)], ids=["held back", "running"])
def test_a_hold_is_news_until_the_status_says_it(containers: tuple[ObservedContainer, ...]) -> None:
    decided = forbidden(BASE, *containers, image=present())
    assert decided.facts is not None
    told = summarize(BASE, decided.facts, NODE, NOW)

    assert Reason.POLICY_FORBIDDEN in {one.reason for one in news.of_status(ContainerStatus(), told)}
    assert news.of_status(told, told) == ()


@pytest.mark.feature("P6")
def test_a_refused_spec_stays_refused_while_containerd_is_away() -> None:
    decided = forbidden(BASE, container(), unavailable_since=ago(60))

    assert decided.facts is not None
    assert decided.facts.refused == Verdict(Reason.POLICY_FORBIDDEN, "spec.securityContext.privileged: is not allowed")
