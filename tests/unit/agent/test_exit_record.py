"""What is written down of an end: whose SIGKILL it was, what was printed, and what nobody saw."""

from dataclasses import replace

import pytest

from controller.agent.actions import RecordExit
from controller.agent.excerpts import Output
from controller.agent.exit_record import of_process
from controller.agent.identity import ExitRecord, StopCause, StopMark
from controller.agent.observation import ObservedContainer
from controller.api.reasons import Reason
from tests.unit.agent.objects import EARLIER, NEVER_STARTED, NOW, ago, container, ended, mark

STOPPED = mark(seconds_ago=20)
KILLED = replace(STOPPED, killed_at=ago(10))


def recorded(
    current: ObservedContainer,
    output: Output | None = None,
    oom_kills: int = 0,
    init: bool = False,
    vanished: Reason | None = None,
) -> ExitRecord:
    action = RecordExit(current.id, vanished, ago(60), 1)
    return of_process(current, action, output or Output(), oom_kills=oom_kills, init=init, now=NOW)


@pytest.mark.feature("L11")
@pytest.mark.parametrize(
    ("code", "stop", "oom_kills", "killed"),
    [
        pytest.param(137, None, 1, True, id="the kernel killed it"),
        pytest.param(137, None, 0, False, id="somebody killed it, and the kernel nobody"),
        pytest.param(137, STOPPED, 1, True, id="the kernel killed it within its grace period"),
        pytest.param(137, KILLED, 1, False, id="we killed it, after a child of it had met the kernel"),
        pytest.param(
            137, replace(STOPPED, killed_at=ago(1)), 1, True, id="we killed it when the kernel had done so already"
        ),
        pytest.param(137, replace(STOPPED, killed_at=EARLIER), 1, False, id="we killed it in the moment of its end"),
        pytest.param(137, StopMark(StopCause.HEALTH_KILL, ago(10), ago(10)), 1, False, id="we killed it for its health"),
        pytest.param(143, STOPPED, 1, False, id="it obeyed its stop signal, after a child of it had met the kernel"),
        pytest.param(143, None, 1, False, id="somebody sent SIGTERM, after a child of it had met the kernel"),
        pytest.param(1, None, 1, False, id="it gave up when the kernel had killed a child of it"),
        pytest.param(0, None, 1, False, id="it went on without a child that the kernel had killed"),
    ],
)  # fmt: skip
def test_only_the_kernels_own_sigkill_is_for_want_of_memory(
    code: int, stop: StopMark | None, oom_kills: int, killed: bool
) -> None:
    record = recorded(container(task=ended(code), stop=stop), oom_kills=oom_kills)
    assert (record.code, record.oom_killed) == (code, killed)
    assert ("want of memory" in record.message) is killed


@pytest.mark.feature("L11")
def test_the_moment_of_an_end_that_containerd_does_not_tell_is_not_before_our_sigkill() -> None:
    unsure = container(task=replace(ended(137), exited_at=None), stop=KILLED)
    record = recorded(unsure, oom_kills=1)
    assert (record.oom_killed, record.finished_at) == (False, NOW)


@pytest.mark.parametrize("why", [Reason.NODE_REBOOTED, Reason.ERROR])
def test_of_an_end_that_nobody_saw_it_is_told_that_nobody_did(why: Reason) -> None:
    record = recorded(container(task=NEVER_STARTED), oom_kills=1, vanished=why)
    assert (record.code, record.signal, record.oom_killed, record.reason) == (255, None, False, why)


@pytest.mark.parametrize(
    ("code", "init", "reason"),
    [
        pytest.param(127, True, Reason.COMMAND_NOT_FOUND, id="an init says by 127 that there is no such program"),
        pytest.param(126, True, Reason.COMMAND_NOT_EXECUTABLE, id="and by 126 that it is none"),
        pytest.param(127, False, Reason.ERROR, id="without an init 127 is the program's own"),
    ],
)
def test_what_an_init_could_not_start_shows_in_the_code(code: int, init: bool, reason: Reason) -> None:
    assert recorded(container(task=ended(code)), init=init).reason is reason


@pytest.mark.feature("L11")
def test_what_was_printed_last_is_told_of_what_failed_only() -> None:
    output = Output("one\ntwo")
    assert recorded(container(task=ended(3)), output).message == "ended with exit code 3; last output:\none\ntwo"
    assert recorded(container(task=ended(0)), output).message == "ended with exit code 0"


def test_an_end_for_its_health_says_so_and_how_it_ended() -> None:
    record = recorded(container(task=ended(143), stop=mark(StopCause.HEALTH_STOP)))
    assert record.reason is Reason.UNHEALTHY
    assert record.message == "it was unhealthy and was stopped; ended by SIGTERM (exit code 143)"


def test_what_the_restart_policy_needs_later_is_written_down_too() -> None:
    record = recorded(container(task=ended(3)))
    assert (record.started_at, record.short_runs, record.finished_at) == (ago(60), 1, EARLIER)
