"""One life on every containerd that we support besides the one that all other tests run on."""

import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from hack import lab
from hack.lab import containerd_release
from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, because, condition, container_id, has_exited, in_state, is_running, life, status

OTHERS = [version for version in lab.CONTAINERD_VERSIONS if version != "1.6"]


@pytest.fixture(scope="module", params=OTHERS, ids=lambda version: f"containerd-{version}")
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    directory = tmp_path_factory.mktemp(f"containerd-{request.param}")
    with lab.containerd(version=request.param, directory=directory) as containerd:
        made = Node(containerd)
        yield made
        made.close()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runtime that can be taken away: runc under another name."""
    path = tmp_path_factory.mktemp("runtime") / "vanishing-runc"
    source = shutil.which("runc", path=str(containerd_release.runtime_programs()))
    assert source is not None
    shutil.copy(source, path)
    return path


@pytest.fixture(scope="module")
def settings(runtime: Path) -> Mapping[str, str]:
    return {"TALLYMAN_LIST_SECONDS": "1", "TALLYMAN_RUNTIMES": f"runc vanishing={runtime}"}


@pytest.mark.feature("I1", "L1", "L7", "L8", "D5", "D6")
def test_a_whole_life(namespace: Namespace, node: Node, shared: Path) -> None:
    mounts = [{"mountPath": "/shared", "hostPath": {"path": str(shared)}}]
    script = f"trap 'exit 7' TERM; touch /shared/ready; while :; do sleep 0.02; done # {FOREVER}"
    namespace.shell(
        "web",
        script,
        mounts=mounts,
        terminationGracePeriodSeconds=60,
        securityContext={"user": "app"},
        resources={"limits": {"memory": "64Mi"}},
    )
    first = namespace.running("web")
    waiting.until((shared / "ready").exists, "the trap set")
    assert node.tasks()[container_id(first)].pid == status(first)["pid"]

    namespace.change("web", resources={"limits": {"memory": "96Mi"}})
    same = namespace.running("web")
    assert (container_id(same), status(same)["pid"]) == (container_id(first), status(first)["pid"])
    assert node.cgroup_file(container_id(first), "memory/memory.limit_in_bytes", "memory.max") == str(96 << 20)

    namespace.change("web", desiredState="Paused")
    namespace.wait("web", in_state("Paused"))
    namespace.change("web", desiredState="Running")
    namespace.running("web")
    namespace.change("web", desiredState="Stopped")
    assert status(namespace.wait("web", has_exited))["exitCode"] == 7
    namespace.change("web", desiredState="Running")
    assert status(namespace.running("web"))["restartCount"] == 1

    namespace.change("web", env=[{"name": "A", "value": "b"}], terminationGracePeriodSeconds=0)
    second = namespace.running("web")
    assert container_id(second) != container_id(first)
    assert [one.id for one in node.of(namespace.name, "web")] == [container_id(second)]


@pytest.mark.feature("L4", "L11", "I2")
def test_failures_and_quick_exits(namespace: Namespace, node: Node, shared: Path) -> None:
    namespace.create("missing", command=["/no/such/program"])
    namespace.create("forbidden", command=["/etc/passwd"])
    namespace.sleeper("mismatch", mounts=[{"mountPath": "/etc/passwd", "hostPath": {"path": str(shared)}}])
    namespace.sleeper("imageless", image=namespace.image.replace("busybox", "no-such-image"))
    quick = [f"quick-{number}" for number in range(10)]
    for name in quick:
        namespace.shell(name, "exit 3")
    namespace.shell("greedy", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}})
    namespace.shell("terminal", "test -t 0 && test -t 1", tty=True)
    for name, reason, code in (
        ("missing", "CommandNotFound", 127),
        ("forbidden", "CommandNotExecutable", 126),
        ("mismatch", "MountTypeMismatch", 128),
        ("imageless", "ErrImagePull", None),
        ("greedy", "OOMKilled", 137),
    ):
        body = namespace.wait(name, because(reason))
        assert status(body).get("exitCode") == code
        assert (container_id(body) != "") == (name == "greedy")
    for body in namespace.wait_all(quick, has_exited).values():
        assert status(body)["exitCode"] == 3
    body = namespace.wait("terminal", has_exited)
    assert status(body)["exitCode"] == 0, condition(body, "Ready")
    assert len(node.containers(namespace.name)) == len(quick) + 2


@pytest.mark.feature("L15", "L16")
def test_crashes_of_agent_and_containerd(namespace: Namespace, node: Node, agent: AgentProcess) -> None:
    names = ["steady", "killed"]
    for name in names:
        namespace.sleeper(name)
    before = namespace.wait_all(names, is_running)
    agent.kill()
    agent.start()
    node.containerd.kill()
    os.kill(status(before["killed"])["pid"], signal.SIGKILL)
    namespace.sleeper("new")
    node.containerd.start()
    namespace.running("new")
    # From 1.7 on containerd throws away what it finds ended when it starts, the exit code with it.
    killed = namespace.wait("killed", has_exited)
    assert (status(killed)["exitCode"], condition(killed, "Ready")["message"]) == (
        255,
        "the process is gone, and nobody saw how it ended",
    )
    assert life(namespace.running("steady")) == life(before["steady"])
    assert node.tasks()[container_id(before["steady"])].pid == status(before["steady"])["pid"]


@pytest.mark.feature("L18", "L15")
def test_a_process_that_containerd_loses_without_its_runtime_is_left_alone_until_it_finds_it_again(
    namespace: Namespace, node: Node, runtime: Path
) -> None:
    """Since 1.7 a containerd that starts while a runtime is gone forgets what runs with it."""
    namespace.sleeper(
        "web", runtimeName="vanishing", restartPolicy={"name": "Always", "backoff": {"initialSeconds": 0}}
    )
    before = namespace.running("web")
    hidden = runtime.with_name("hidden")
    runtime.rename(hidden)
    try:
        node.containerd.restart()
        assert container_id(before) not in node.tasks()
        body = namespace.wait(
            "web", lambda body: because("RuntimeMissing")(body) and status(body)["state"] == "Unknown"
        )
        assert container_id(body) == container_id(before)
        assert "restart containerd" in condition(body, "Ready")["message"]
    finally:
        hidden.rename(runtime)
    body = namespace.wait("web", because("ProcessLost"))
    assert "exitCode" not in status(body)
    os.kill(status(before)["pid"], 0)  # it runs
    namespace.delete("web")  # not over its head
    namespace.wait("web", lambda body: because("ProcessLost")(body) and status(body)["state"] == "Removing")
    node.containerd.restart()
    namespace.wait_gone("web")
    with pytest.raises(ProcessLookupError):
        os.kill(status(before)["pid"], 0)
