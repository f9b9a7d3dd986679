"""What an OCI runtime can't do to a container: the status says so, nothing else suffers, and it goes on when it can be done."""

import shutil
from collections.abc import Iterator, Mapping
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
    is_ready,
    life,
    status,
)

NAME = "awkward"


class Awkward:
    """A runtime that refuses to do what it was told to refuse, and is runc in all other things."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "awkward-runc"
        self._refusals = directory / "refusals"
        self._refusals.mkdir()
        runc = shutil.which("runc", path=str(containerd_release.runtime_programs()))
        self.path.write_text(
            "#!/bin/sh\n"
            f'for word; do [ -e "{self._refusals}/$word" ] && {{ echo "refused for the test" >&2; exit 1; }}; done\n'
            f'exec {runc} "$@"\n'
        )
        self.path.chmod(0o755)

    def refuse(self, *commands: str) -> None:
        for command in commands:
            (self._refusals / command).touch()

    def obey(self) -> None:
        for path in self._refusals.iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Awkward:
    return Awkward(tmp_path_factory.mktemp("runtime"))


@pytest.fixture(scope="module")
def settings(installed: Awkward) -> Mapping[str, str]:
    return {"TALLYMAN_RUNTIMES": f"runc {NAME}={installed.path}"}


@pytest.fixture
def runtime(installed: Awkward, namespace: Namespace) -> Iterator[Awkward]:
    """The runtime, which obeys before the test's namespace is cleared."""
    del namespace
    yield installed
    installed.obey()


def _waits(namespace: Namespace, reason: str) -> Body:
    body = namespace.wait("web", because(reason), reason)
    assert condition(body, "Ready")["status"] == "False"
    assert (condition(body, "Reconciling")["status"], condition(body, "Reconciling")["reason"]) == ("True", reason)
    assert condition(body, "Stalled")["status"] == "False"
    [event] = waiting.until(lambda: namespace.events("web", reason), "an event")
    assert event.type == "Warning"
    return body


@pytest.mark.feature("L8")
def test_a_pause_and_a_thaw_that_fail_are_told_and_tried_again(
    namespace: Namespace, node: Node, runtime: Awkward
) -> None:
    namespace.sleeper("web", runtimeName=NAME)
    before = namespace.running("web")
    runtime.refuse("pause", "resume")
    namespace.change("web", desiredState="Paused")
    body = _waits(namespace, "PauseError")
    assert status(body)["state"] == "Running"
    assert node.tasks()[container_id(before)].state == "RUNNING"
    runtime.obey()
    namespace.wait("web", in_state("Paused"))
    runtime.refuse("pause", "resume")
    namespace.change("web", desiredState="Running")
    assert status(_waits(namespace, "ResumeError"))["state"] == "Paused"
    runtime.obey()
    assert life(namespace.running("web")) == life(before)


@pytest.mark.feature("L8", "D5")
def test_resources_that_are_refused_are_told_and_do_not_hinder_a_pause(namespace: Namespace, runtime: Awkward) -> None:
    namespace.sleeper("web", runtimeName=NAME)
    before = namespace.running("web")
    runtime.refuse("update")
    namespace.change("web", resources={"limits": {"memory": "64Mi"}})
    body = _waits(namespace, "UpdateError")
    assert "the former ones stay in force" in condition(body, "Ready")["message"]
    namespace.change("web", desiredState="Paused")
    namespace.wait("web", lambda body: status(body)["state"] == "Paused")
    namespace.change("web", desiredState="Running", resources=None)  # the way out without the runtime's help
    assert life(namespace.wait("web", is_ready)) == life(before)


@pytest.mark.feature("L7", "D6")
def test_a_stop_and_a_removal_that_fail_are_told_and_tried_again(namespace: Namespace, runtime: Awkward) -> None:
    namespace.sleeper("web", runtimeName=NAME)
    namespace.running("web")
    runtime.refuse("kill")
    namespace.change("web", desiredState="Stopped")
    assert status(_waits(namespace, "StopError"))["state"] == "Running"
    runtime.obey()
    namespace.wait("web", has_exited)
    namespace.change("web", desiredState="Running")
    namespace.running("web")
    runtime.refuse("delete")
    namespace.delete("web")
    assert status(_waits(namespace, "RemoveError"))["state"] == "Removing"
    runtime.obey()
    namespace.wait_gone("web")
