"""An OCI runtime that vanishes from the node: what it has made stays and says why it is left alone, until the runtime is back."""

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from hack.lab import containerd_release
from tests.e2e import waiting
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import (
    Body,
    because,
    condition,
    container_id,
    has_exited,
    in_state,
    is_running,
    is_settled,
    life,
    status,
)

NAME = "vanishing"
missing = because("RuntimeMissing")


class Vanishing:
    """A runtime of its own: runc under another name, which can be taken away and brought back."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "vanishing-runc"
        self._hidden = directory / "hidden"
        source = shutil.which("runc", path=str(containerd_release.runtime_programs()))
        assert source is not None
        shutil.copy(source, self.path)

    def vanish(self) -> None:
        self.path.rename(self._hidden)

    def come_back(self) -> None:
        if self._hidden.exists():
            self._hidden.rename(self.path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Vanishing:
    return Vanishing(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def settings(installed: Vanishing) -> Mapping[str, str]:
    return {"TALLYMAN_LIST_SECONDS": "1", "TALLYMAN_RUNTIMES": f"runc {NAME}={installed.path}"}


@pytest.fixture
def runtime(installed: Vanishing, namespace: Namespace) -> Iterator[Vanishing]:
    """The runtime, which is back before the test's namespace is cleared."""
    del namespace
    yield installed
    installed.come_back()


def _state(body: Body, node: Node) -> str:
    return node.tasks()[container_id(body)].state


@pytest.mark.feature("L18")
def test_containers_of_a_vanished_runtime_stay_and_say_why(
    namespace: Namespace, node: Node, runtime: Vanishing
) -> None:
    for name in ("runs", "frozen", "stopped"):
        namespace.sleeper(name, runtimeName=NAME)
    namespace.create("done", command=["true"], runtimeName=NAME)
    namespace.sleeper("other")
    before = {name: namespace.running(name) for name in ("runs", "frozen", "stopped", "other")}
    namespace.change("frozen", desiredState="Paused")
    namespace.change("stopped", desiredState="Stopped")
    namespace.wait("frozen", in_state("Paused"))
    namespace.wait("stopped", has_exited)
    namespace.wait("done", has_exited)
    assert len(node.processes()) == 3

    runtime.vanish()
    shown = namespace.wait_all(("runs", "frozen", "stopped", "done"), missing)
    for name, state, ready in (
        ("runs", "Running", "True"),
        ("frozen", "Paused", "False"),
        ("stopped", "Exited", "False"),
        ("done", "Exited", "False"),
    ):
        body = shown[name]
        assert is_settled(body)
        assert (status(body)["state"], condition(body, "Ready")["status"]) == (state, ready), name
        assert str(runtime.path) in condition(body, "Ready")["message"]
        assert node.has(container_id(body))
    assert life(shown["runs"]) == life(before["runs"])
    assert status(shown["done"])["exitCode"] == 0

    namespace.delete("stopped")  # what has stopped can be removed
    namespace.delete("done")
    namespace.wait_gone("stopped", "done")
    namespace.change("frozen", desiredState="Running")  # all else is left alone
    namespace.delete("runs")
    for name in ("frozen", "runs"):
        namespace.wait(name, lambda body: missing(body) and condition(body, "Reconciling")["status"] == "True")
    assert status(namespace.get("runs"))["state"] == "Removing"
    assert _state(before["runs"], node) == "RUNNING"
    assert _state(before["frozen"], node) == "PAUSED"
    namespace.sleeper("new", runtimeName=NAME)
    body = namespace.wait("new", missing)
    assert (status(body)["state"], container_id(body)) == ("Pending", "")
    assert is_running(namespace.get("other"))

    runtime.come_back()
    namespace.wait_gone("runs")
    assert life(namespace.running("frozen")) == life(before["frozen"])
    assert life(namespace.get("other")) == life(before["other"])


@pytest.mark.feature("L18", "L11")
def test_an_end_without_the_runtime_is_recorded_and_what_has_ended_goes(
    namespace: Namespace, node: Node, runtime: Vanishing
) -> None:
    namespace.sleeper("web", runtimeName=NAME)
    namespace.sleeper("again", runtimeName=NAME, restartPolicy={"name": "Always", "backoff": {"initialSeconds": 0}})
    first = {name: namespace.running(name) for name in ("web", "again")}
    runtime.vanish()
    namespace.wait_all(first, missing)
    for body in first.values():
        os.kill(status(body)["pid"], signal.SIGKILL)
    for name, body in namespace.wait_all(first, lambda body: missing(body) and "exitCode" in status(body)).items():
        assert (status(body)["state"], status(body)["exitCode"], status(body)["signal"]) == ("Exited", 137, 9), name
        assert container_id(body) == container_id(first[name])

    namespace.delete("web")  # ended, though its shim can't delete it without the runtime
    namespace.wait_gone("web")
    waiting.until(lambda: len(node.shims()) == 1, "its shim gone")
    assert not node.has(container_id(first["web"]))

    runtime.come_back()
    after = namespace.running("again")
    assert (container_id(after), status(after)["restartCount"]) == (container_id(first["again"]), 1)


@pytest.mark.feature("L18")
def test_a_stop_of_which_the_runtime_vanished_goes_on_when_it_is_back(
    namespace: Namespace, node: Node, runtime: Vanishing, shared: Path
) -> None:
    namespace.shell(
        "web",
        "trap 'exit 7' TERM; touch /shared/ready; while :; do sleep 0.02; done",
        runtimeName=NAME,
        terminationGracePeriodSeconds=60,
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    before = namespace.running("web")
    waiting.until((shared / "ready").exists, "the trap set")
    runtime.vanish()
    namespace.change("web", desiredState="Stopped")  # perhaps before the agent has noticed
    body = namespace.wait("web", missing)
    assert (status(body)["state"], status(body)["pid"]) == ("Running", status(before)["pid"])
    assert _state(before, node) == "RUNNING"
    runtime.come_back()
    assert status(namespace.wait("web", has_exited))["exitCode"] == 7


@pytest.mark.feature("L18")
def test_a_container_can_change_from_a_vanished_runtime_to_another_once_it_has_ended(
    namespace: Namespace, runtime: Vanishing
) -> None:
    namespace.sleeper("web", runtimeName=NAME)
    first = namespace.running("web")
    runtime.vanish()
    namespace.wait("web", missing)
    namespace.change("web", runtimeName="runc")
    waiting.until(partial(_waits, namespace, "web"), "the change waiting")
    assert container_id(namespace.get("web")) == container_id(first)
    os.kill(status(first)["pid"], signal.SIGKILL)
    body = namespace.running("web")
    assert status(body)["runtimeName"] == "runc"


def _waits(namespace: Namespace, name: str) -> bool:
    body = namespace.get(name)
    return missing(body) and condition(body, "Reconciling")["status"] == "True"


@pytest.mark.feature("L18", "L14")
def test_a_health_check_that_needs_the_vanished_runtime_says_nothing_about_the_process(
    namespace: Namespace, runtime: Vanishing
) -> None:
    check = {"exec": {"command": ["true"]}, "intervalSeconds": 0.2, "retries": 1, "onFailure": "Kill"}
    namespace.sleeper("web", runtimeName=NAME, healthCheck=check, restartPolicy={"name": "Always"})
    before = namespace.running("web")
    runtime.vanish()
    body = namespace.wait("web", missing)
    assert (status(body)["health"]["status"], condition(body, "Healthy")["status"]) == ("Healthy", "True")
    namespace.sleeper(
        "other", runtimeName="runc", healthCheck=check
    )  # once this is well, several checks of the first were due
    namespace.running("other")
    runtime.come_back()
    after = namespace.wait("web", lambda body: is_running(body) and not missing(body))
    assert life(after) == life(before)
