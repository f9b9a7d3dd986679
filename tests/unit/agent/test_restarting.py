"""What a restart policy makes of an end: tables, and the properties of the back-off."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.identity import ExitRecord
from controller.agent.restarting import Restart, Stay, after_exit, short_runs, wait
from controller.api.lifecycle import Backoff, RestartPolicy
from controller.api.reasons import Reason
from controller.oci import exits

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BACKOFFS = st.builds(
    Backoff,
    initial_seconds=st.floats(0, 10),
    factor=st.floats(1, 10),
    max_seconds=st.floats(10, 1000),
    reset_after_seconds=st.floats(0, 100),
)


def ended(code: int, runs: int = 1) -> ExitRecord:
    """An end by itself, just now."""
    told = exits.describe(code)
    return ExitRecord(code, told.signal, NOW, False, told.reason, told.message, short_runs=runs)


def policy(**fields: object) -> RestartPolicy:
    """A policy by its fields on the wire."""
    return RestartPolicy.model_validate(fields)


@pytest.mark.feature("L9")
@pytest.mark.parametrize(
    ("restart_policy", "code", "retries", "expected"),
    [
        pytest.param(policy(), 0, 0, Reason.COMPLETED, id="Never leaves a success as it is"),
        pytest.param(policy(), 1, 0, Reason.ERROR, id="Never leaves a failure as it is"),
        pytest.param(policy(name="Always"), 0, 0, None, id="Always starts again after a success"),
        pytest.param(policy(name="Always"), 1, 99, None, id="Always starts again after any number of failures"),
        pytest.param(policy(name="UnlessStopped"), 0, 0, None, id="UnlessStopped starts again after a success"),
        pytest.param(policy(name="OnFailure"), 0, 0, Reason.COMPLETED, id="OnFailure leaves a success as it is"),
        pytest.param(policy(name="OnFailure"), 3, 0, None, id="OnFailure starts again after a failure"),
        pytest.param(
            policy(name="OnFailure", successExitCodes=[0, 143]),
            143,
            0,
            Reason.COMPLETED,
            id="a code may count as success",
        ),
        pytest.param(policy(name="OnFailure", successExitCodes=[3]), 0, 0, None, id="zero need not count as success"),
        pytest.param(policy(name="OnFailure", maximumRetryCount=2), 1, 1, None, id="below the limit it starts again"),
        pytest.param(
            policy(name="OnFailure", maximumRetryCount=2), 1, 2, Reason.RETRY_LIMIT_REACHED, id="at the limit it stays"
        ),
        pytest.param(
            policy(name="OnFailure", maximumRetryCount=0),
            1,
            0,
            Reason.RETRY_LIMIT_REACHED,
            id="no retry is a limit too",
        ),
        pytest.param(
            policy(name="Always", neverRestartExitCodes=[78]), 78, 0, Reason.RESTART_EXCLUDED, id="a code may forbid it"
        ),
        pytest.param(
            policy(successExitCodes=[0, 7]),
            7,
            0,
            Reason.COMPLETED,
            id="a success code is one without a restart policy too",
        ),
    ],
)
def test_the_policy_decides(restart_policy: RestartPolicy, code: int, retries: int, expected: Reason | None) -> None:
    decided = after_exit(restart_policy, ended(code), retries)

    assert (decided.reason if isinstance(decided, Stay) else None) == expected


def test_each_wait_is_longer_up_to_the_cap() -> None:
    backoff = Backoff(initial_seconds=1, factor=2, max_seconds=5)

    assert [wait(backoff, runs).total_seconds() for runs in range(6)] == [1, 1, 2, 4, 5, 5]


@pytest.mark.feature("L9")
@given(BACKOFFS, st.integers(0, 2000))
def test_a_wait_is_never_shorter_than_declared_nor_longer_than_the_cap(backoff: Backoff, runs: int) -> None:
    seconds = wait(backoff, runs).total_seconds()

    assert min(backoff.initial_seconds, backoff.max_seconds) - 1e-6 <= seconds <= backoff.max_seconds + 1e-6
    assert wait(backoff, runs + 1) >= wait(backoff, runs)


def test_a_restart_waits_from_the_end_on() -> None:
    always = policy(name="Always", backoff={"initialSeconds": 3})

    assert after_exit(always, ended(1), 0) == Restart(NOW + timedelta(seconds=3))


@pytest.mark.parametrize(
    ("began", "before", "expected"),
    [
        pytest.param(timedelta(seconds=-10), 4, 0, id="a stable run begins the count anew"),
        pytest.param(timedelta(seconds=-9.9), 4, 5, id="a short run counts"),
        pytest.param(None, 0, 1, id="a run of unknown length counts as short"),
    ],
)
def test_short_runs_are_counted(began: timedelta | None, before: int, expected: int) -> None:
    started_at = None if began is None else NOW + began

    assert short_runs(Backoff(reset_after_seconds=10), before, started_at, NOW) == expected


@pytest.mark.feature("L11")
def test_what_is_to_be_said_of_a_limit_comes_before_what_the_process_printed() -> None:
    noisy = replace(ended(1), message="ended with exit code 1; last output:\nboom; boom")
    limited = policy(name="OnFailure", maximumRetryCount=3)
    stay = after_exit(limited, noisy, 3)
    assert isinstance(stay, Stay)
    assert stay.message == (
        "ended with exit code 1; it was started again 3 times, which is the limit; last output:\nboom; boom"
    )
    once = after_exit(policy(name="OnFailure", maximumRetryCount=1), ended(1), 1)
    assert isinstance(once, Stay)
    assert once.message.endswith("it was started again once, which is the limit")
