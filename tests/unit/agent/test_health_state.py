"""What checks make of a container's health: a table of sequences, and properties that hold for all of them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.checks import state
from controller.agent.checks.state import STARTING, CheckRun, Health
from controller.api.container import CheckResult, ContainerHealth, HealthCheck, HealthStatus

pytestmark = pytest.mark.feature("L14")
BEGAN = datetime(2026, 11, 22, 10, tzinfo=UTC)
WORDS = {"S": HealthStatus.STARTING, "H": HealthStatus.HEALTHY, "U": HealthStatus.UNHEALTHY}


def check(**fields: object) -> HealthCheck:
    return HealthCheck.model_validate({"tcpSocket": {"port": 80}, "intervalSeconds": 1, **fields})


def made(code: int, at: float = 0, output: str = "") -> CheckRun:
    start = BEGAN + timedelta(seconds=at)
    return CheckRun(start, start + timedelta(milliseconds=5), code, output)


def follow(codes: list[int], declared: HealthCheck, began: datetime | None = BEGAN) -> list[Health]:
    """The health after each check, made a second apart from one second after the start on."""
    health, seen = STARTING, []
    for second, code in enumerate(codes, start=1):
        health = state.after(health, made(code, second), declared, began)
        seen.append(health)
    return seen


@pytest.mark.parametrize(
    ("sentence", "declared", "codes", "expected"),
    [
        ("the first success makes it healthy", check(), [0], "H"),
        ("failures below the limit leave it as it was", check(), [1, 1, 0, 1, 1, 0], "SSHHHH"),
        ("at the limit it is unhealthy", check(retries=3), [1, 1, 1], "SSU"),
        ("a success between starts the count anew", check(retries=2), [0, 1, 0, 1, 1], "HHHHU"),
        ("one success makes it well again", check(retries=1), [1, 0, 1], "UHU"),
        ("no retries are the same as one", check(retries=0), [1, 0, 1], "UHU"),
        ("a check that took too long has failed", check(retries=1), [-1], "U"),
        ("in the start period failures do not count", check(retries=1, startPeriodSeconds=3), [1, 1, 1], "SSU"),
        ("once it was well they do", check(retries=1, startPeriodSeconds=60), [1, 0, 1], "SHU"),
        ("the start period ends by itself", check(retries=2, startPeriodSeconds=2), [1, 1, 1], "SSU"),
    ],
)
def test_what_a_sequence_of_checks_makes_of_it(
    sentence: str, declared: HealthCheck, codes: list[int], expected: str
) -> None:
    assert [one.status for one in follow(codes, declared)] == [WORDS[letter] for letter in expected], sentence


def test_a_run_of_unknown_age_is_not_spared() -> None:
    assert follow([1], check(retries=1, startPeriodSeconds=600), began=None)[0].status is HealthStatus.UNHEALTHY


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("\n  no database \nmore", "2 health checks in a row failed: no database"),
        ("", "2 health checks in a row failed: exit code 7"),
    ],
)
def test_it_tells_the_first_line_of_the_last_output_until_it_changes(output: str, says: str) -> None:
    declared = check(retries=2)
    health = STARTING
    for _ in range(2):
        health = state.after(health, made(7, output=output), declared, BEGAN)
    assert health.message == says
    assert state.after(health, made(8, output="another"), declared, BEGAN).message == says
    assert state.after(health, made(0), declared, BEGAN).message == ""


@pytest.mark.parametrize(
    ("declared", "health", "age", "seconds"),
    [
        (check(intervalSeconds=30), STARTING, 1, 30),
        (check(intervalSeconds=30, startPeriodSeconds=20), STARTING, 1, 5),
        (check(intervalSeconds=2, startPeriodSeconds=20), STARTING, 1, 2),
        (check(intervalSeconds=30, startPeriodSeconds=20, startIntervalSeconds=0.5), STARTING, 1, 0.5),
        (check(intervalSeconds=30, startPeriodSeconds=20, startIntervalSeconds=0.5), STARTING, 20, 30),
        (check(intervalSeconds=30, startPeriodSeconds=20), Health(HealthStatus.HEALTHY), 1, 30),
    ],
)
def test_when_the_next_check_is_due(declared: HealthCheck, health: Health, age: float, seconds: float) -> None:
    assert state.pause(health, declared, BEGAN, BEGAN + timedelta(seconds=age)) == seconds


def test_health_is_remembered_by_the_status() -> None:
    one = made(1, output="no")
    known = ContainerHealth(
        status=HealthStatus.UNHEALTHY,
        failing_streak=4,
        log=[CheckResult(start=one.start, end=one.end, exit_code=1, output="no"), CheckResult()],
    )
    assert state.resumed(known, "why") == Health(HealthStatus.UNHEALTHY, 4, (one,), "why")
    assert state.resumed(ContainerHealth(), "why") is None


CODES = st.lists(st.sampled_from([0, 0, 1, -1, 137]), max_size=40)
CHECKS = st.builds(
    lambda retries, period: check(retries=retries, startPeriodSeconds=period), st.integers(0, 5), st.integers(0, 20)
)


@given(CODES, CHECKS)
def test_what_holds_for_every_sequence(codes: list[int], declared: HealthCheck) -> None:
    seen = [STARTING, *follow(codes, declared)]
    for before, now in pairwise(seen):
        code = now.log[-1].exit_code
        assert (now.status is HealthStatus.HEALTHY) == (
            code == 0 or (before.status, now.status) == (HealthStatus.HEALTHY,) * 2
        )
        assert now.status is not HealthStatus.STARTING or before.status is HealthStatus.STARTING
        assert now.failing_streak in ((0,) if code == 0 else (before.failing_streak, before.failing_streak + 1))
        if now.status is HealthStatus.UNHEALTHY:
            assert now.failing_streak >= max(declared.retries, 1)
        if now.status is before.status:
            assert now.message == before.message
        assert len(now.log) <= state.LOG_LENGTH


@given(CODES, CHECKS)
def test_only_so_many_failures_in_a_row_make_it_unhealthy(codes: list[int], declared: HealthCheck) -> None:
    needed = max(declared.retries, 1)
    for index, now in enumerate(follow(codes, declared)):
        if now.status is HealthStatus.UNHEALTHY:
            assert 0 not in codes[max(0, index + 1 - needed) : index + 1]
