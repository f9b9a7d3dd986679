"""A long pull: how far it has come can be seen, and a killed agent goes on with it."""

import os
import uuid
from collections.abc import Iterator

import pytest

from hack import lab
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.conftest import Images
from tests.e2e.gated_registry import GatedRegistry
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, Body, Predicate, condition, is_running, status

MIB = 1 << 20
SIZE = 8 * MIB


@pytest.fixture
def gated(images: Images) -> Iterator[GatedRegistry]:
    with GatedRegistry(images.registry.url).running() as made:
        yield made


@pytest.fixture
def large(images: Images, gated: GatedRegistry) -> str:
    """An image with one large layer, as the gate offers it."""
    layer = lab.layer({f"data/{uuid.uuid4().hex}": os.urandom(SIZE)}, compression="none")
    lab.push(images.registry.address, "large:1", lab.Image([*lab.busybox().layers, layer]))
    return f"{gated.address}/large:1"


def _pulled_at_least(count: int) -> Predicate:
    def look(body: Body) -> bool:
        return int((status(body).get("pull") or {}).get("receivedBytes") or 0) >= count

    return look


@pytest.mark.feature("I1", "D4")
def test_the_progress_of_a_long_pull_is_seen(
    namespace: Namespace, gated: GatedRegistry, large: str, node: Node
) -> None:
    gated.allow(3 * MIB)
    namespace.sleeper("web", image=large)
    first = namespace.wait("web", _pulled_at_least(MIB), "pulled a part")
    for kind in ("Ready", "ImageReady"):
        assert (condition(first, kind)["status"], condition(first, kind)["reason"]) == ("False", "Pulling")
    assert condition(first, "Reconciling")["status"] == "True"
    assert status(first)["state"] == "Pending"
    pull = status(first)["pull"]
    assert SIZE < pull["totalBytes"] < SIZE + 4 * MIB
    assert pull["startedAt"]

    gated.allow(6 * MIB)
    second = namespace.wait("web", _pulled_at_least(pull["receivedBytes"] + MIB), "pulled more")
    assert status(second)["pull"]["totalBytes"] == pull["totalBytes"]
    assert status(second)["pull"]["receivedBytes"] < pull["totalBytes"]
    gated.allow(1 << 40)
    body = namespace.running("web")
    assert "pull" not in status(body)
    assert condition(body, "ImageReady")["reason"] == "Unpacked"
    [pulled] = waiting.until(lambda: namespace.events("web", "Pulled"), "an event")
    assert f"image {large} is pulled and unpacked in " in pulled.message
    assert node.leases() == []


@pytest.mark.feature("I1", "L15")
def test_a_pull_survives_the_death_of_the_agent(
    namespace: Namespace, gated: GatedRegistry, large: str, node: Node, agent: AgentProcess
) -> None:
    gated.allow(5 * MIB)
    namespace.sleeper("web", image=large)
    namespace.wait("web", _pulled_at_least(3 * MIB), "pulled a part")
    agent.kill()
    gated.allow(1 << 40)
    agent.start()
    namespace.running("web")
    waiting.until(lambda: node.leases() == [], "the lease of the pull that was cut short is gone", seen=node.leases)


@pytest.mark.feature("I1")
def test_a_pull_that_nobody_wants_any_more_can_be_given_up(
    namespace: Namespace, gated: GatedRegistry, large: str
) -> None:
    gated.allow(2 * MIB)
    namespace.sleeper("web", image=large)
    namespace.sleeper("changed", image=large)
    namespace.wait_all(["web", "changed"], _pulled_at_least(MIB), "both pull")
    namespace.delete("web")
    namespace.wait_gone("web")
    namespace.change("changed", image=namespace.image)
    namespace.running("changed")
    namespace.sleeper("other", command=["sleep", FOREVER])
    namespace.wait("other", is_running)
