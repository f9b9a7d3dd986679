"""A Container from `kubectl apply` to containerd and back, by the commands that a user types."""

import pytest

from hack import lab
from tests.e2e.cluster import FINALIZER, KIND, NODE_LABEL, Namespace
from tests.e2e.conftest import Images
from tests.e2e.node import Node
from tests.e2e.objects import condition, container_id, status

EVERY_CONDITION = ("Ready", "Reconciling", "Stalled", "Accepted", "ImageReady")


@pytest.mark.feature("D1", "D4", "D6", "L1")
def test_an_applied_container_runs_and_a_deleted_one_leaves_nothing(
    namespace: Namespace, node: Node, images: Images
) -> None:
    namespace.apply(namespace.manifest("web", image=images.hello, init=True))
    namespace.kubectl("wait", "--for=condition=Ready", "--timeout=30s", f"{KIND}/web")
    body = namespace.get("web")
    [registered] = node.of(namespace.name, "web")
    task = node.tasks()[registered.id]

    assert container_id(body) == registered.id
    assert len(registered.id) == 64
    assert registered.uid == body["metadata"]["uid"]
    assert (status(body)["state"], task.state) == ("Running", "RUNNING")
    assert status(body)["pid"] == task.pid
    assert status(body)["nodeName"] == body["spec"]["nodeName"] == body["metadata"]["labels"][NODE_LABEL] == "node-a"
    assert status(body)["imageID"] == lab.hello().config.digest
    assert status(body)["restartCount"] == 0
    assert registered.spec["hostname"] == registered.id[:12]
    assert body["metadata"]["finalizers"] == [FINALIZER]

    namespace.kubectl("delete", KIND, "web", "--timeout=30s")
    assert node.of(namespace.name, "web") == []
    node.wait_clean()


@pytest.mark.feature("D4")
def test_kubectl_shows_what_the_container_is(namespace: Namespace) -> None:
    namespace.sleeper("web")
    body = namespace.running("web")

    header, row = namespace.kubectl("get", "containers").splitlines()
    assert header.split() == ["NAME", "STATE", "READY", "RESTARTS", "NODE", "AGE"]
    assert row.split()[:5] == ["web", "Running", "True", "0", "node-a"]
    header, row = namespace.kubectl("get", "ctr", "-o", "wide").splitlines()
    assert header.split()[5:] == ["AGE", "IMAGE", "HEALTH", "EXIT", "REASON", "ID"]
    # What there is nothing to say of is shown empty, or by a word of kubectl's.
    shown = [word for word in row.split()[6:] if word != "<none>"]
    assert shown == [namespace.image, "Running", container_id(body)]
    assert "web" in namespace.kubectl("get", "tally")

    described = namespace.kubectl("describe", "container", "web")
    for kind in EVERY_CONDITION:
        assert condition(body, kind)["observedGeneration"] == body["metadata"]["generation"]
        assert condition(body, kind)["lastTransitionTime"]
        assert kind in described
    assert container_id(body) in described


@pytest.mark.feature("D1")
def test_kubectl_explains_every_field(namespace: Namespace) -> None:
    top = namespace.kubectl("explain", "container.spec")
    assert "terminationGracePeriodSeconds" in top
    assert "Seconds between the stop signal and SIGKILL" in top
    deep = namespace.kubectl("explain", "container.spec.securityContext.capabilities.drop")
    assert "`ALL` drops every one" in " ".join(deep.split())
    assert "exitCode" in namespace.kubectl("explain", "container.status")


@pytest.mark.feature("D5", "L20")
def test_applying_the_same_manifest_again_changes_nothing(namespace: Namespace, node: Node, images: Images) -> None:
    manifest = namespace.manifest(
        "web",
        image=images.hello,
        terminationGracePeriodSeconds=0,
        env=[{"name": "GREETING", "value": "hello"}],
        resources={"limits": {"cpu": "0.5", "memory": "64Mi"}},
        securityContext={"capabilities": {"drop": ["ALL"]}},
    )
    for extra in ((), ("--server-side", "--force-conflicts")):
        namespace.apply(manifest, *extra)
        namespace.running("web")
        # The first server-side apply takes note of its field manager; what counts is the apply after it.
        namespace.apply(manifest, *extra)
        before, tasks = namespace.running("web"), node.tasks()
        again = namespace.apply(manifest, *extra)
        after = namespace.running("web")
        assert extra or "unchanged" in again
        assert after["metadata"]["generation"] == before["metadata"]["generation"] == 2  # its binding was the second
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
        assert node.tasks() == tasks
        assert len(node.of(namespace.name, "web")) == 1
