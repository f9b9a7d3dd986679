"""Objects that go: by the book, by hand, at once, and while nobody looks. The container goes with them, and nothing else does."""

from pathlib import Path

import pytest
from kubernetes.client.exceptions import ApiException

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import FINALIZER, NODE_LABEL, Namespace
from tests.e2e.node import Node
from tests.e2e.objects import FOREVER, Body, because, container_id, has_exited, in_state, is_running, status

FOREIGN = "example.com/keep"


def _create_soon(namespace: Namespace, name: str) -> Body:
    """Create the object as soon as its name is free."""

    def attempt() -> Body | None:
        try:
            return namespace.sleeper(name)
        except ApiException as error:
            if error.status == 409:
                return None
            raise

    made = waiting.until(attempt, f"{name} can be made again")
    assert made is not None
    return made


@pytest.mark.feature("D6", "L3")
def test_a_name_that_is_used_again_at_once_gets_a_container_of_its_own(namespace: Namespace, node: Node) -> None:
    ids = set()
    namespace.sleeper("web")
    for _ in range(5):
        before = namespace.running("web")
        ids.add(container_id(before))
        namespace.delete("web")
        made = _create_soon(namespace, "web")
        assert made["metadata"]["uid"] != before["metadata"]["uid"]
        body = namespace.running("web")
        [registered] = node.of(namespace.name, "web")
        assert registered.uid == made["metadata"]["uid"]
        assert registered.id == container_id(body)
    assert len(ids) == 5


@pytest.mark.feature("D6")
def test_a_container_whose_finalizer_was_taken_by_hand_goes_with_its_object(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web")
    namespace.running("web")
    namespace.patch("web", {"metadata": {"finalizers": None}})
    namespace.delete("web")
    waiting.until(lambda: not node.of(namespace.name, "web"), "the orphan is gone")
    namespace.wait_gone("web")
    node.wait_clean()


@pytest.mark.feature("D6", "L3")
def test_a_successor_waits_for_the_container_of_an_object_that_was_torn_away(namespace: Namespace, node: Node) -> None:
    namespace.shell("web", f"trap '' TERM; sleep {FOREVER}", terminationGracePeriodSeconds=1)
    before = namespace.running("web")
    namespace.patch("web", {"metadata": {"finalizers": None}})
    namespace.delete("web")
    made = _create_soon(namespace, "web")
    body = namespace.running("web")
    assert [one.uid for one in node.of(namespace.name, "web")] == [made["metadata"]["uid"]]
    assert container_id(body) != container_id(before)


@pytest.mark.feature("D6", "L15")
def test_what_is_deleted_while_the_agent_is_down_goes_when_it_is_back(
    namespace: Namespace, node: Node, agent: AgentProcess
) -> None:
    for name in ("kept", "deleted", "torn", "replaced", "exited"):
        namespace.sleeper(name)
    namespace.create("exited-too", command=["true"])
    before = namespace.wait_all(["kept", "deleted", "torn", "replaced", "exited"], is_running)
    namespace.wait("exited-too", has_exited)
    agent.kill()
    for name in ("deleted", "torn", "replaced", "exited-too"):
        namespace.delete(name)
    assert {"deleted", "torn", "exited-too"} <= namespace.listed().keys()  # our finalizer holds them
    for name in ("torn", "replaced"):
        namespace.patch(name, {"metadata": {"finalizers": None}})
    made = _create_soon(namespace, "replaced")
    agent.start()

    namespace.wait_gone("deleted", "torn", "exited-too")
    namespace.running("replaced")
    waiting.until(lambda: len(node.containers(namespace.name)) == 3, "the orphans are gone", seen=node.containers)
    assert [one.uid for one in node.of(namespace.name, "replaced")] == [made["metadata"]["uid"]]
    assert namespace.get("kept") == before["kept"]


@pytest.mark.feature("D6")
def test_the_finalizer_of_somebody_else_is_kept(namespace: Namespace, node: Node) -> None:
    namespace.sleeper("web", metadata={"finalizers": [FOREIGN]})
    assert namespace.running("web")["metadata"]["finalizers"] == [FOREIGN, FINALIZER]
    namespace.delete("web")
    body = namespace.wait("web", lambda body: FINALIZER not in body["metadata"]["finalizers"], "released by the agent")
    assert body["metadata"]["finalizers"] == [FOREIGN]
    assert container_id(body) == ""
    node.wait_clean()
    namespace.patch("web", {"metadata": {"labels": {"touched": "yes"}}})
    namespace.sleeper("other")
    namespace.running("other")
    assert node.of(namespace.name, "web") == []
    namespace.patch("web", {"metadata": {"finalizers": None}})
    namespace.wait_gone("web")


@pytest.mark.feature("K1")
def test_a_label_that_was_removed_by_hand_comes_back_and_the_container_goes_on(
    namespace: Namespace, agent: AgentProcess
) -> None:
    namespace.sleeper("web")
    before = namespace.running("web")
    namespace.patch("web", {"metadata": {"labels": {NODE_LABEL: None}}})
    body = namespace.wait("web", lambda body: body["metadata"].get("labels", {}).get(NODE_LABEL) == agent.node_name)
    assert status(body)["pid"] == status(before)["pid"]
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", has_exited)


@pytest.mark.feature("D6", "I1")
def test_what_never_ran_goes_at_once(namespace: Namespace) -> None:
    namespace.sleeper("invalid", sysctls={"vm.swappiness": "1"})
    namespace.create("failing", command=["/no/such/program"])
    namespace.sleeper("imageless", image="127.0.0.1:1/busybox:1")
    namespace.sleeper("stopped", desiredState="Stopped")
    namespace.wait("invalid", because("InvalidSpec"))
    namespace.wait("failing", because("CommandNotFound"))
    namespace.wait("imageless", because("ErrImagePull"))
    namespace.wait("stopped", because("Stopped"))
    namespace.delete_all()


@pytest.mark.feature("D6", "L7")
def test_a_deleted_container_has_its_grace_period(namespace: Namespace, node: Node) -> None:
    """The object stays until its process has gone, and shows that it is going."""
    namespace.shell("web", f"trap '' TERM; sleep {FOREVER}", terminationGracePeriodSeconds=3)
    body = namespace.running("web")
    namespace.delete("web")
    namespace.wait("web", lambda now: status(now)["state"] == "Removing", "is being removed")
    assert node.has(container_id(body))
    namespace.wait_gone("web")
    assert node.of(namespace.name, "web") == []


@pytest.mark.feature("D6", "L8")
def test_a_paused_container_that_is_deleted_is_thawed_and_obeys_its_signal(
    namespace: Namespace, node: Node, shared: Path
) -> None:
    namespace.shell(
        "web",
        "trap 'touch /shared/obeyed; exit 0' TERM; touch /shared/ready; while :; do sleep 0.02; done",
        terminationGracePeriodSeconds=600,
        mounts=[{"mountPath": "/shared", "hostPath": {"path": str(shared)}}],
    )
    namespace.running("web")
    waiting.until((shared / "ready").exists, "the trap set")
    namespace.change("web", desiredState="Paused")
    namespace.wait("web", in_state("Paused"))

    namespace.delete("web")
    namespace.wait_gone("web")

    assert (shared / "obeyed").exists()
    assert node.of(namespace.name, "web") == []


@pytest.mark.feature("D6", "L7")
def test_a_container_with_a_thousand_children_goes_whole(namespace: Namespace, node: Node) -> None:
    """The children ignore the stop signal."""
    child = f"(trap '' TERM; exec sleep {FOREVER}) &"
    parent = f"for i in $(seq 1000); do {child} done; trap 'exit 0' TERM; while :; do sleep 0.1; done"
    namespace.shell("web", parent, terminationGracePeriodSeconds=1)
    id_ = container_id(namespace.running("web"))

    def pids() -> list[str]:
        return node.cgroup_file(id_, "pids/cgroup.procs", "cgroup.procs").split()

    waiting.until(lambda: len(pids()) > 1000, "a thousand children")
    family = pids()
    namespace.delete("web")
    namespace.wait_gone("web")

    assert [pid for pid in family if Path("/proc", pid).exists()] == []
    node.wait_clean()
