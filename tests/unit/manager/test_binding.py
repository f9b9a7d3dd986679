"""Which node a Container is bound to, and why it is bound to none."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.node import OUT_OF_SERVICE_TAINT
from controller.api.placement import Taint, TaintEffect, Toleration, TolerationOperator
from controller.manager import binding
from controller.manager.binding import Candidate, Demand, Load, choose, explained, fits, refusals
from tests.unit.manager.objects import GIBIBYTE, candidate

GPU = Taint(key="example.com/gpu", value="yes", effect=TaintEffect.NO_SCHEDULE)
ANYTHING = Toleration(operator=TolerationOperator.EXISTS)
FENCED = Taint(key=OUT_OF_SERVICE_TAINT, effect=TaintEffect.NO_SCHEDULE)


def load(containers: int = 0, cpu: int = 0, memory: int = 0, **groups: int) -> Load:
    return Load(cpu=cpu, memory=memory, containers=containers, groups=dict(groups))


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("demand", "node", "has", "said"),
    [
        pytest.param(Demand(), candidate(), load(), "", id="nothing speaks against it"),
        pytest.param(
            Demand(), candidate(not_ready="AgentNotReady"), load(), "not ready (AgentNotReady)", id="not ready"
        ),
        pytest.param(Demand(), candidate(leaving=True), load(), "being deleted", id="its ContainerNode is deleted"),
        pytest.param(Demand(), candidate(unschedulable=True), load(), "cordoned", id="cordoned"),
        pytest.param(Demand(), candidate(taints=(GPU,)), load(), "tainted (example.com/gpu=yes)", id="tainted"),
        pytest.param(
            Demand(tolerations=(Toleration(key="example.com/gpu", value="yes"),)),
            candidate(taints=(GPU,)),
            load(),
            "",
            id="tainted, and the taint is tolerated",
        ),
        pytest.param(
            Demand(tolerations=(ANYTHING,)),
            candidate(taints=(FENCED,)),
            load(),
            "out of service",
            id="out of service, whatever is tolerated",
        ),
        pytest.param(
            Demand(selector=(("disk", "ssd"),)),
            candidate(),
            load(),
            "labels differ (disk=ssd is asked for)",
            id="no label",
        ),
        pytest.param(
            Demand(selector=(("disk", "ssd"),)),
            candidate(labels={"disk": "hdd"}),
            load(),
            "labels differ (disk=ssd is asked for)",
            id="another label",
        ),
        pytest.param(
            Demand(selector=(("disk", "ssd"),)), candidate(labels={"disk": "ssd", "a": "b"}), load(), "", id="the label"
        ),
        pytest.param(Demand(runtime="crun"), candidate(), load(), "runtime missing (crun)", id="no such runtime"),
        pytest.param(
            Demand(),
            candidate(runtimes=frozenset({"crun"})),
            load(),
            "runtime missing (runc)",
            id="the default runtime is gone",
        ),
        pytest.param(
            Demand(runtime="crun"), candidate(runtimes=frozenset({"crun"})), load(), "", id="the runtime is there"
        ),
        pytest.param(Demand(), candidate(cpu=None), load(), "capacity not reported", id="no capacity known"),
        pytest.param(
            Demand(),
            candidate(cpu=None, runtimes=frozenset(), default_runtime=""),
            load(),
            "capacity not reported",
            id="nothing known",
        ),
        pytest.param(
            Demand(memory=99 * 1024 * GIBIBYTE),
            candidate(),
            load(),
            "too little memory (99Ti asked for, 8Gi of 8Gi free)",
            id="more memory than any node has",
        ),
        pytest.param(
            Demand(cpu=2000),
            candidate(),
            load(1, cpu=2500),
            "too little cpu (2 asked for, 1500m of 4 free)",
            id="not enough cpu",
        ),
        pytest.param(Demand(cpu=1500), candidate(), load(1, cpu=2500), "", id="just enough cpu"),
        pytest.param(
            Demand(memory=3 * GIBIBYTE),
            candidate(),
            load(1, memory=6 * GIBIBYTE),
            "too little memory (3Gi asked for, 2Gi of 8Gi free)",
            id="not enough memory",
        ),
        pytest.param(
            Demand(),
            candidate(),
            load(1, cpu=9000),
            "",
            id="what asks for nothing fits on a node that has given too much",
        ),
        pytest.param(
            Demand(), candidate(containers=3), load(3), "full (3 of 3 containers)", id="as many containers as it takes"
        ),
        pytest.param(
            Demand(cpu=5000, runtime="crun"),
            candidate(unschedulable=True),
            load(),
            "cordoned, runtime missing (crun), too little cpu (5 asked for, 4 of 4 free)",
            id="all that speaks against it is said",
        ),
    ],
)
def test_what_speaks_against_a_node(demand: Demand, node: Candidate, has: Load, said: str) -> None:
    found = refusals(demand, [(node, has)])
    assert fits(demand, node, has) == (said == "")
    assert [str(refusal) for refusal in found] == ([f"node-a: {said}"] if said else [])


@pytest.mark.feature("K2")
@pytest.mark.parametrize(
    ("demand", "offers", "chosen"),
    [
        pytest.param(Demand(), [], None, id="there is no node"),
        pytest.param(Demand(), [(candidate(unschedulable=True), load())], None, id="none fits"),
        pytest.param(
            Demand(cpu=100),
            [(candidate("a"), load(4, cpu=2000)), (candidate("b"), load(4, cpu=100))],
            "b",
            id="the one of which least is asked for",
        ),
        pytest.param(
            Demand(cpu=1000),
            [(candidate("small", cpu=2000), load()), (candidate("large", cpu=64_000), load(9, cpu=9000))],
            "large",
            id="it is the share that counts and not the amount",
        ),
        pytest.param(
            Demand(memory=GIBIBYTE),
            [(candidate("a"), load(1, memory=6 * GIBIBYTE)), (candidate("b"), load(1, memory=GIBIBYTE))],
            "b",
            id="memory counts as cpu does",
        ),
        pytest.param(
            Demand(group="shop"),
            [(candidate("a"), load(1, shop=1)), (candidate("b"), load(5, other=5))],
            "b",
            id="the one with the fewest of the same app",
        ),
        pytest.param(
            Demand(cpu=10, group="shop"),
            [(candidate("a"), load(1, cpu=300, shop=1)), (candidate("b"), load(1, cpu=350, other=1))],
            "b",
            id="nodes loaded nearly alike are told apart by the spread",
        ),
        pytest.param(
            Demand(cpu=10, group="shop"),
            [(candidate("a"), load(1, cpu=300, shop=1)), (candidate("b"), load(1, cpu=3500, other=1))],
            "a",
            id="a busy node is not chosen for the spread",
        ),
        pytest.param(
            Demand(),
            [(candidate("a"), load(2, x=2)), (candidate("b"), load(1, y=1))],
            "b",
            id="the one with fewer containers",
        ),
        pytest.param(Demand(), [(candidate("b"), load()), (candidate("a"), load())], "a", id="the name breaks ties"),
        pytest.param(
            Demand(),
            [(candidate("a", not_ready="NodeLost"), load()), (candidate("b"), load(200))],
            "b",
            id="a better node that does not fit is no node",
        ),
    ],
)
def test_which_node_is_chosen(demand: Demand, offers: list[binding.Offer], chosen: str | None) -> None:
    assert choose(demand, offers) == chosen


def test_few_nodes_are_spoken_of_one_by_one() -> None:
    offers = [
        (candidate("b", unschedulable=True), load()),
        (candidate("a", not_ready="NodeLost", containers=0), load()),
    ]
    said = "0/2 nodes fit: a: not ready (NodeLost), full (0 of 0 containers); b: cordoned"
    assert explained(refusals(Demand(), offers)) == said


def test_many_nodes_are_counted_by_what_speaks_against_them() -> None:
    cordoned = [(candidate(f"a-{number:02}", unschedulable=True), load()) for number in range(20)]
    full = [(candidate(f"b-{number:02}", containers=0), load()) for number in range(2)]
    said = "0/22 nodes fit: 20 cordoned (a-00, a-01, a-02, …); 2 full (b-00, b-01)"
    assert explained(refusals(Demand(), [*full, *cordoned])) == said


def test_that_there_is_no_node_is_said() -> None:
    assert explained(()) == "there is no node: no agent has registered"


taints = st.lists(
    st.builds(Taint, key=st.sampled_from(["gpu", "old"]), effect=st.just(TaintEffect.NO_SCHEDULE)), max_size=2
)
tolerations = st.lists(st.sampled_from([ANYTHING, Toleration(key="gpu"), Toleration(key="old")]), max_size=2)
nodes = st.builds(
    candidate,
    name=st.sampled_from("abcdefgh"),
    not_ready=st.sampled_from([None, None, None, "NodeLost"]),
    unschedulable=st.sampled_from([False, False, True]),
    taints=taints.map(tuple),
    labels=st.sampled_from([{}, {"disk": "ssd"}]),
    cpu=st.integers(0, 8000),
    memory=st.integers(0, 100),
    containers=st.integers(0, 6),
)
clusters = st.lists(nodes, max_size=6, unique_by=lambda node: node.name)
demands = st.builds(
    Demand,
    cpu=st.integers(0, 4000),
    memory=st.integers(0, 50),
    runtime=st.sampled_from([None, "runc", "crun"]),
    selector=st.sampled_from([(), (("disk", "ssd"),)]),
    tolerations=tolerations.map(tuple),
    group=st.sampled_from(["one", "two"]),
)


def _bind_all(cluster: list[Candidate], wanted: list[Demand]) -> tuple[list[str | None], dict[str, Load]]:
    loads = {node.name: Load() for node in cluster}
    chosen = []
    for demand in wanted:
        name = choose(demand, [(node, loads[node.name]) for node in cluster])
        if name is not None:
            loads[name].add(demand)
        chosen.append(name)
    return chosen, loads


@pytest.mark.feature("K2")
@given(clusters, st.lists(demands, max_size=12))
def test_nothing_is_bound_where_it_does_not_fit_and_no_node_gets_too_much(
    cluster: list[Candidate], wanted: list[Demand]
) -> None:
    chosen, loads = _bind_all(cluster, wanted)
    by_name: dict[str, Any] = {node.name: node for node in cluster}
    for demand, name in zip(wanted, chosen, strict=True):
        if name is not None:
            node = by_name[name]
            assert (node.not_ready, node.unschedulable) == (None, False)
            assert set(demand.selector) <= set(node.labels.items())
            assert (demand.runtime or "runc") in node.runtimes
            assert all(any(one.tolerates(taint) for one in demand.tolerations) for taint in node.taints)
    for name, has in loads.items():
        node = by_name[name]
        assert (has.cpu <= node.cpu, has.memory <= node.memory, has.containers <= node.containers) == (True, True, True)


@given(clusters, st.lists(demands, max_size=8), st.randoms(use_true_random=False))
def test_the_answer_depends_on_nothing_but_the_question(
    cluster: list[Candidate], wanted: list[Demand], random: Any
) -> None:
    shuffled = list(cluster)
    random.shuffle(shuffled)
    assert _bind_all(cluster, wanted) == _bind_all(shuffled, wanted)


@given(clusters, demands)
def test_either_there_is_a_node_or_every_node_is_spoken_of(cluster: list[Candidate], demand: Demand) -> None:
    offers = [(node, Load()) for node in cluster]
    against = {refusal.node for refusal in refusals(demand, offers)}
    chosen = choose(demand, offers)
    assert (chosen is None) == (against == {node.name for node in cluster})
    assert chosen not in against


@given(clusters, st.lists(demands, max_size=8))
def test_what_was_added_and_removed_leaves_no_trace(cluster: list[Candidate], wanted: list[Demand]) -> None:
    has = Load()
    for demand in wanted:
        has.add(demand)
    for demand in reversed(wanted):
        has.remove(demand)
    assert has == Load()


@given(st.lists(demands, min_size=1, max_size=12))
def test_on_equal_nodes_an_app_is_spread_evenly(wanted: list[Demand]) -> None:
    alike = [replace(demand, cpu=0, memory=0, runtime=None, selector=(), group="one") for demand in wanted]
    _, loads = _bind_all([candidate(name) for name in "abc"], alike)
    counts = [has.containers for has in loads.values()]
    assert max(counts) - min(counts) <= 1
