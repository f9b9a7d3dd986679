"""Every query of the alerts and the dashboards, asked of a real Prometheus that scrapes a real agent with real containers, and a real manager."""

from collections.abc import Iterator, Mapping
from functools import partial

import pytest

from hack import dashboards, lab, monitoring_tables
from tests import promql
from tests.e2e import fleet, waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import LEASE_NAMESPACE, Cluster, Namespace
from tests.e2e.conftest import Images
from tests.e2e.door import SECRET, Door, DoorKeeper
from tests.e2e.manager_process import LEASE
from tests.e2e.node import Node

pytestmark = pytest.mark.feature("K5")
ALERTS = {alert["alert"]: alert["expr"] for alert in monitoring_tables.alerts()}
QUERIES = {
    f"{path.stem}-{number}": promql.filled(expression)
    for path, text in dashboards.generated().items()
    for number, expression in enumerate(dashboards.queries(text))
}
NOT_OURS = "kube_"
"""What kube-state-metrics exports is not to be had here."""
SAID = {
    "TallymanContainerCrashLooping": {"loops"},
    "TallymanContainerUnhealthy": {"ill"},
    "TallymanContainerNotReady": {"failed", "greedy"},
    "TallymanContainerOOMKilled": {"greedy"},
    "TallymanContainerStalled": {"wrong"},
    "TallymanContainerWaiting": {"pulling", "waiting"},
    "TallymanContainerRemovalStuck": {"stubborn"},
    "TallymanContainerCPUThrottled": {"busy"},
    "TallymanImagePullFailing": {"imageless"},
}
"""Of which containers these alerts speak once their time has passed, and of no other."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"TALLYMAN_LIST_SECONDS": "1", "TALLYMAN_STALE_SECONDS": "3"}


@pytest.fixture(scope="module")
def manager(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorKeeper]:
    """A manager that leads, with a webhook that the API server asks about the Containers of one namespace."""
    cluster.delete_nodes()
    name = "door-watched"
    process = DoorKeeper(
        tmp_path_factory.mktemp("manager"),
        cluster.kubeconfig,
        namespace=LEASE_NAMESPACE,
        settings={"TALLYMAN_WEBHOOK_CONFIGURATION": name},
    )
    door = Door(cluster, process, name)
    door.install()
    process.start()
    waiting.until(process.leads, "the only manager leads")
    door.guard(cluster.namespace("registry.invalid/box:1"))
    yield process
    process.stop()
    door.remove()
    cluster.core.delete_namespaced_secret(SECRET, LEASE_NAMESPACE)
    cluster.delete_lease(LEASE)


@pytest.fixture(scope="module")
def agent(
    cluster: Cluster,
    node: Node,
    manager: DoorKeeper,
    settings: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AgentProcess]:
    """The only agent of the cluster: all that fits on its node is bound to it."""
    made = AgentProcess(
        tmp_path_factory.mktemp("agent"), cluster.kubeconfig, node.containerd, standalone=False, settings=settings
    )
    made.start()
    yield made
    made.stop()
    cluster.delete_node(made.node_name)


@pytest.fixture(scope="module")
def prometheus(
    agent: AgentProcess, manager: DoorKeeper, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[lab.Prometheus]:
    """A Prometheus that scrapes both every second, with our alerts."""
    targets = [
        lab.Target("tallyman-agent", agent.address, {"cluster": "lab", "node": agent.node_name}),
        lab.Target("tallyman-manager", manager.address, {"cluster": "lab"}),
    ]
    with lab.prometheus(tmp_path_factory.mktemp("prometheus"), targets, rules=[monitoring_tables.RULES]) as made:
        yield made


@pytest.fixture(scope="module")
def containers(
    prometheus: lab.Prometheus, cluster: Cluster, node: Node, agent: AgentProcess, images: Images
) -> Iterator[Namespace]:
    """Containers in every state, seen by Prometheus."""
    with fleet.made(cluster, node, agent, images) as namespace:
        waiting.until(
            lambda: prometheus.query('ALERTS{alertname="TallymanContainerOOMKilled", alertstate="firing"}'),
            "the alert that fires at once",
            seconds=60,
        )
        yield namespace


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_a_query_of_a_dashboard_gives_data(prometheus: lab.Prometheus, query: str) -> None:
    waiting.until(lambda: prometheus.query(query), query)


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize("expression", ALERTS.values(), ids=ALERTS)
def test_all_that_an_alert_is_made_of_gives_data(prometheus: lab.Prometheus, expression: str) -> None:
    prometheus.query(expression)
    for selector in promql.selectors(expression):
        if not selector.name.startswith(NOT_OURS):
            waiting.until(partial(prometheus.query, selector.text), selector.text)


@pytest.mark.usefixtures("containers")
@pytest.mark.parametrize(("alert", "names"), SAID.items(), ids=SAID)
def test_an_alert_speaks_of_the_containers_that_it_is_about(
    prometheus: lab.Prometheus, alert: str, names: set[str]
) -> None:
    def spoken_of() -> set[str]:
        return {series["metric"]["name"] for series in prometheus.query(ALERTS[alert])}

    waiting.until(lambda: spoken_of() == names, alert, seen=spoken_of)


@pytest.mark.usefixtures("containers")
def test_of_the_manager_nothing_is_said_but_what_is_wrong(prometheus: lab.Prometheus) -> None:
    about = [name for name in ALERTS if name.startswith(("TallymanManager", "TallymanWebhook", "TallymanNode"))]

    def said() -> list[str]:
        return [name for name in [*about, "TallymanContainersUnbindable"] if prometheus.query(ALERTS[name])]

    waiting.until(lambda: said() == ["TallymanContainersUnbindable"], "what the alerts say", seen=said)


@pytest.mark.usefixtures("containers")
def test_the_rules_are_evaluated_without_an_error(prometheus: lab.Prometheus) -> None:
    rules = [rule for group in prometheus.rule_groups() for rule in group["rules"]]
    assert {rule["name"] for rule in rules} == set(ALERTS)
    waiting.until(lambda: all(_evaluated(prometheus)), "every rule evaluated")


def _evaluated(prometheus: lab.Prometheus) -> Iterator[bool]:
    for group in prometheus.rule_groups():
        for rule in group["rules"]:
            assert not rule.get("lastError"), f"{rule['name']}: {rule['lastError']}"
            yield rule["health"] == "ok"


@pytest.mark.usefixtures("containers")
def test_the_pages_are_as_prometheus_wants_them(agent: AgentProcess, manager: DoorKeeper) -> None:
    for process in (agent, manager):
        lab.promtool("check", "metrics", stdin=process.page("/metrics")[1])


@pytest.mark.feature("K4")
def test_the_series_of_a_container_go_with_it(
    containers: Namespace, prometheus: lab.Prometheus, agent: AgentProcess
) -> None:
    of_it = f'{{namespace="{containers.name}", name="brief"}}'
    containers.sleeper("brief")
    waiting.until(lambda: prometheus.query(of_it), "its series")
    containers.delete("brief")
    containers.wait_gone("brief")
    waiting.until(lambda: not prometheus.query(of_it), "no series", seen=lambda: prometheus.query(of_it))
