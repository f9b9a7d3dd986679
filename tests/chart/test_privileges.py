"""What the agent and the manager may do on a node."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.chart.rendering import SCENARIOS, Manifest, Rendered, render, scenario, values_of

pytestmark = pytest.mark.feature("K3")
INSTALL = Path(__file__).parents[2] / "docs" / "install.md"
CAPABILITIES = ["DAC_OVERRIDE", "FSETID", "KILL", "SYS_ADMIN", "SYS_PTRACE"]
SAME_PATHS = ("containerd-socket", "containerd-root", "run", "logs", "cgroup", "seccomp")
"""Mounts at the same path as on the node: containerd, its shims or the kernel name these paths."""
FOLLOWING = ("host", "containerd-socket", "containerd-root")
"""Mounts that must follow what the node mounts and unmounts."""
each_scenario = pytest.mark.parametrize("name", SCENARIOS)


def _pod(rendered: Rendered, kind: str) -> Manifest:
    return dict(rendered.one(kind)["spec"]["template"]["spec"])


def _mounts(rendered: Rendered) -> dict[str, dict[str, Any]]:
    return {mount["name"]: mount for mount in rendered.container("DaemonSet")["volumeMounts"]}


def _volumes(rendered: Rendered) -> dict[str, dict[str, Any]]:
    return {volume["name"]: volume for volume in _pod(rendered, "DaemonSet")["volumes"]}


@each_scenario
def test_the_agent_has_the_capabilities_that_it_needs_and_is_not_privileged(name: str) -> None:
    context = scenario(name).container("DaemonSet")["securityContext"]
    assert context["privileged"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert context["runAsUser"] == 0
    assert context["capabilities"] == {"drop": ["ALL"], "add": CAPABILITIES}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_every_capability_and_every_path_of_the_node_is_accounted_for_in_the_docs() -> None:
    page, rendered = INSTALL.read_text(), render()
    paths = [volume["hostPath"]["path"] for volume in _volumes(rendered).values() if "hostPath" in volume]
    for word in [*CAPABILITIES, *paths, "hostPID", "hostNetwork"]:
        assert re.search(rf"^\| [^|]*`{re.escape(word)}`", page, re.MULTILINE), (
            f"docs/install.md says nothing of {word}"
        )


def test_the_agent_shares_the_node_s_processes_and_network() -> None:
    pod = _pod(render(), "DaemonSet")
    assert (pod["hostPID"], pod["hostNetwork"], pod["dnsPolicy"]) == (True, True, "Default")
    assert "hostIPC" not in pod


@each_scenario
def test_paths_that_containerd_and_its_shims_name_are_the_node_s_own(name: str) -> None:
    mounts, volumes = _mounts(scenario(name)), _volumes(scenario(name))
    for volume in SAME_PATHS:
        assert mounts[volume]["mountPath"] == volumes[volume]["hostPath"]["path"]


@each_scenario
def test_mounts_follow_the_node_s(name: str) -> None:
    mounts = _mounts(scenario(name))
    assert {volume for volume, mount in mounts.items() if mount.get("mountPropagation") == "HostToContainer"} == set(
        FOLLOWING
    )


@each_scenario
def test_every_mount_has_a_volume_and_every_volume_a_mount(name: str) -> None:
    rendered = scenario(name)
    for kind in ("DaemonSet", "Deployment"):
        if rendered.of(kind):
            mounted = [mount["name"] for mount in rendered.container(kind)["volumeMounts"]]
            assert sorted(mounted) == sorted(volume["name"] for volume in _pod(rendered, kind)["volumes"])


def test_the_agent_is_told_of_the_paths_that_are_mounted() -> None:
    for name in SCENARIOS:
        rendered = scenario(name)
        arguments = dict(
            argument.removeprefix("--").split("=", 1)
            for argument in rendered.container("DaemonSet")["args"]
            if "=" in argument
        )
        mounted = {mount["mountPath"] for mount in _mounts(rendered).values()}
        told = {
            arguments[option] for option in ("host-root", "run-dir", "log-dir", "seccomp-dir", "registry-config-dir")
        }
        told |= {str(Path(arguments[option]).parent) for option in ("containerd-address", "policy-file")}
        assert told <= mounted


def test_a_node_without_apparmor_can_keep_its_profile() -> None:
    values = values_of("everything")
    assert values["agent"]["appArmorUnconfined"] is False
    assert "appArmorProfile" not in scenario("everything").container("DaemonSet")["securityContext"]
    assert render().container("DaemonSet")["securityContext"]["appArmorProfile"] == {"type": "Unconfined"}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name != "standalone"])
def test_the_manager_has_no_privileges(name: str) -> None:
    rendered = scenario(name)
    pod, context = _pod(rendered, "Deployment"), rendered.container("Deployment")["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not [volume for volume in pod["volumes"] if "hostPath" in volume]
    assert "hostPID" not in pod


def test_the_test_has_no_privileges() -> None:
    pod = render().one("Pod")["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@each_scenario
def test_tokens_are_mounted_where_they_are_used_only(name: str) -> None:
    rendered = scenario(name)
    for account in rendered.of("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for program, kind in (("agent", "DaemonSet"), ("manager", "Deployment")):
        if rendered.of(kind):
            wanted = values_of(name).get(program, {}).get("serviceAccount", {}).get("automount", True)
            assert _pod(rendered, kind)["automountServiceAccountToken"] is wanted
