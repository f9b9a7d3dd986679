"""Secret, API server and running server are kept in step, by one manager or by several, whatever happens to any of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from controller.kube import errors
from controller.kube.secrets import Stored
from controller.manager import certificates, pki
from controller.manager.certificate_keeper import WAITS, CertificateKeeper
from controller.manager.certificates import Keyring
from controller.manager.tls import LiveContext
from tests.unit.agent import virtual_time
from tests.unit.manager.keyrings import DAY, HOSTS, HOUR, made, of

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class FakeSecret:
    """As the API server keeps it, with its versions; `fault` is raised by the next writes."""

    data: dict[str, bytes] | None = None
    version: int = 0
    writes: int = 0
    fault: errors.KubeError | None = None

    async def get(self) -> Stored | None:
        read = None if self.data is None else Stored(str(self.version), dict(self.data))
        await asyncio.sleep(0)
        return read

    async def create(self, data: dict[str, bytes]) -> Stored:
        if self.data is not None:
            raise errors.Conflict("it is there (HTTP 409)")
        return self._write(data)

    async def replace(self, version: str, data: dict[str, bytes]) -> Stored:
        if self.data is None:
            raise errors.NotFound("it is gone (HTTP 404)")
        if version != str(self.version):
            raise errors.Conflict("it was changed (HTTP 409)")
        return self._write(data)

    def _write(self, data: dict[str, bytes]) -> Stored:
        if self.fault is not None:
            raise self.fault
        self.data, self.version, self.writes = {**(self.data or {}), **data}, self.version + 1, self.writes + 1
        return Stored(str(self.version), data)

    def edit(self, **data: bytes) -> None:
        """By hand."""
        self.data, self.version = {**(self.data or {}), **data}, self.version + 1

    @property
    def keyring(self) -> Keyring:
        return certificates.read(self.data or {})


@dataclass
class FakeConfiguration:
    """As the API server keeps it."""

    trusted: bytes = b""
    writes: int = 0
    missing: bool = False
    fault: errors.KubeError | None = None

    async def bundle(self) -> bytes:
        if self.missing:
            raise errors.NotFound("there is none (HTTP 404)")
        return self.trusted

    async def publish(self, bundle: bytes) -> bool:
        if self.fault is not None:
            raise self.fault
        if self.trusted == await self.bundle() == bundle:
            return False
        self.trusted, self.writes = bundle, self.writes + 1
        return True


@dataclass
class World:
    """One Secret, one configuration, and the managers' clock."""

    secret: FakeSecret = field(default_factory=FakeSecret)
    configuration: FakeConfiguration = field(default_factory=FakeConfiguration)
    now: datetime = START
    leads: bool = True
    ends: list[datetime] = field(default_factory=list)

    def keeper(self, leads: Callable[[], bool] | None = None, seconds: float = 60) -> CertificateKeeper:
        return CertificateKeeper(
            secret=self.secret,
            configuration=self.configuration,
            tls=LiveContext(self.ends.append),
            hosts=HOSTS,
            leads=leads or (lambda: self.leads),
            seconds=seconds,
            clock=lambda: self.now,
        )

    def lose_everything(self) -> None:
        self.secret.data, self.configuration.trusted = None, b""

    @property
    def in_step(self) -> bool:
        """Whether the Secret is complete and valid, the API server trusts its CAs, and the certificate is in use."""
        keyring = self.secret.keyring
        complete = keyring.authority is not None and keyring.serving is not None
        published = self.configuration.trusted == pki.pem(keyring.bundle)
        due = certificates.due(keyring, self.now, HOSTS, published=published)
        used = keyring.serving is not None and self.ends[-1:] == [keyring.serving.certificate.not_valid_after_utc]
        return complete and published and used and not due


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def keeper(world: World) -> CertificateKeeper:
    """A manager that leads and has made everything."""
    made_it = world.keeper()
    assert await made_it.look()
    assert world.in_step
    return made_it


@pytest.mark.feature("K2")
async def test_everything_is_made_once(world: World, keeper: CertificateKeeper) -> None:
    for _ in range(3):
        assert await keeper.look()
    assert (world.secret.writes, world.configuration.writes, len(world.ends)) == (1, 1, 1)
    assert keeper.unready() == []


async def test_who_does_not_lead_writes_nothing_and_waits(world: World) -> None:
    world.leads = False
    follower = world.keeper()
    assert await follower.look()
    assert (world.secret.writes, world.configuration.writes) == (0, 0)
    assert follower.unready() == [f"webhook: there is no certificate yet: {WAITS}"]

    assert await world.keeper(leads=lambda: True).look()
    assert await follower.look()
    assert follower.unready() == []
    assert len(set(world.ends)) == 1


@pytest.mark.feature("K2")
async def test_two_managers_at_once_make_one_ca(world: World) -> None:
    """Both read that there is nothing, before either writes."""
    managers = [world.keeper(), world.keeper()]
    assert sorted(await asyncio.gather(*(one.look() for one in managers))) == [False, True]
    assert world.secret.writes == 1
    for one in managers:
        assert await one.look()
        assert one.unready() == []
    assert world.in_step
    assert world.secret.writes == 1


@pytest.mark.feature("K2")
async def test_two_managers_that_renew_at_once_make_one_ca(world: World, keeper: CertificateKeeper) -> None:
    world.now += 244 * DAY
    await asyncio.gather(keeper.look(), world.keeper().look())
    assert world.secret.writes == 2
    assert len(world.secret.keyring.bundle) == 2


SPOILED: dict[str, Callable[[World], object]] = {
    "the Secret is deleted": lambda world: setattr(world.secret, "data", None),
    "the Secret is emptied": lambda world: setattr(world.secret, "data", {}),
    "the CA's key is garbled": lambda world: world.secret.edit(**{"ca.key": b"rubbish"}),
    "the CA is garbled": lambda world: world.secret.edit(**{"ca.crt": b"rubbish"}),
    "the certificate is garbled": lambda world: world.secret.edit(**{"tls.crt": b"rubbish"}),
    "the key is garbled": lambda world: world.secret.edit(**{"tls.key": b"rubbish"}),
    "everything is another's": lambda world: world.secret.edit(**certificates.written(made(START))),
    "the certificate is another's": lambda world: world.secret.edit(
        **{name: data for name, data in certificates.written(made(START)).items() if name.startswith("tls")}
    ),
    "the bundle is emptied": lambda world: setattr(world.configuration, "trusted", b""),
    "the bundle is garbled": lambda world: setattr(world.configuration, "trusted", b"\xffrubbish"),
    "Secret and bundle are both gone": World.lose_everything,
    "the certificate expires": lambda world: setattr(world, "now", START + 91 * DAY),
    "everything expires": lambda world: setattr(world, "now", START + 3650 * DAY),
    "the clock jumps back": lambda world: setattr(world, "now", START - 3650 * DAY),
    "the clock jumps back an hour": lambda world: setattr(world, "now", START - HOUR),
    "the certificate is to be renewed": lambda world: setattr(world, "now", START + 61 * DAY),
}


@pytest.mark.feature("K2")
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
async def test_it_heals(world: World, keeper: CertificateKeeper, spoil: Callable[[World], object]) -> None:
    spoil(world)
    assert await keeper.look()
    assert world.in_step
    assert keeper.unready() == []


@pytest.mark.feature("K2")
async def test_a_clock_that_jumps_ahead_and_back_again_leaves_valid_certificates(
    world: World, keeper: CertificateKeeper
) -> None:
    for now in (START + 400 * DAY, START, START + 400 * DAY, START + HOUR):
        world.now = now
        assert await keeper.look()
        assert world.in_step


@pytest.mark.feature("K2")
async def test_a_lost_secret_leaves_the_former_ca_trusted_until_all_have_noticed(
    world: World, keeper: CertificateKeeper
) -> None:
    former = of(world.secret.keyring.authority).certificate
    world.secret.data = None
    await keeper.look()
    assert of(world.secret.keyring.authority).certificate != former
    assert former in pki.certificates(world.configuration.trusted)

    world.now += HOUR
    await keeper.look()
    assert former not in pki.certificates(world.configuration.trusted)
    assert world.in_step


@pytest.mark.feature("K2")
async def test_a_ca_is_replaced_step_by_step(world: World, keeper: CertificateKeeper) -> None:
    world.now += 190 * DAY
    await keeper.look()
    first, serving = world.secret.keyring.bundle, of(world.secret.keyring.serving).certificate

    world.now += 54 * DAY
    await keeper.look()
    both = world.secret.keyring.bundle
    assert both[1:] == first
    assert of(world.secret.keyring.serving).certificate == serving
    assert world.configuration.trusted == pki.pem(both)

    world.now += HOUR
    await keeper.look()
    assert world.secret.keyring.bundle == both
    assert pki.issued(of(world.secret.keyring.serving).certificate, both[0])

    world.now += HOUR
    await keeper.look()
    assert world.secret.keyring.bundle == both[:1]
    assert world.in_step


async def test_a_ca_that_could_not_be_published_issues_nothing_yet(world: World, keeper: CertificateKeeper) -> None:
    world.now += 190 * DAY
    await keeper.look()
    serving = of(world.secret.keyring.serving).certificate
    world.configuration.fault = errors.Forbidden("may not patch (HTTP 403)")
    world.now += 54 * DAY
    for _ in range(3):
        assert not await keeper.look()
        world.now += HOUR
    assert of(world.secret.keyring.serving).certificate == serving

    world.configuration.fault = None
    assert await keeper.look()
    assert await keeper.look()
    assert of(world.secret.keyring.serving).certificate != serving
    assert world.in_step


FAULTS: dict[str, errors.KubeError] = {
    "the API server is away": errors.Unavailable("the API server can't be reached"),
    "a permission is missing": errors.Forbidden("may not (HTTP 403)"),
    "the namespace is missing": errors.NotFound('namespaces "x" not found (HTTP 404)'),
    "the Secret can't be changed": errors.Refused("field is immutable (HTTP 422)"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_what_goes_wrong_is_told_and_tried_again(world: World, fault: errors.KubeError) -> None:
    keeper = world.keeper()
    world.secret.fault = fault
    assert not await keeper.look()
    assert keeper.unready() == [f"webhook: there is no certificate yet: {fault}"]

    world.secret.fault = None
    assert await keeper.look()
    assert keeper.unready() == []
    assert world.in_step


async def test_what_there_is_is_used_though_it_can_not_be_renewed(world: World, keeper: CertificateKeeper) -> None:
    world.now += 61 * DAY
    world.secret.fault = errors.Forbidden("may not (HTTP 403)")
    other = world.keeper()
    assert not await other.look()
    assert other.unready() == []
    assert len(world.ends) == 2


async def test_a_missing_configuration_keeps_nobody_from_serving(world: World) -> None:
    world.configuration.missing = True
    keeper = world.keeper()
    assert not await keeper.look()
    assert keeper.unready() == []

    world.configuration.missing = False
    assert await keeper.look()
    assert world.in_step


async def test_without_a_configuration_nobody_is_told(world: World) -> None:
    keeper = CertificateKeeper(
        secret=world.secret,
        configuration=None,
        tls=LiveContext(world.ends.append),
        hosts=HOSTS,
        leads=lambda: True,
        seconds=60,
        clock=lambda: world.now,
    )
    for _ in range(300):
        assert await keeper.look()
        world.now += 3 * DAY
    assert keeper.unready() == []
    assert world.configuration.writes == 0


def test_it_looks_often_until_there_is_a_certificate_and_seldom_then(world: World) -> None:
    looks: list[float] = []

    def leads() -> bool:
        looks.append(virtual_time.now())
        return virtual_time.now() > 5

    async def run() -> None:
        keeping = asyncio.create_task(world.keeper(leads).run())
        await asyncio.sleep(150)
        keeping.cancel()

    virtual_time.run(run())
    assert looks == [0, 2, 4, 6, 66, 126]


def test_an_outage_is_noticed_without_the_clock(world: World) -> None:
    """The clock of the node may stand still or jump: looks follow the loop's own clock."""
    world.leads = True

    async def run() -> None:
        keeping = asyncio.create_task(world.keeper().run())
        await asyncio.sleep(10)
        world.now += timedelta(days=3650)
        await asyncio.sleep(60)
        assert world.in_step
        keeping.cancel()

    virtual_time.run(run())
