"""How far a dependency has come, read from the object as it is, and cycles in what containers depend on."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent.standing import Outcome, Standing, cycle, in_words, judge, read
from controller.api.container import Dependency, DependencyCondition

pytestmark = pytest.mark.feature("L13")


def body(generation: int = 1, spec: Any = None, deleting: bool = False, **status: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"namespace": "shop", "name": "db", "uid": "1", "generation": generation}
    if deleting:
        metadata["deletionTimestamp"] = "2026-11-22T09:59:00Z"
    return {"metadata": metadata, "spec": spec, "status": {"observedGeneration": 1, **status}}


def said(state: str, reason: str, **more: Any) -> dict[str, Any]:
    return {"state": state, "conditions": [{"type": "Ready", "reason": reason}], **more}


RUNNING = said("Running", "Running")
HEALTHY = said("Running", "Running", health={"status": "Healthy"})
CHECKED = {"healthCheck": {"tcpSocket": {"port": 80}}}
COMPLETED = said("Exited", "Completed", exitCode=0)


@pytest.mark.parametrize(
    ("condition", "found", "outcome", "told"),
    [
        ("Started", body(**RUNNING), Outcome.SATISFIED, ""),
        ("Started", body(2, **RUNNING), Outcome.SATISFIED, ""),
        ("Started", body(), Outcome.WAITING, "waits for container db to be Started; no node has taken it up yet"),
        ("Started", body(**said("Pending", "Pulling")), Outcome.WAITING, "its state is Pending (Pulling)"),
        ("Started", body(**said("Paused", "Paused")), Outcome.WAITING, "its state is Paused"),
        ("Started", body(**said("Restarting", "CrashLoopBackOff")), Outcome.WAITING, "CrashLoopBackOff"),
        ("Started", body(**said("Exited", "Error")), Outcome.FAILED, "Started first, has failed: its state is Exited"),
        ("Started", body(2, **said("Exited", "Error")), Outcome.WAITING, "its state is Exited (Error)"),
        ("Started", body(**COMPLETED), Outcome.WAITING, "its state is Exited (Completed)"),
        ("Started", body(**said("Exited", "Stopped")), Outcome.WAITING, "its state is Exited (Stopped)"),
        ("Healthy", body(**said("Exited", "OOMKilled")), Outcome.FAILED, "its state is Exited (OOMKilled)"),
        ("Started", body(deleting=True, **RUNNING), Outcome.WAITING, "it is being deleted"),
        ("Started", None, Outcome.MISSING, "container db, which is to be Started first, does not exist"),
        ("Healthy", body(**HEALTHY), Outcome.SATISFIED, ""),
        (
            "Healthy",
            body(state="Running", conditions=[{"type": "Healthy", "status": "True"}]),
            Outcome.SATISFIED,
            "",
        ),
        ("Healthy", body(spec=CHECKED, **RUNNING), Outcome.WAITING, "to be Healthy; its state is Running"),
        (
            "Healthy",
            body(spec=CHECKED, **RUNNING, health={"status": "Starting"}),
            Outcome.WAITING,
            "its state is Running",
        ),
        (
            "Healthy",
            body(spec=CHECKED, state="Paused", health={"status": "Healthy"}),
            Outcome.WAITING,
            "its state is Paused",
        ),
        ("Healthy", body(**RUNNING), Outcome.WAITING, "waits for container db to be Healthy; it has no healthCheck"),
        ("Healthy", body(), Outcome.WAITING, "no node has taken it up yet"),
        ("Completed", body(**COMPLETED), Outcome.SATISFIED, ""),
        ("Completed", body(2, **COMPLETED), Outcome.WAITING, "its state is Exited (Completed)"),
        ("Completed", body(**RUNNING), Outcome.WAITING, "its state is Running"),
        ("Completed", body(**said("Exited", "Error")), Outcome.FAILED, "has failed: its state is Exited (Error)"),
        ("Completed", body(**said("Exited", "CommandNotFound")), Outcome.FAILED, "CommandNotFound"),
        ("Completed", body(**said("Exited", "RetryLimitReached")), Outcome.FAILED, "RetryLimitReached"),
        ("Completed", body(2, **said("Exited", "Error")), Outcome.WAITING, "Exited"),
        ("Completed", body(**said("Exited", "Stopped")), Outcome.WAITING, "Exited (Stopped)"),
        ("Completed", body(**said("Exited", "DependencyFailed")), Outcome.WAITING, "Exited (DependencyFailed)"),
        ("Completed", body(**said("Restarting", "CrashLoopBackOff")), Outcome.WAITING, "Restarting"),
        ("Completed", None, Outcome.MISSING, "does not exist"),
    ],
)
def test_how_far_a_dependency_has_come(
    condition: str, found: dict[str, Any] | None, outcome: Outcome, told: str
) -> None:
    wanted = Dependency(name="db", condition=DependencyCondition(condition))

    fact = judge(wanted, None if found is None else read(found))

    assert fact.outcome is outcome
    assert told in fact.message
    assert fact.message or outcome is Outcome.SATISFIED


def test_which_run_a_status_speaks_of_is_read() -> None:
    found = read(body(containerID="abc", restartCount=3))

    assert (found.container_id, found.restarts) == ("abc", 3)


ODD: list[Any] = [None, 1, "text", [], [None], {}, {"status": 1}, [{"name": 3}], [{"type": []}], {"name": "db"}]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_whatever_is_written_there_is_read(odd: Any) -> None:
    found = read(
        body(spec={"dependsOn": odd}, state=odd, conditions=odd, health=odd, containerID=odd, restartCount=odd)
    )

    assert not found.healthy
    assert found.depends_on == ()
    assert judge(Dependency(name="db"), found).outcome is Outcome.WAITING


def test_what_it_depends_on_is_read() -> None:
    assert read(body(spec={"dependsOn": [{"name": "a"}, {"name": "b"}]})).depends_on == ("a", "b")


def others(**edges: str) -> dict[str, Standing | None]:
    return {name: Standing(depends_on=tuple(text.split())) for name, text in edges.items()}


@pytest.mark.parametrize(
    ("depends_on", "known", "expected"),
    [
        ([], {}, ""),
        (["b"], others(b=""), ""),
        (["b"], {"b": None}, ""),
        (["b"], {}, ""),
        (["a"], {}, "a → a"),
        (["b"], others(b="a"), "a → b → a"),
        (["b"], others(b="c", c="a"), "a → b → c → a"),
        (["b", "c"], others(b="d", d="a", c="a"), "a → c → a"),
        (["b"], others(b="c", c="b"), ""),
        (["b"], others(b="b"), ""),
        (["b", "c"], others(b="d", c="d", d=""), ""),
    ],
)
def test_the_shortest_way_back_is_found(
    depends_on: list[str], known: dict[str, Standing | None], expected: str
) -> None:
    assert in_words(cycle("a", depends_on, known)) == expected


def test_a_very_long_way_is_shortened_in_words() -> None:
    told = in_words(tuple(str(number) for number in range(100)))

    assert told.startswith("0 → 1 → ")
    assert told.endswith(" → 98 → 99")
    assert "…" in told


names = st.sampled_from("abcdef")
graphs = st.dictionaries(names, st.lists(names, max_size=4))


@given(graphs)
def test_a_cycle_is_found_exactly_where_there_is_one(graph: dict[str, list[str]]) -> None:
    known: dict[str, Standing | None] = {name: Standing(depends_on=tuple(to)) for name, to in graph.items()}
    reachable = {name: set(to) for name, to in graph.items()}
    for _ in graph:
        for to in reachable.values():
            to |= {further for other in to for further in reachable.get(other, ())}

    for name, edges in graph.items():
        way = cycle(name, edges, known)
        assert bool(way) is (name in reachable[name])
        if way:
            assert way[0] == way[-1] == name
            assert all(after in graph[before] for before, after in itertools.pairwise(way))
            assert len(set(way)) == len(way) - 1
