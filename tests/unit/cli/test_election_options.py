"""The manager's options about the election: what is taken, and what could make two leaders."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from controller.cli.election_options import election_options, election_timing
from controller.manager.leader import Timing

seen: list[Timing] = []


@click.command()
@election_options
def command(**options: Any) -> None:
    seen[:] = [election_timing(**{name.removeprefix("leader_"): value for name, value in options.items()})]


def _run(*words: str, **environment: str) -> str:
    answer = CliRunner().invoke(command, list(words), env=environment)
    return answer.output if answer.exit_code else ""


@pytest.mark.feature("K2")
def test_what_is_not_said_is_as_in_kubernetes() -> None:
    assert _run() == ""
    assert seen == [Timing(duration=15.0, renew_deadline=10.0, retry=2.0)]


@pytest.mark.feature("K2")
def test_shorter_times_are_taken_from_the_environment() -> None:
    said = {"LEASE": "4", "RENEW": "2.5", "RETRY": "0.5"}
    assert _run(**{f"TALLYMAN_LEADER_{name}_SECONDS": value for name, value in said.items()}) == ""
    assert seen == [Timing(duration=4.0, renew_deadline=2.5, retry=0.5)]


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("lease", "renew", "retry", "problem"),
    [
        ("15", "15", "2", "--leader-renew-seconds (15) must be below --leader-lease-seconds (15) by 1 at least"),
        ("15", "14.5", "2", "--leader-renew-seconds (14.5) must be below --leader-lease-seconds (15) by 1 at least"),
        ("15", "10", "8", "--leader-retry-seconds (8) must be at most half of --leader-renew-seconds (10)"),
    ],
    ids=["no time between the end of one and the next", "too little time", "a single attempt to renew"],
)
def test_times_that_do_not_fit_together_are_refused(lease: str, renew: str, retry: str, problem: str) -> None:
    words = ["--leader-lease-seconds", lease, "--leader-renew-seconds", renew, "--leader-retry-seconds", retry]
    assert problem in " ".join(_run(*words).split())
