"""Health and metrics: green while the agent sees what it must see, red when it does not, however alive its process is."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from controller.agent.container_metrics import FAMILIES
from hack.lab.daemon import Daemon
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Cluster, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import because, has_exited, is_running, life
from tests.e2e.pages import families, value

STALE = "3"
DOCUMENTED = Path(__file__).parents[2] / "docs/agent.md"


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    return {"TALLYMAN_LIST_SECONDS": "1", "TALLYMAN_STALE_SECONDS": STALE}


@contextmanager
def _halted(daemon: Daemon) -> Iterator[None]:
    """The process takes connections and does not answer: worse than one that is gone."""
    pid = daemon.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _is(agent: AgentProcess, page: str, code: int, *texts: str) -> bool:
    answer = agent.page(page)
    return answer[0] == code and all(text in answer[1] for text in texts)


def _green(agent: AgentProcess) -> None:
    for page in ("/healthz", "/readyz"):
        waiting.until(partial(_is, agent, page, 200), f"{page} green", seen=partial(agent.page, page))


def _red(agent: AgentProcess, *texts: str) -> None:
    for page in ("/healthz", "/readyz"):
        waiting.until(partial(_is, agent, page, 503, *texts), f"{page} red", seen=partial(agent.page, page))


@pytest.mark.feature("K4")
def test_health_follows_what_the_agent_sees_of_containerd(
    namespace: Namespace, node: Node, agent: AgentProcess
) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    _green(agent)
    with _halted(node.containerd.daemon):
        _red(agent, "containerd")
    _green(agent)
    node.containerd.kill()
    _red(agent, "containerd")
    node.containerd.start()
    _green(agent)
    assert life(namespace.running("web")) == life(before)
    assert agent.daemon.alive()


@pytest.mark.feature("K4")
def test_health_follows_what_the_agent_sees_of_the_api_server(
    namespace: Namespace, cluster: Cluster, agent: AgentProcess
) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    _green(agent)
    with _halted(cluster.plane.apiserver):
        _red(agent, "watch")
    _green(agent)
    cluster.plane.kill_apiserver()
    _red(agent, "watch")
    cluster.plane.start_apiserver()
    _green(agent)
    assert namespace.get("web") == before
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)


@pytest.mark.feature("K4")
def test_an_agent_that_finds_nothing_is_alive_and_not_ready(
    cluster: Cluster, node: Node, agent: AgentProcess, tmp_path: Path
) -> None:
    """Started before its containerd is there, as after a reboot; it must not be killed for that at once."""
    patient = {"TALLYMAN_STALE_SECONDS": "60", "CONTAINERD_ADDRESS": str(tmp_path / "no.sock")}
    other = AgentProcess(tmp_path, cluster.kubeconfig, node.containerd, "node-x", standalone=False, settings=patient)
    try:
        other.daemon.start(ready=lambda: other.page("/healthz")[0] == 200, timeout=waiting.SECONDS)
        code, text = other.page("/readyz")
        assert (code, "containerd: not seen yet" in text) == (503, True)
        assert other.page("/metrics")[0] == 200
    finally:
        other.stop()


@pytest.mark.feature("K4", "L19")
def test_metrics_are_what_the_documentation_says(namespace: Namespace, agent: AgentProcess) -> None:
    started = value(agent, "tallyman_started_containers_total")
    failed = value(agent, "tallyman_started_containers_errors_total", reason="CommandNotFound")
    completed = value(agent, "tallyman_container_exits_total", reason="Completed")
    namespace.sleeper("web")
    namespace.create("failing", command=["/no/such/program"])
    namespace.create("done", command=["true"])
    namespace.wait("web", is_running)
    namespace.wait("failing", because("CommandNotFound"))
    namespace.wait("done", has_exited)

    found = families(agent)
    documented = dict(re.findall(r"^\| `(tallyman_\w+)` \| (\w+) \|", DOCUMENTED.read_text(), re.MULTILINE))
    kinds = {"info": "gauge"}
    assert {name for name in found if name.startswith("tallyman_")} == {
        re.sub("_total$", "", name) for name in documented
    }
    for name, kind in documented.items():
        family = found[re.sub("_total$", "", name)]
        assert family.type == kinds.get(kind, kind), name
        assert family.documentation

    assert value(agent, "tallyman_started_containers_total") == started + 2
    assert value(agent, "tallyman_started_containers_errors_total", reason="CommandNotFound") == failed + 1
    assert value(agent, "tallyman_containers", state="Running") == 1
    assert value(agent, "tallyman_containers", state="Exited") == 2
    assert value(agent, "tallyman_container_exits_total", reason="Completed") == completed + 1
    for action in ("CreateContainer", "StartContainer", "RecordExit"):
        assert value(agent, "tallyman_action_duration_seconds_count", action=action, result="success") >= 1
    assert value(agent, "tallyman_action_duration_seconds_count", action="StartContainer", result="error") >= 1
    for operation in ("Containers.Create", "Tasks.Create", "Tasks.Start", "Snapshots.Prepare"):
        assert value(agent, "tallyman_runtime_operations_total", operation=operation) >= 2
        assert value(agent, "tallyman_runtime_operations_duration_seconds_count", operation=operation) >= 2
    assert value(agent, "tallyman_container_start_duration_seconds_count") >= 2
    assert value(agent, "tallyman_reconcile_total", result="settled") > 0
    assert value(agent, "tallyman_queue_duration_seconds_count") > 0


@pytest.mark.feature("K4")
def test_only_the_metrics_of_single_containers_name_objects(namespace: Namespace, agent: AgentProcess) -> None:
    namespace.sleeper("peculiar-name")
    namespace.running("peculiar-name")
    own = {family.name for family in FAMILIES}
    naming = {
        family.name
        for family in families(agent).values()
        for sample in family.samples
        if {"peculiar-name", namespace.name} & set(sample.labels.values())
    }
    assert {"tallyman_container_info", "tallyman_container_memory_working_set_bytes"} <= naming <= own
    namespace.delete_all()
    waiting.until(lambda: namespace.name not in agent.page("/metrics")[1], "the series go with their object")


@pytest.mark.feature("K4")
def test_metrics_of_single_containers_can_be_switched_off(
    namespace: Namespace, cluster: Cluster, node: Node, agent: AgentProcess, tmp_path: Path
) -> None:
    namespace.sleeper("peculiar-name")
    namespace.running("peculiar-name")
    agent.stop()
    silent = AgentProcess(
        tmp_path, cluster.kubeconfig, node.containerd, settings={"TALLYMAN_CONTAINER_METRICS": "false"}
    )
    try:
        silent.start()
        waiting.until(lambda: value(silent, "tallyman_containers", state="Running") == 1, "the container is counted")
        text = silent.page("/metrics")[1]
    finally:
        silent.stop()
    assert "peculiar-name" not in text
    assert namespace.name not in text
    assert not {family.name for family in FAMILIES} & set(re.findall(r"^# HELP (\S+?)(?:_total)? ", text, re.MULTILINE))
