"""What the agent costs the API server: few writes for a life, none at rest; counted by the server itself."""

from collections import Counter
from collections.abc import Mapping
from functools import partial

import pytest

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.audit import Audit
from tests.e2e.cluster import Namespace
from tests.e2e.objects import Body, has_exited, is_running
from tests.e2e.pages import value

MOST = 4
MANY = 20
COMPARISONS = 3
"""So many periodic lists make a rest."""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"TALLYMAN_LIST_SECONDS": "1"}


def _counts(audit: Audit, namespace: Namespace) -> dict[str, Counter[str]]:
    """The agent's writes by the object that they were about."""
    counts: dict[str, Counter[str]] = {}
    for write in audit.to_containers(namespace.name):
        counts.setdefault(write.name or write.resource, Counter())[f"{write.verb} {write.resource} {write.code}"] += 1
    return counts


@pytest.mark.feature("L20", "K1")
def test_a_life_takes_four_writes_at_most(namespace: Namespace, audit: Audit) -> None:
    names = [f"box-{number}" for number in range(MANY)]
    namespace.sleeper("alone")
    namespace.running("alone")
    for name in names:
        namespace.sleeper(name)
    namespace.wait_all(names, is_running)
    namespace.delete_all()
    counts = _counts(audit, namespace)
    assert set(counts) == {"alone", *names}
    assert {name: dict(count) for name, count in counts.items() if count.total() > MOST} == {}


@pytest.mark.feature("L20", "K1", "L11")
def test_a_life_that_ends_by_itself_takes_few_writes_too(namespace: Namespace, audit: Audit) -> None:
    names = [f"box-{number}" for number in range(MANY)]
    for name in names:
        namespace.create(name, command=["true"])
    namespace.wait_all(names, has_exited)
    namespace.delete_all()
    counts = _counts(audit, namespace)
    assert set(counts) == set(names)
    # Bound, running, exited, its id withdrawn, released; running is left out where the process was faster.
    assert {name: dict(count) for name, count in counts.items() if count.total() > MOST + 1} == {}


@pytest.mark.feature("L20", "K1")
def test_at_rest_the_agent_writes_nothing(namespace: Namespace, audit: Audit, agent: AgentProcess) -> None:
    def until_settled(body: Body) -> bool:
        return is_running(body) or has_exited(body)

    for number in range(5):
        namespace.sleeper(f"long-{number}")
        namespace.create(f"short-{number}", command=["true"])
    namespace.wait_all(namespace.listed(), until_settled)
    namespace.sleeper("stopped")
    namespace.running("stopped")
    namespace.change("stopped", desiredState="Stopped")
    namespace.wait("stopped", has_exited)
    waiting.until(lambda: value(agent, "tallyman_events_waiting") == 0, "every event posted")
    before, versions = audit.by_agent(namespace.name), _versions(namespace)
    for _ in range(COMPARISONS):
        last = _compared(agent)
        waiting.until(partial(_compared_since, agent, last), "another periodic list")
    assert audit.by_agent(namespace.name) == before
    assert _versions(namespace) == versions


@pytest.mark.feature("K1")
def test_kopf_leaves_nothing_on_our_objects(namespace: Namespace, audit: Audit) -> None:
    namespace.sleeper("web")
    body = namespace.running("web")
    namespace.change("web", env=[{"name": "A", "value": "b"}])
    namespace.wait("web", lambda now: is_running(now) and now["status"]["specHash"] != body["status"]["specHash"])
    body = namespace.get("web")
    assert "annotations" not in body["metadata"]
    assert "kopf" not in str(body)
    assert {write.user_agent for write in audit.by_agent(namespace.name)} == {"tallyman"}


def _versions(namespace: Namespace) -> dict[str, str]:
    return {name: body["metadata"]["resourceVersion"] for name, body in namespace.listed().items()}


def _compared_since(agent: AgentProcess, last: str) -> bool:
    return _compared(agent) != last


def _compared(agent: AgentProcess) -> str:
    """When the agent last compared everything with a list, by its own metric."""
    lines = agent.page("/metrics")[1].splitlines()
    return "".join(line for line in lines if line.startswith("tallyman_list_last_seen_seconds{"))
