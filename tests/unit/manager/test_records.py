"""What is kept of the objects, whatever stands in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.container import FINALIZER, RESTARTED_AT_ANNOTATION
from controller.api.node import OUT_OF_SERVICE_TAINT
from controller.manager import records
from controller.manager.binding import Demand
from controller.manager.records import Ready
from tests.unit.manager.objects import GIBIBYTE, asks, bound, container, node, running, taint


@pytest.mark.parametrize(
    ("spec", "demand"),
    [
        pytest.param({}, Demand(group="shop/"), id="nothing"),
        pytest.param(
            {"resources": asks("500m", "1Gi")}, Demand(cpu=500, memory=GIBIBYTE, group="shop/"), id="what is requested"
        ),
        pytest.param(
            {"resources": {"limits": {"cpu": 2, "memory": "64"}}},
            Demand(cpu=2000, memory=64, group="shop/"),
            id="a limit without a request is the request too",
        ),
        pytest.param(
            {"resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}},
            Demand(cpu=1000, group="shop/"),
            id="the request and not the limit",
        ),
        pytest.param(
            {"resources": asks("a lot", "1Gi")},
            Demand(memory=GIBIBYTE, group="shop/"),
            id="what is no quantity is left to the agent to refuse",
        ),
        pytest.param(
            {"runtimeName": "crun", "nodeSelector": {"b": "1", "a": "2"}},
            Demand(runtime="crun", selector=(("a", "2"), ("b", "1")), group="shop/"),
            id="runtime and labels",
        ),
    ],
)
def test_what_a_container_asks_of_a_node(spec: dict[str, Any], demand: Demand) -> None:
    assert records.container(container(**spec)).demand == demand


def test_containers_are_spread_by_app_or_else_by_namespace() -> None:
    app = records.container(container(labels={records.APP_LABEL: "api"}))
    assert (app.demand.group, records.container(container()).demand.group) == ("shop/api", "shop/")


def test_what_asks_for_the_same_shares_one_demand() -> None:
    first = records.container(container("a", tolerations=[{"operator": "Exists"}]))
    second = records.container(container("b", tolerations=[{"operator": "Exists"}]))
    assert first.demand is second.demand
    assert len(first.demand.tolerations) == 1


def test_a_toleration_that_is_none_is_left_out() -> None:
    assert records.container(container(tolerations=[{"operator": "Perhaps"}])).demand.tolerations == ()


@pytest.mark.parametrize(
    ("body", "home", "unbound"),
    [
        pytest.param(container(), None, True, id="nobody has bound it"),
        pytest.param(container(node="node-a"), "node-a", True, id="its user names the node"),
        pytest.param(container(label="node-a"), "node-a", False, id="the label alone names it"),
        pytest.param(bound("web", "node-a"), "node-a", False, id="bound"),
        pytest.param(
            container(node="node-a", label="node-b"), "node-a", False, id="the name counts, and not the label"
        ),
        pytest.param(
            container(status=running("node-a")), "node-a", True, id="somebody has taken its node out while it runs"
        ),
        pytest.param(
            bound("web", "node-a", label="node-b"), "node-a", True, id="somebody has changed its label while it runs"
        ),
        pytest.param(
            container(label="node-a", status=running("node-a")),
            "node-a",
            True,
            id="its node is taken out, its label is not",
        ),
        pytest.param(
            container(node="node-b", label="node-a", status=running("node-a")),
            "node-b",
            False,
            id="somebody wants to move it while it runs",
        ),
        pytest.param(
            container(node="node-b", label="node-b", status=running("node-a")),
            "node-b",
            False,
            id="somebody wants to move it, and has changed its label too",
        ),
        pytest.param(
            bound("web", "node-a", label="node-b", deleting=True),
            "node-a",
            False,
            id="its label is changed while it goes",
        ),
        pytest.param(container(deleting=True), None, False, id="deleted before it was bound"),
    ],
)
def test_where_a_container_is_at_home(body: dict[str, Any], home: str | None, unbound: bool) -> None:
    record = records.container(body)
    assert (record.home, record.unbound) == (home, unbound)


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("body", "movable"),
    [
        pytest.param(bound("web", "node-a"), False, id="by default never"),
        pytest.param(bound("web", "node-a", reschedule="Never"), False, id="never"),
        pytest.param(bound("web", "node-a", reschedule="WhenNodeGone"), True, id="it ran"),
        pytest.param(container(node="node-a", reschedule="WhenNodeGone"), True, id="it was never seen"),
        pytest.param(
            bound("web", "node-a", reschedule="WhenNodeGone", status={"state": "Unknown", "exitCode": 0}),
            False,
            id="it had ended for good",
        ),
        pytest.param(
            bound(
                "web",
                "node-a",
                reschedule="WhenNodeGone",
                status={"exitCode": 1, "nextRestartAt": "2026-11-22T10:00:00Z"},
            ),
            True,
            id="it was to be started again",
        ),
        pytest.param(
            bound("web", "node-a", reschedule="WhenNodeGone", desiredState="Stopped", status={"exitCode": 137}),
            True,
            id="it was stopped, and may be started by its user",
        ),
        pytest.param(
            bound(
                "web",
                "node-a",
                reschedule="WhenNodeGone",
                annotations={RESTARTED_AT_ANNOTATION: "now"},
                status={"exitCode": 0},
            ),
            True,
            id="it had ended, and its user has asked for a restart since",
        ),
        pytest.param(
            bound(
                "web",
                "node-a",
                reschedule="WhenNodeGone",
                annotations={RESTARTED_AT_ANNOTATION: "then"},
                status={"exitCode": 0, "restartedAt": "then"},
            ),
            False,
            id="it was restarted as asked, and has ended again",
        ),
    ],
)
def test_whether_a_container_may_be_moved(body: dict[str, Any], movable: bool) -> None:
    assert records.container(body).movable == movable


def test_what_is_kept_of_a_container() -> None:
    record = records.container(bound("web", "node-a", version=7, deleting=True, finalizers=("other", FINALIZER)))
    assert (record.key, record.uid, record.version) == (("shop", "web"), "uid-web", "7")
    assert (record.deleting, record.ours, record.state, record.status_node) == (True, True, "Running", "node-a")
    assert record.ready == Ready("True", "Running", "")


def test_what_is_kept_of_a_node() -> None:
    body = node(cpu="3500m", memory="6Gi", containers=9, runtimes=("crun", "runc"), unschedulable=True)
    body["status"]["runtimes"][0]["available"] = False
    offered = records.node(body).candidate
    assert (offered.cpu, offered.memory, offered.containers) == (3500, 6 * GIBIBYTE, 9)
    assert (set(offered.runtimes), offered.default_runtime) == ({"runc"}, "crun")
    assert (offered.unschedulable, offered.not_ready, offered.leaving) == (True, None, False)
    assert offered.labels == {"kubernetes.io/hostname": "node-a"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(node(), None, id="ready"),
        pytest.param(node(ready="False", reason="AgentNotReady"), "AgentNotReady", id="not ready"),
        pytest.param(node(ready="Unknown", reason="NodeLost"), "NodeLost", id="lost"),
        pytest.param(node(ready=None), "no status yet", id="just made"),
    ],
)
def test_why_a_node_is_not_ready(body: dict[str, Any], said: str | None) -> None:
    assert records.node(body).candidate.not_ready == said


def test_a_taint_vouches_that_a_node_is_out_of_service() -> None:
    assert records.node(node(taints=(taint(OUT_OF_SERVICE_TAINT),))).out_of_service
    assert not records.node(node(taints=(taint("other"),))).out_of_service


def test_an_object_that_was_just_made_has_neither_spec_nor_status() -> None:
    assert records.node({"metadata": node()["metadata"]}).candidate.cpu is None
    assert records.container({"metadata": container()["metadata"]}).state is None


texts = st.text(max_size=5)
quantities = st.one_of(st.none(), texts, st.integers(), st.sampled_from(["1", "1Gi", "1e3", "1e99"]))


@given(st.dictionaries(st.sampled_from(["cpu", "memory"]), quantities), st.dictionaries(texts, texts, max_size=3))
def test_nothing_that_a_user_may_write_is_too_much(amounts: dict[str, Any], labels: dict[str, str]) -> None:
    spec: dict[str, Any] = {"resources": {"requests": amounts, "limits": amounts}, "nodeSelector": labels}
    asked = records.container(container(**spec)).demand
    assert asked.cpu >= 0
    assert asked.memory >= 0
