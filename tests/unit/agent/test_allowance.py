"""How often an object may be written: each for itself, by its uid, and nothing is kept of those that are at rest."""

from controller.agent.allowance import BURST, REFILL_SECONDS, Allowance

HOUR = 3600


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def spent(allowance: Allowance, uid: str, times: int = BURST) -> None:
    for _ in range(times):
        assert allowance.wait(uid) == 0
        allowance.spend(uid)


def test_so_many_at_once_and_then_one_after_another() -> None:
    allowance = Allowance(clock := Clock())
    spent(allowance, "one")
    for _ in range(3):
        assert allowance.wait("one") == REFILL_SECONDS
        clock.now += REFILL_SECONDS
        spent(allowance, "one", times=1)
    clock.now += HOUR
    spent(allowance, "one")


def test_an_object_that_is_made_again_under_its_name_begins_anew() -> None:
    allowance = Allowance(Clock())
    spent(allowance, "one")
    spent(allowance, "its successor")


def test_what_is_at_rest_is_forgotten() -> None:
    allowance = Allowance(clock := Clock())
    for number in range(100):
        spent(allowance, f"uid-{number}", times=2)
    clock.now += HOUR
    allowance.spend("another")
    assert list(allowance._full_at) == ["another"]
