"""Two managers: one leads, and the other goes on where it was killed. The nodes are objects only."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e import simulated, waiting
from tests.e2e.audit import Audit
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.manager_process import LEASE, ManagerProcess
from tests.e2e.pages import value
from tests.e2e.simulated import Fleet, SimulatedNode, is_bound, node_of

IMAGE = "registry.invalid/box:1"
MANY = 300
TAKEOVER_SECONDS = 60.0

Managers = list[ManagerProcess]


@pytest.fixture(scope="module", autouse=True)
def _no_other_nodes(cluster: Cluster) -> None:
    cluster.delete_nodes()


@pytest.fixture
def managers(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Managers]:
    made = [
        ManagerProcess(tmp_path_factory.mktemp(f"manager-{letter}"), cluster.kubeconfig, f"manager-{letter}")
        for letter in "ab"
    ]
    for manager in made:
        manager.start()
    yield made
    for manager in made:
        manager.stop()
    cluster.delete_lease(LEASE)


@pytest.fixture
def nodes(cluster: Cluster) -> Iterator[Fleet]:
    with simulated.fleet(cluster) as made:
        made.add(*(SimulatedNode(f"over-{letter}", cpu="100", containers=MANY // 5) for letter in "abcde"))
        yield made


@pytest.fixture
def namespace(cluster: Cluster, managers: Managers, nodes: Fleet) -> Iterator[Namespace]:
    made = cluster.namespace(IMAGE)
    yield made
    for name in made.listed():
        made.delete(name)
    made.strip_finalizers()


def _leader(managers: Managers) -> tuple[ManagerProcess, ManagerProcess]:
    """Who leads, and who does not."""
    waiting.until(lambda: any(one.leads() for one in managers), "somebody leads", seconds=TAKEOVER_SECONDS)
    leading = [one for one in managers if one.leads()]
    assert len(leading) == 1
    return leading[0], next(one for one in managers if one is not leading[0])


@pytest.mark.feature("K2")
def test_a_leader_killed_in_the_middle_of_binds_binds_nothing_twice_and_loses_none(
    namespace: Namespace, managers: Managers, audit: Audit
) -> None:
    leader, standby = _leader(managers)
    names = [f"c-{number}" for number in range(MANY)]
    made = iter(names)
    for name in made:
        namespace.create(name, resources={"requests": {"cpu": "10m"}})
        if value(leader, "tallyman_manager_binds_total", result="success") > MANY // 4:
            break
    leader.kill()
    for name in made:
        namespace.create(name, resources={"requests": {"cpu": "10m"}})
    bound = namespace.wait_all(names, is_bound, "bound", seconds=TAKEOVER_SECONDS)
    assert standby.leads()
    assert set(Counter(node_of(body)[0] for body in bound.values()).values()) == {MANY // 5}
    done = Counter(write.name for write in audit.to_containers(namespace.name) if write.code == 200)
    assert done == dict.fromkeys(names, 1)
    leader.start()
    waiting.until(lambda: leader.page("/readyz")[0] == 200, "the killed one is back, and waits")
    assert (leader.leads(), standby.leads()) == (False, True)


@pytest.mark.feature("K2")
def test_who_does_not_lead_sees_everything_and_writes_nothing(
    namespace: Namespace, managers: Managers, audit: Audit
) -> None:
    leader, standby = _leader(managers)
    for number in range(20):
        namespace.create(f"c-{number}")
    namespace.wait_all(namespace.listed(), is_bound)
    waiting.until(lambda: value(standby, "tallyman_manager_pending_containers") == 0, "the other one sees them")
    assert standby.page("/readyz")[0] == standby.page("/healthz")[0] == 200
    assert value(standby, "tallyman_manager_containers") >= 20
    assert value(standby, "tallyman_manager_binds_total") == 0
    assert value(standby, "tallyman_api_requests_total", verb="PATCH") == 0
    assert value(leader, "tallyman_manager_binds_total", result="success") == 20


@pytest.mark.feature("K2")
def test_a_leader_that_stops_politely_is_followed_at_once(
    namespace: Namespace, managers: Managers, cluster: Cluster
) -> None:
    leader, standby = _leader(managers)
    renewed = cluster.coordination.read_namespaced_lease(LEASE, "tallyman-system").spec.renew_time
    leader.stop()
    waiting.until(standby.leads, "the other one leads")
    lease = cluster.coordination.read_namespaced_lease(LEASE, "tallyman-system").spec
    assert lease.holder_identity.startswith(f"{standby.name}_")
    # By the API server's own record: sooner than an unreleased Lease could be taken over.
    assert (lease.acquire_time - renewed).total_seconds() < lease.lease_duration_seconds
    namespace.create("web")
    namespace.wait("web", is_bound)


@pytest.mark.feature("K2")
def test_a_leader_whose_lease_is_taken_away_writes_no_more(
    namespace: Namespace, managers: Managers, cluster: Cluster
) -> None:
    leader, standby = _leader(managers)
    standby.kill()
    cluster.coordination.patch_namespaced_lease(
        LEASE, "tallyman-system", {"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 10}}
    )
    waiting.until(lambda: not leader.leads(), "it leads no more")
    before = value(leader, "tallyman_api_requests_total", verb="PATCH")
    namespace.create("web")
    waiting.until(lambda: value(leader, "tallyman_manager_pending_containers") == 1, "it sees what is to be bound")
    assert not is_bound(namespace.get("web"))
    assert value(leader, "tallyman_api_requests_total", verb="PATCH") == before
    namespace.wait("web", is_bound, "is bound when the Lease has expired", seconds=TAKEOVER_SECONDS)
