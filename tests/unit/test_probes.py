"""Whether the agent sees what it must see follows from the age of what it saw last."""

import pytest

from controller.probes import Freshness


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freshness(clock: Clock) -> Freshness:
    return Freshness(("containerd", "watch"), stale_seconds=60, clock=clock)


@pytest.mark.feature("K4")
def test_a_new_agent_is_healthy_and_not_ready(freshness: Freshness) -> None:
    assert freshness.problems() == []
    assert freshness.unready() == ["containerd: not seen yet", "watch: not seen yet"]


@pytest.mark.feature("K4")
def test_an_agent_that_has_seen_both_is_ready(freshness: Freshness) -> None:
    freshness.note("containerd")
    assert freshness.unready() == ["watch: not seen yet"]
    freshness.note("watch")
    assert freshness.unready() == []


@pytest.mark.feature("K4")
def test_a_source_that_is_never_seen_makes_it_ill_in_the_end(clock: Clock, freshness: Freshness) -> None:
    clock.now += 60
    assert freshness.problems() == []
    clock.now += 1
    assert [problem.split(":")[0] for problem in freshness.problems()] == ["containerd", "watch"]


@pytest.mark.feature("K4")
def test_a_source_that_falls_silent_makes_it_ill_and_unready_and_well_again(clock: Clock, freshness: Freshness) -> None:
    freshness.note("containerd")
    freshness.note("watch")
    clock.now += 61
    freshness.note("containerd")
    expected = ["watch: in step 61 s ago, which is more than 60 s"]
    assert freshness.problems() == expected
    assert freshness.unready() == expected
    freshness.note("watch")
    assert freshness.problems() == freshness.unready() == []


@pytest.mark.feature("K4")
def test_a_source_with_a_fault_makes_it_unready_until_it_is_in_step(freshness: Freshness) -> None:
    freshness.note("containerd")
    freshness.note("watch")
    freshness.fault("watch", "it has missed a change")
    freshness.note("containerd")
    assert freshness.problems() == []
    assert freshness.unready() == ["watch: it has missed a change"]
    freshness.note("watch")
    assert freshness.unready() == []


def test_what_is_out_of_step_is_named_without_its_age(freshness: Freshness, clock: Clock) -> None:
    assert freshness.out_of_step() == ["containerd", "watch"]
    freshness.note("containerd")
    freshness.note("watch")
    assert freshness.out_of_step() == []
    clock.now += 30
    freshness.note("watch")
    clock.now += 31
    assert freshness.out_of_step() == ["containerd"]
