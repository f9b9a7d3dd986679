"""The policy of a node: what it forbids is not started, what it allows is, and a change of the file is seen by itself."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import waiting
from tests.e2e.agent_process import AgentProcess
from tests.e2e.cluster import Namespace
from tests.e2e.node import Node
from tests.e2e.objects import condition, container_id, holds, is_refused, is_running, status

pytestmark = pytest.mark.feature("P6")
DANGEROUS: dict[str, dict[str, Any]] = {
    "privileged": {"securityContext": {"privileged": True}},
    "host-network": {"network": {"mode": "host"}},
    "host-path": {"mounts": [{"mountPath": "/data", "hostPath": {"path": "/etc"}, "readOnly": True}]},
    "device": {"devices": [{"hostPath": "/dev/null", "containerPath": "/dev/other"}]},
    "capability": {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}},
    "unconfined": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "escalation": {"securityContext": {"allowPrivilegeEscalation": True}},
}


class PolicyFile:
    """The file that the module's agent reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def allow(self, namespace: str, **allow: Any) -> None:
        self.path.write_text(yaml.safe_dump({"rules": [{"namespaces": [namespace], "allow": allow}]}))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> PolicyFile:
    made = PolicyFile(tmp_path_factory.mktemp("policy") / "policy.yaml")
    made.path.write_text("rules: []\n")
    return made


@pytest.fixture(scope="module")
def settings(policy: PolicyFile) -> Mapping[str, str]:
    return {"TALLYMAN_POLICY_FILE": str(policy.path), "TALLYMAN_LIST_SECONDS": "1"}


def test_what_is_not_allowed_is_refused_by_name_and_started_once_it_is(
    namespace: Namespace, node: Node, policy: PolicyFile
) -> None:
    for name, spec in DANGEROUS.items():
        namespace.sleeper(name, **spec)
    bodies = namespace.wait_all(DANGEROUS, is_refused, "all are refused")
    for name, body in bodies.items():
        refused = condition(body, "Accepted")
        assert refused["reason"] == condition(body, "Ready")["reason"] == "PolicyForbidden", name
        assert f"namespace {namespace.name}" in refused["message"]
        assert "its operator can add `" in refused["message"]
        assert holds(body, "Stalled")
        [event] = waiting.until(partial(namespace.events, name, "PolicyForbidden"), f"an event about {name}")
        assert (event.type, event.count) == ("Warning", 1)
        assert event.message == refused["message"]
        assert status(body)["state"] == "Pending"
    assert node.containers(namespace.name) == {}

    policy.allow(
        namespace.name,
        privileged=True,
        hostNetwork=True,
        hostPaths=[{"path": "/etc", "readOnly": True}],
        devices=["/dev/null"],
        capabilities=["NET_ADMIN"],
        seccompUnconfined=True,
        allowPrivilegeEscalation=True,
    )
    for body in namespace.wait_all(DANGEROUS, is_running, "all run").values():
        assert holds(body, "Accepted")


def test_a_spec_that_is_corrected_starts(namespace: Namespace, policy: PolicyFile) -> None:
    policy.allow(namespace.name)
    namespace.sleeper("web", **DANGEROUS["privileged"])
    namespace.wait("web", is_refused)

    namespace.change("web", securityContext=None)

    namespace.running("web")


def test_what_runs_goes_on_when_the_policy_is_tightened(namespace: Namespace, policy: PolicyFile) -> None:
    policy.allow(namespace.name, hostNetwork=True)
    namespace.sleeper("web", network={"mode": "host"}, restartPolicy={"name": "Always"})
    before = namespace.running("web")

    policy.allow(namespace.name)
    told = namespace.wait("web", is_refused, "says so")

    assert is_running(told)
    assert condition(told, "Accepted")["reason"] == "PolicyForbidden"
    assert status(told)["pid"] == status(before)["pid"]
    namespace.change("web", desiredState="Stopped")
    namespace.wait("web", lambda body: status(body)["state"] == "Exited")
    namespace.change("web", desiredState="Running")
    held = namespace.wait("web", lambda body: condition(body, "Ready")["reason"] == "PolicyForbidden")
    assert status(held)["state"] == "Exited"

    policy.allow("*", hostNetwork=True)
    after = namespace.running("web")
    assert container_id(after) == container_id(before)
    assert status(after)["restartCount"] == 1


def test_a_link_out_of_an_allowed_directory_leads_nowhere(
    namespace: Namespace, policy: PolicyFile, shared: Path, tmp_path: Path
) -> None:
    forbidden = tmp_path / "forbidden"
    forbidden.mkdir()
    policy.allow(namespace.name, hostPaths=[{"path": str(shared)}])
    write = f"ln -s {forbidden} /data/link && exec sleep 1000"
    namespace.shell("first", write, mounts=[{"mountPath": "/data", "hostPath": {"path": str(shared)}}])
    namespace.running("first")
    waiting.until((shared / "link").is_symlink, "the link is there")

    evil = {"path": f"{shared}/link/made", "type": "DirectoryOrCreate"}
    namespace.sleeper("through", mounts=[{"mountPath": "/data", "hostPath": {"path": f"{shared}/link"}}])
    namespace.sleeper("making", mounts=[{"mountPath": "/data", "hostPath": evil}])

    for body in namespace.wait_all(["through", "making"], is_refused, "both are refused").values():
        assert str(forbidden) in condition(body, "Accepted")["message"]
    assert list(forbidden.iterdir()) == []


def test_a_bad_file_changes_nothing_and_says_so(namespace: Namespace, policy: PolicyFile, agent: AgentProcess) -> None:
    policy.allow(namespace.name, hostNetwork=True)
    namespace.sleeper("before", network={"mode": "host"})
    namespace.running("before")

    policy.path.write_text("rules: [{namespaces: [shop], allow: {hostNetwrk: true}}]\n")
    waiting.until(
        lambda: "tallyman_policy_file_good 0.0" in agent.page("/metrics")[1], "the metric says that the file is bad"
    )
    assert "rules[0].allow.hostNetwrk: is not a field that there is" in agent.log
    namespace.sleeper("after", network={"mode": "host"})
    namespace.running("after")

    policy.allow(namespace.name)
    namespace.wait("after", is_refused)
    assert "tallyman_policy_file_good 1.0" in agent.page("/metrics")[1]
