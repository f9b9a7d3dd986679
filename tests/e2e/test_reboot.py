"""The node loses its power: processes, mounts and everything in /run are gone, while what containerd has on its disk is left."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import Body, because, container_id, has_exited, in_state, is_running, status


@pytest.fixture(scope="module")
def boot_id(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that stands in for the kernel's boot id."""
    path = tmp_path_factory.mktemp("boot") / "boot_id"
    path.write_text("0\n")
    return path


@pytest.fixture(scope="module")
def settings(boot_id: Path) -> dict[str, str]:
    return {"TALLYMAN_BOOT_ID_FILE": str(boot_id)}


def _cut_power(node: Node, agent: AgentProcess) -> None:
    agent.kill()
    node.containerd.cut_power()
    shutil.rmtree(agent.directory / "run")


def _boot(node: Node, agent: AgentProcess, boot_id: Path) -> None:
    boot_id.write_text(f"{int(boot_id.read_text()) + 1}\n")
    node.containerd.start()
    agent.start()


def _runs(restarts: int) -> Callable[[Body], bool]:
    return lambda body: is_running(body) and _restarted(restarts)(body)


def _restarted(times: int) -> Callable[[Body], bool]:
    return lambda body: bool(status(body)["restartCount"] == times)


@pytest.mark.feature("L15", "L9")
def test_after_a_reboot_the_policy_decides(
    namespace: Namespace, node: Node, agent: AgentProcess, boot_id: Path
) -> None:
    namespace.sleeper("always", restartPolicy={"name": "Always"})
    namespace.sleeper("unless-stopped", restartPolicy={"name": "UnlessStopped"})
    namespace.sleeper("never")
    namespace.sleeper("stopped", restartPolicy={"name": "Always"})
    namespace.shell("done", "exit 3")
    namespace.sleeper("deleted")
    before = namespace.wait_all(["always", "unless-stopped", "never", "stopped", "deleted"], is_running)
    namespace.change("stopped", desiredState="Stopped")
    namespace.wait("stopped", in_state("Exited"))
    namespace.wait("done", has_exited)

    _cut_power(node, agent)
    namespace.delete("deleted")
    assert (node.shims(), node.mounts(), node.cgroups()) == ([], [], [])
    _boot(node, agent, boot_id)

    for name in ("always", "unless-stopped"):
        body = namespace.wait(name, _runs(1))
        assert [(run["exitCode"], run["reason"]) for run in status(body)["history"]] == [(255, "NodeRebooted")]
        assert container_id(body) == container_id(before[name])
    body = namespace.wait("never", because("NodeRebooted"))
    assert (status(body)["state"], status(body)["exitCode"], status(body)["restartCount"]) == ("Exited", 255, 0)
    assert status(namespace.wait("stopped", because("Stopped")))["restartCount"] == 0
    assert status(namespace.wait("done", in_state("Exited")))["exitCode"] == 3
    namespace.wait_gone("deleted")

    running = {container_id(before[name]) for name in ("always", "unless-stopped")}
    assert set(node.processes()) == running
    assert {path.name for path in node.cgroups()} == running
    assert len(node.shims()) == len(running)


@pytest.mark.feature("L15", "L8")
def test_a_reboot_again_and_again_repeats_nothing(
    namespace: Namespace, node: Node, agent: AgentProcess, boot_id: Path, shared: Path
) -> None:
    """What a container wrote is there again, and what was paused is paused again."""
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    script = "echo run >>/written; cat /written >/shared/seen; sleep 1000000"
    namespace.shell("web", script, mounts=mounts, restartPolicy={"name": "Always"})
    namespace.sleeper("paused", restartPolicy={"name": "Always"})
    namespace.wait_all(["web", "paused"], is_running)
    namespace.change("paused", desiredState="Paused")
    namespace.wait("paused", in_state("Paused"))
    for times in (1, 2):
        _cut_power(node, agent)
        _boot(node, agent, boot_id)
        namespace.wait("web", _runs(times))
        namespace.wait("paused", _restarted(times))
        namespace.wait("paused", in_state("Paused"))

    assert (shared / "seen").read_text().splitlines() == ["run"] * 3
    namespace.delete_all()
    node.wait_clean()
