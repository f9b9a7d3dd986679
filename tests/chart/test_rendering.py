"""The chart is good by Helm's own rules, and what comes out of it by Kubernetes', for every scenario in ci/."""

import os
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from tests.chart.rendering import CHART, NAMESPACE, RELEASE, SCENARIOS, Manifest, render, scenario, values_of

pytestmark = pytest.mark.feature("K3")
GOLDEN = Path(__file__).parent / "golden"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
"""What is rendered without a cluster is for a new one; for 1.20 it is installed in the end-to-end tests."""
OTHERS = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "Certificate", "Issuer"}
"""Kinds of others, whose schemas are not at hand."""
INFORMATION = 1
RECOMMENDED = {
    "app.kubernetes.io/name": "tallyman",
    "app.kubernetes.io/instance": RELEASE,
    "app.kubernetes.io/part-of": "tallyman",
    "app.kubernetes.io/managed-by": "Helm",
}
each_scenario = pytest.mark.parametrize("name", SCENARIOS)


@each_scenario
@pytest.mark.parametrize("version", ["v1.20.0", "v1.30.0", "v1.37.0"])
def test_helm_finds_nothing_to_complain_about(name: str, version: str) -> None:
    report = helm_python.lint(CHART, values_of(name), strict=True, namespace=NAMESPACE, kube_version=version)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > INFORMATION] == []


@each_scenario
def test_every_object_is_as_kubernetes_has_it(name: str) -> None:
    for manifest in scenario(name).objects:
        for version in VERSIONS:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.SchemaNotFoundError:
                assert manifest["kind"] in OTHERS


@each_scenario
def test_every_object_has_the_recommended_labels(name: str) -> None:
    for manifest in scenario(name).objects:
        metadata = manifest["metadata"]
        if not metadata["name"].startswith(f"{RELEASE}-extra"):
            labels = metadata["labels"]
            assert RECOMMENDED.items() <= labels.items(), metadata["name"]
            assert labels["helm.sh/chart"].startswith("tallyman-")
            assert labels["app.kubernetes.io/component"]
            assert labels["app.kubernetes.io/version"]


@each_scenario
def test_no_two_objects_have_the_same_name(name: str) -> None:
    objects = scenario(name).objects
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))


@each_scenario
def test_selectors_select_the_pods_that_they_are_for(name: str) -> None:
    rendered = scenario(name)
    pods = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["template"]["metadata"]["labels"]
        for one in (*rendered.of("DaemonSet"), *rendered.of("Deployment"))
    }
    for selector, component in _selectors(rendered.objects):
        selected = {found for found, labels in pods.items() if selector.items() <= labels.items()}
        assert selected == {component}


def _selectors(objects: tuple[Manifest, ...]) -> list[tuple[dict[str, str], str]]:
    """What selects Pods, with the component that it is to select."""
    found = []
    for one in objects:
        component, spec = one["metadata"].get("labels", {}).get("app.kubernetes.io/component"), one.get("spec", {})
        match one["kind"]:
            case "DaemonSet" | "Deployment" | "PodMonitor" | "PodDisruptionBudget":
                found.append((spec["selector"]["matchLabels"], component))
            case "NetworkPolicy":
                found.append((spec["podSelector"]["matchLabels"], component))
            case "Service":
                found.append((spec["selector"], "manager" if component == "webhook" else component))
    return found


@pytest.mark.parametrize("name", ["default", "standalone", "everything", "own-issuer", "no-webhook"])
def test_notes_are_as_they_were_read(name: str) -> None:
    """After a change that is meant: `UPDATE_GOLDEN=1 pytest tests/chart`, then read the difference before committing."""
    path = GOLDEN / f"notes-{name}.txt"
    notes = scenario(name).notes
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(notes)
    assert notes == path.read_text()


@pytest.mark.parametrize("manager", [{"enabled": False}, {"replicas": 0}], ids=["no manager", "none of its replicas"])
def test_where_nobody_binds_the_notes_say_how_a_container_is_bound(manager: dict[str, Any]) -> None:
    notes = render({"manager": manager}).notes
    assert "helm test" not in notes
    assert "labels: {tallyman.dev/node: NODE}" in notes
    assert "nodeName: NODE" in notes


@pytest.mark.parametrize(
    ("budget", "warned"),
    [
        pytest.param({"minAvailable": 1}, True, id="all by their number"),
        pytest.param({"minAvailable": "100%"}, True, id="all by their share"),
        pytest.param({"minAvailable": "", "maxUnavailable": 0}, True, id="none may be away"),
        pytest.param({"minAvailable": "", "maxUnavailable": 1}, False, id="one may be away"),
    ],
)
def test_a_budget_that_lets_no_manager_go_is_warned_of(budget: dict[str, Any], warned: bool) -> None:
    notes = render({"manager": {"podDisruptionBudget": {"enabled": True, **budget}}}).notes
    assert ("lets no manager go" in notes) is warned


def test_the_default_is_as_it_was_read() -> None:
    path = GOLDEN / "default.yaml"
    objects = [one for one in render().objects if one["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(objects, sort_keys=False, width=120)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
