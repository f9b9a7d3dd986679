"""The chart installed, upgraded and uninstalled with Helm in a real API server, which stores its objects; nothing schedules them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from hack import lab
from tests.e2e import waiting
from tests.e2e.cluster import CRDS, FINALIZER, KIND, Cluster
from tests.e2e.release import CHART, NAMESPACE, Release, copy_of_chart

pytestmark = pytest.mark.feature("K3")
SCENARIOS = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
OTHERS = {
    "monitoring.coreos.com": ("PodMonitor", "ServiceMonitor", "PrometheusRule"),
    "cert-manager.io": ("Certificate", "Issuer"),
}
"""Kinds of others that the chart makes objects of."""
NEW_FIELD = "logging"
"""A field of the spec that the older chart does not know."""
HELLO = {
    "apiVersion": "tallyman.dev/v1alpha1",
    "kind": "Container",
    "metadata": {"name": "hello", "namespace": "default", "finalizers": [FINALIZER]},
    "spec": {"image": "localhost:5000/hello:1", NEW_FIELD: {"driver": "none"}},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without our CRDs: the chart brings them."""
    with lab.control_plane(tmp_path_factory.mktemp("cluster")) as plane:
        made = Cluster(plane)
        made.kubectl("create", "namespace", "monitoring")
        for group, kinds in OTHERS.items():
            for kind in kinds:
                made.kubectl("apply", "-f", "-", given=yaml.safe_dump(_definition(group, kind)))
        yield made


def _definition(group: str, kind: str) -> dict[str, Any]:
    """A CRD that takes anything."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture
def release(cluster: Cluster) -> Iterator[Release]:
    """No release yet; nothing of it is left afterwards."""
    made = Release(cluster)
    yield made
    made.uninstall_if_there()
    if _hello(cluster):
        cluster.kubectl("patch", KIND, "hello", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    cluster.kubectl("delete", "--ignore-not-found", "--timeout=30s", "-f", str(CRDS))


def _hello(cluster: Cluster) -> dict[str, Any] | None:
    """The user's Container, if it is there and its kind is served."""
    if KIND not in cluster.kubectl("get", "crd", "-o", "name"):
        return None
    found = cluster.kubectl("get", KIND, "hello", "-o", "json", "--ignore-not-found")
    return json.loads(found) if found.strip() else None


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """The chart as it was before the CRD had a certain field."""
    chart = copy_of_chart(tmp_path)
    template = chart / "templates" / "crd-containers.yaml"
    head, mark, body = template.read_text().partition("\nspec:\n")
    definition = yaml.safe_load(mark + body.replace("{{- end }}", ""))
    del definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][NEW_FIELD]
    template.write_text(f"{head}\n{yaml.safe_dump(definition, width=10_000)}{{{{- end }}}}\n")
    metadata = chart / "Chart.yaml"
    metadata.write_text(metadata.read_text().replace("\nversion: 0.1.0\n", "\nversion: 0.0.9\n"))
    return chart


def test_an_upgrade_brings_the_crds_up_to_date_and_an_uninstall_keeps_them(
    cluster: Cluster, release: Release, older: Path
) -> None:
    release.install(chart=older)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", f"crd/{KIND}")
    cluster.kubectl("create", "--validate=false", "-f", "-", given=yaml.safe_dump(HELLO))
    before = _hello(cluster)
    assert before is not None
    assert NEW_FIELD not in before["spec"]

    release.upgrade()
    assert _hello(cluster) == before
    waiting.until(lambda: NEW_FIELD in _applied(cluster)["spec"], "the new field is served")
    after = _hello(cluster)
    assert after is not None
    assert after["spec"][NEW_FIELD]["driver"] == "none"
    assert after["metadata"]["uid"] == before["metadata"]["uid"]

    release.uninstall()
    assert _hello(cluster) == after
    assert _left(cluster) == []

    release.install()
    assert _hello(cluster) == after


def _applied(cluster: Cluster) -> dict[str, Any]:
    """The user's Container once it is applied; the API server may need a moment to know a new field."""
    words = ("apply", "--validate=false", "-o", "json", "-f", "-")
    return dict(json.loads(cluster.kubectl(*words, given=yaml.safe_dump(HELLO))))


def _left(cluster: Cluster) -> list[str]:
    """What of a release is left, besides the CRDs."""
    kinds = "daemonset,deployment,service,serviceaccount,configmap,role,rolebinding,secret,poddisruptionbudget"
    words = ["-o", "name", "-l", "app.kubernetes.io/part-of=tallyman"]
    names = cluster.kubectl("get", kinds, "-n", NAMESPACE, *words).split()
    return (
        names + cluster.kubectl("get", "clusterrole,clusterrolebinding,validatingwebhookconfiguration", *words).split()
    )


def test_an_upgrade_leaves_the_webhook_s_authority_alone(cluster: Cluster, release: Release) -> None:
    release.install()
    patch = [{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "Q0E="}]
    name = "validatingwebhookconfiguration/tallyman-webhook"
    cluster.kubectl("patch", name, "--type=json", "-p", json.dumps(patch))

    release.upgrade({"webhook": {"timeoutSeconds": 7}})

    [webhook] = json.loads(cluster.kubectl("get", name, "-o", "json"))["webhooks"]
    assert (webhook["clientConfig"]["caBundle"], webhook["timeoutSeconds"]) == ("Q0E=", 7)


def test_what_is_turned_off_goes_and_the_crds_stay(cluster: Cluster, release: Release) -> None:
    release.install()
    cluster.kubectl("create", "-f", "-", given=yaml.safe_dump(HELLO))

    release.upgrade({"manager": {"enabled": False}, "agent": {"standalone": True}, "crds": {"enabled": False}})

    left = _left(cluster)
    assert "daemonset.apps/tallyman-agent" in left
    assert not [one for one in left if "manager" in one or "webhook" in one]
    assert _hello(cluster) is not None


def test_crds_that_are_not_to_be_kept_go_with_the_release(cluster: Cluster, release: Release) -> None:
    release.install({"crds": {"keep": False}})
    release.uninstall()
    waiting.until(lambda: KIND not in cluster.kubectl("get", "crd", "-o", "name"), "the CRD gone")


def test_crds_that_somebody_else_installed_are_not_taken_over_by_themselves(cluster: Cluster, release: Release) -> None:
    cluster.install_definitions()
    with pytest.raises(helm_python.HelmError, match="ownership metadata"):
        release.install()
    release.install({"crds": {"enabled": False}})


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_api_server_takes_every_scenario(release: Release, scenario: str) -> None:
    values = yaml.safe_load(SCENARIOS[scenario].read_text()) or {}
    release.install(values)
    assert {one["kind"] for one in release.objects()} >= {"DaemonSet"}


def test_an_older_api_server_gets_what_it_knows(cluster: Cluster, release: Release) -> None:
    release.install({"manager": {"podDisruptionBudget": {"enabled": True}}})
    version = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]
    minor = int(version["minor"].rstrip("+"))
    pod = release.object("DaemonSet", "tallyman-agent")["spec"]["template"]
    annotated = "container.apparmor.security.beta.kubernetes.io/agent" in pod["metadata"]["annotations"]
    assert annotated == (minor < 30)
    budget = release.object("PodDisruptionBudget", "tallyman-manager")
    assert budget["apiVersion"] == ("policy/v1" if minor >= 21 else "policy/v1beta1")
