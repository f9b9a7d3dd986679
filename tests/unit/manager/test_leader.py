"""Leader election: at no moment two that may write, and always one soon enough. In virtual time."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from controller.kube import errors
from controller.manager.leader import Leader, NotLeading, Timing
from tests.unit.agent.virtual_time import now, run

TIMING = Timing()


class FakeLease:
    """The Lease in the API server, with faults: a hook that is called before each request, and one before each answer."""

    def __init__(self) -> None:
        self.body: dict[str, Any] | None = None
        self.version = 0
        self.before: Callable[[str], None] = lambda _verb: None
        self.after: Callable[[str], None] = lambda _verb: None
        self.seconds = 0.0
        """How long a request takes."""

    async def get(self) -> dict[str, Any]:
        await self._arrive("get")
        if self.body is None:
            raise errors.NotFound("there is none")
        return self._answer("get")

    async def create(self, spec: dict[str, Any]) -> dict[str, Any]:
        await self._arrive("create")
        if self.body is not None:
            raise errors.Conflict("there is one")
        return self._store(spec, "create")

    async def patch(self, version: str, spec: dict[str, Any]) -> dict[str, Any]:
        await self._arrive("patch")
        if self.body is None:
            raise errors.NotFound("there is none")
        if version != self.body["metadata"]["resourceVersion"]:
            raise errors.Conflict("it has changed")
        return self._store({**self.body["spec"], **spec}, "patch")

    async def _arrive(self, verb: str) -> None:
        await asyncio.sleep(self.seconds / 2)
        self.before(verb)

    def _store(self, spec: dict[str, Any], verb: str) -> dict[str, Any]:
        self.version += 1
        # NB: as written on a real server the times differ each time; in virtual time the clock of the day stands still.
        spec = {**spec, "renewTime": f"{spec.get('renewTime')} {self.version}"}
        self.body = {"metadata": {"uid": "lease", "resourceVersion": str(self.version)}, "spec": spec}
        return self._answer(verb)

    def _answer(self, verb: str) -> dict[str, Any]:
        self.after(verb)
        assert self.body is not None
        return {"metadata": dict(self.body["metadata"]), "spec": dict(self.body["spec"])}

    @property
    def holder(self) -> str | None:
        return None if self.body is None else self.body["spec"]["holderIdentity"]


class Contender:
    """A process that contends, and notes when it leads."""

    def __init__(self, lease: FakeLease, name: str) -> None:
        self.leader = Leader(lease, name, TIMING, clock=now)
        self.terms: list[list[float]] = []
        self._lease = lease
        self._task: asyncio.Task[None] | None = None

    async def work(self) -> None:
        self.terms.append([now()])
        try:
            while True:
                self.leader.permit()
                await asyncio.sleep(0.1)
        finally:
            self.terms[-1].append(now())

    def start(self) -> None:
        self._task = asyncio.create_task(self.leader.run(self.work))

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def die(self) -> None:
        """End as a kill would: nothing is released."""
        self._lease.before, before = _refuse, self._lease.before
        await self.stop()
        self._lease.before = before


def _refuse(_verb: str) -> None:
    raise errors.Unavailable("away")


async def _until(holds: Callable[[], object], within: float = 60) -> float:
    """How long it takes until something holds."""
    since = now()
    async with asyncio.timeout(within):
        while not holds():  # noqa: ASYNC110 - what is waited for is asked for, and time is virtual
            await asyncio.sleep(0.05)
    return now() - since


@pytest.mark.feature("K2")
def test_the_first_one_leads_and_goes_on_doing_so() -> None:
    async def main() -> None:
        lease = FakeLease()
        one, other = Contender(lease, "one"), Contender(lease, "other")
        one.start()
        await _until(one.leader.leads)
        other.start()
        await asyncio.sleep(300)
        assert (lease.holder, len(one.terms), len(other.terms)) == ("one", 1, 0)
        with pytest.raises(NotLeading):
            other.leader.permit()
        assert 0 < one.leader.permit() <= TIMING.renew_deadline
        await other.stop()
        await one.stop()

    run(main())


@pytest.mark.feature("K2")
def test_who_stops_lets_the_other_lead_at_once() -> None:
    async def main() -> None:
        lease = FakeLease()
        one, other = Contender(lease, "one"), Contender(lease, "other")
        one.start()
        await _until(one.leader.leads)
        other.start()
        await asyncio.sleep(1)
        await one.stop()
        assert not one.leader.leads()
        assert await _until(other.leader.leads) <= TIMING.retry + 0.1
        await other.stop()
        assert lease.holder is None

    run(main())


@pytest.mark.feature("K2")
def test_who_is_killed_is_followed_when_the_lease_has_expired() -> None:
    async def main() -> None:
        lease = FakeLease()
        one, other = Contender(lease, "one"), Contender(lease, "other")
        one.start()
        await _until(one.leader.leads)
        other.start()
        await asyncio.sleep(5)
        await one.die()
        assert lease.holder == "one"
        assert TIMING.renew_deadline < await _until(other.leader.leads) <= TIMING.duration + TIMING.retry + 0.1
        assert lease.body is not None
        assert lease.body["spec"]["leaseTransitions"] == 1
        await other.stop()

    run(main())


@pytest.mark.feature("K2")
@pytest.mark.parametrize("hangs", [False, True], ids=["requests fail", "requests hang"])
def test_who_can_not_renew_stops_before_another_one_begins(hangs: bool) -> None:
    async def main() -> None:
        lease = FakeLease()
        one, other = Contender(lease, "one"), Contender(lease, "other")
        one.start()
        await _until(one.leader.leads)
        await asyncio.sleep(5)
        if hangs:
            lease.seconds = 1000
        else:
            lease.before = _refuse
        cut_off_at = now()
        await _until(lambda: not one.leader.leads())
        assert now() - cut_off_at <= TIMING.renew_deadline
        assert len(one.terms[0]) == 2 or now() - cut_off_at <= TIMING.renew_deadline + 0.1
        one_task = one
        lease.before, lease.seconds = lambda _verb: None, 0.0
        other.start()
        await _until(lambda: other.leader.leads() or len(one_task.terms) == 2)
        assert not (one.leader.leads() and other.leader.leads())
        await one.stop()
        await other.stop()

    run(main())


def test_at_no_moment_do_two_lead_however_requests_fail() -> None:
    async def main(seed: int) -> None:
        lease = FakeLease()
        rng = _Random(seed)

        def before(_verb: str) -> None:
            if rng.chance(4):
                raise errors.Unavailable("away")

        def after(_verb: str) -> None:
            if rng.chance(6):
                raise errors.Unavailable("the answer is lost")

        lease.before, lease.after, lease.seconds = before, after, 0.3
        contenders = [Contender(lease, name) for name in ("one", "two", "three")]
        for contender in contenders:
            contender.start()
        led = 0
        for _ in range(4000):
            await asyncio.sleep(0.1)
            leading = sum(contender.leader.leads() for contender in contenders)
            assert leading <= 1
            led += leading
        assert led > 2000
        for contender in contenders:
            await contender.stop()

    for seed in range(12):
        run(main(seed))


class _Random:
    """Repeatable chances."""

    def __init__(self, seed: int) -> None:
        self._state = seed * 7919 + 17

    def chance(self, one_in: int) -> bool:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % one_in == 0


def test_a_lost_answer_to_the_first_claim_costs_no_expiry() -> None:
    async def main() -> None:
        lease = FakeLease()
        lost = iter([True])

        def after(verb: str) -> None:
            if verb == "create" and next(lost, False):
                raise errors.Unavailable("the answer is lost")

        lease.after = after
        one = Contender(lease, "one")
        one.start()
        assert await _until(one.leader.leads) <= TIMING.retry + 0.1
        await one.stop()

    run(main())


def test_a_lease_that_somebody_else_has_changed_is_renewed_nevertheless() -> None:
    async def main() -> None:
        lease = FakeLease()
        one = Contender(lease, "one")
        one.start()
        await _until(one.leader.leads)
        await lease.patch(str(lease.version), {"someField": "of somebody"})
        await asyncio.sleep(60)
        assert (one.leader.leads(), len(one.terms)) == (True, 1)
        await one.stop()

    run(main())


def test_a_lease_that_was_taken_away_ends_the_term_at_once() -> None:
    async def main() -> None:
        lease = FakeLease()
        one = Contender(lease, "one")
        one.start()
        await _until(one.leader.leads)
        await lease.patch(str(lease.version), {"holderIdentity": "thief"})
        assert await _until(lambda: not one.leader.leads()) <= TIMING.retry + 0.1
        await asyncio.sleep(1)
        assert len(one.terms[0]) == 2
        assert lease.holder == "thief"
        await one.stop()
        assert lease.holder == "thief"

    run(main())


def test_a_lease_that_was_deleted_ends_the_term_and_is_made_anew() -> None:
    async def main() -> None:
        lease = FakeLease()
        one = Contender(lease, "one")
        one.start()
        await _until(one.leader.leads)
        lease.body = None
        await _until(lambda: len(one.terms) == 2)
        assert lease.holder == "one"
        await one.stop()

    run(main())


def test_a_term_whose_work_fails_is_released_and_the_failure_is_told() -> None:
    async def main() -> None:
        lease = FakeLease()
        leader = Leader(lease, "one", TIMING, clock=now)

        async def fail() -> None:
            await asyncio.sleep(1)
            raise ValueError("a defect")

        with pytest.raises(ValueError, match="a defect"):
            await leader.run(fail)
        assert lease.holder is None
        assert not leader.leads()

    run(main())


def test_a_term_that_ends_in_the_middle_of_the_work_is_no_failure() -> None:
    async def main() -> None:
        lease = FakeLease()
        leader = Leader(lease, "one", TIMING, clock=now)
        terms = []

        async def find_out() -> None:
            terms.append(now())
            async with asyncio.TaskGroup() as group:
                group.create_task(_raise(NotLeading("no")))

        task = asyncio.create_task(leader.run(find_out))
        await asyncio.sleep(30)
        assert len(terms) > 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())


async def _raise(error: Exception) -> None:
    raise error


def test_a_namespace_that_does_not_exist_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        lease = FakeLease()

        def before(verb: str) -> None:
            if verb == "create":
                raise errors.NotFound('namespaces "tallyman-system" not found')

        lease.before = before
        one = Contender(lease, "one")
        one.start()
        await asyncio.sleep(20)
        assert not one.leader.leads()
        lease.before = lambda _verb: None
        await _until(one.leader.leads)
        await one.stop()

    run(main())
    assert capsys.readouterr().out.count("leader election does not work") <= 1
