"""A minute without the API server, with every duration as it is by default: nobody is called lost, and no container is touched.

`test_fleet` shows the same for an outage that outlasts shorter Leases.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from controller.agent.settings import Settings as AgentSettings
from controller.api.node import LEASE_DURATION_SECONDS
from controller.manager.leader import Timing
from controller.manager.settings import Settings
from tests.e2e import members, waiting
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.manager_process import ManagerProcess, only_manager
from tests.e2e.members import Member
from tests.e2e.objects import is_running, life
from tests.e2e.pages import value

OUTAGE_SECONDS = 60.0
NODES = ("outage-a", "outage-b")
MANAGER = {
    "TALLYMAN_NODE_LIST_SECONDS": str(Settings.node_list_seconds),
    "TALLYMAN_LIST_SECONDS": str(Settings.list_seconds),
    "TALLYMAN_STALE_SECONDS": str(Settings.stale_seconds),
    "TALLYMAN_LOST_DELETION_SECONDS": str(Settings.lost_deletion_seconds),
    "TALLYMAN_LEADER_LEASE_SECONDS": f"{Timing.duration:g}",
    "TALLYMAN_LEADER_RENEW_SECONDS": f"{Timing.renew_deadline:g}",
    "TALLYMAN_LEADER_RETRY_SECONDS": f"{Timing.retry:g}",
}
AGENT = {
    "TALLYMAN_LIST_SECONDS": str(AgentSettings.list_seconds),
    "TALLYMAN_STALE_SECONDS": str(AgentSettings.stale_seconds),
    "TALLYMAN_LEASE_DURATION_SECONDS": str(LEASE_DURATION_SECONDS),
}


@pytest.fixture
def manager(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    cluster.delete_nodes()
    with only_manager(cluster, tmp_path_factory.mktemp("manager"), MANAGER) as made:
        yield made


@pytest.fixture
def fleet(
    cluster: Cluster, manager: ManagerProcess, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Member]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(members.member(cluster, name, tmp_path_factory.mktemp(name), AGENT)) for name in NODES
        ]


@pytest.fixture
def namespace(cluster: Cluster, images: Images, fleet: list[Member]) -> Iterator[Namespace]:
    made = cluster.namespace(images.busybox)
    yield made
    cluster.plane.start()
    try:
        made.delete_all(seconds=120)
        for one in fleet:
            one.node.wait_clean()
    finally:
        made.strip_finalizers()


@pytest.mark.feature("K2")
def test_a_minute_without_the_api_server_loses_no_node_and_touches_no_container(
    namespace: Namespace, fleet: list[Member], cluster: Cluster, manager: ManagerProcess
) -> None:
    for one in fleet:
        namespace.sleeper(one.name, nodeName=one.name, reschedule="WhenNodeGone")
    before = {name: life(body) for name, body in namespace.wait_all(NODES, is_running).items()}
    tasks = [one.node.tasks() for one in fleet]
    steps = value(manager, "tallyman_manager_node_steps_total")

    cluster.plane.kill_apiserver()
    away = time.time()
    waiting.until(
        lambda: all(time.time() - max(away, one.renewed_at()) > OUTAGE_SECONDS for one in fleet),
        "no Lease was renewed for a minute",
        seconds=2 * OUTAGE_SECONDS,
    )
    assert [one.node.tasks() for one in fleet] == tasks
    assert not manager.leads()
    cluster.plane.start_apiserver()
    back = time.time()

    # By then a manager that had counted the outage would have found each of them silent, and have acted on it.
    waiting.until(manager.leads, "it leads again", seconds=60)
    waiting.until(
        lambda: all(one.renewed_at() > back + LEASE_DURATION_SECONDS for one in fleet),
        "all are heard of for a whole duration",
        seconds=2 * LEASE_DURATION_SECONDS,
    )
    assert value(manager, "tallyman_manager_nodes", phase="Alive") == len(fleet)
    assert {name: life(body) for name, body in namespace.wait_all(NODES, is_running).items()} == before
    assert [one.node.tasks() for one in fleet] == tasks
    assert {one.ready() for one in fleet} == {"True AgentReady"}
    assert value(manager, "tallyman_manager_node_steps_total") == steps
    assert "a node's life has changed" not in manager.log
    assert not [name for name in NODES if namespace.events(name, "NodeLost")]
