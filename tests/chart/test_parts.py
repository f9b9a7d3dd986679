"""What the values turn on and off, and what they come to: CRDs, options, images, webhook, and what is watched."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack import generate
from tests.chart.rendering import CHART, NAMESPACE, Rendered, render, scenario

pytestmark = pytest.mark.feature("K3")
CRDS = Path(__file__).parents[2] / "crds"
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
PROJECT = Path(__file__).parents[2] / "pyproject.toml"
ALERTS = {
    "groups": [
        {
            "name": "agents",
            "rules": [
                {"record": "node:containers:sum", "expr": "sum by (node) (tallyman_containers)"},
                {
                    "alert": "AgentDown",
                    "expr": "up == 0",
                    "labels": {"severity": "critical"},
                    "annotations": {"summary": "{{ $labels.node }} has no agent.", "runbook_url": "docs/AgentDown.md"},
                },
                {"alert": "Noise", "expr": "vector(1)", "labels": {"severity": "info"}},
            ],
        },
        {"name": "empty", "rules": [{"alert": "More", "expr": "vector(1)"}]},
    ]
}


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    """The chart with alerts and a dashboard of the test's own."""
    chart = tmp_path / "tallyman"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
    (chart / "files" / "dashboards").mkdir(parents=True)
    (chart / "files" / "alerts.yaml").write_text(yaml.safe_dump(ALERTS))
    (chart / "files" / "dashboards" / "Fleet.json").write_text(json.dumps({"uid": "fleet", "title": "{{node}}"}))
    return chart


def test_the_crds_are_those_in_crds_upgraded_with_the_chart_and_kept() -> None:
    wanted = {one["metadata"]["name"]: one["spec"] for one in map(_read, CRDS.glob("*.yaml"))}
    found = render().of("CustomResourceDefinition")
    assert {one["metadata"]["name"]: one["spec"] for one in found} == wanted
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in found} == {"keep"}
    assert not (CHART / "crds").exists()


def test_every_crd_has_a_generated_template() -> None:
    templates = [path for path in generate.generated() if path.name.startswith("crd-")]
    assert len(templates) == len(list(CRDS.glob("*.yaml")))


def test_crds_need_not_be_kept_nor_installed() -> None:
    assert all(
        "annotations" not in one["metadata"] for one in render({"crds": {"keep": False}}).of("CustomResourceDefinition")
    )
    assert render({"crds": {"enabled": False}}).of("CustomResourceDefinition") == []


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))


def test_the_chart_has_the_project_s_version() -> None:
    chart = _read(CHART / "Chart.yaml")
    assert f'\nversion = "{chart["appVersion"]}"\n' in PROJECT.read_text()
    [image] = yaml.safe_load(chart["annotations"]["artifacthub.io/images"])
    assert image["image"] == f"tallyman:{chart['appVersion']}"
    assert yaml.safe_load(chart["annotations"]["artifacthub.io/changes"])


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "tallyman:0.1.0"),
        ({"tag": "edge"}, "tallyman:edge"),
        ({"registry": "registry.example.com"}, "registry.example.com/tallyman:0.1.0"),
        ({"tag": "edge", "digest": f"sha256:{'0' * 64}"}, f"tallyman@sha256:{'0' * 64}"),
    ],
)
def test_the_image_is_what_its_values_say(image: dict[str, str], reference: str) -> None:
    rendered = render({"image": image})
    for kind in ("DaemonSet", "Deployment"):
        assert rendered.container(kind)["image"] == reference


def test_everything_is_handed_on() -> None:
    rendered = scenario("everything")
    arguments = rendered.container("DaemonSet")["args"]
    for wanted in (
        "--containerd-address=/run/k3s/containerd/containerd.sock",
        "--registry-config-dir=/etc/tallyman-registries",
        "--runtime=runc",
        "--runtime=kata=/opt/kata/bin/kata-runtime",
        "--node-label=example.com/pool=boxes",
        "--max-containers=100",
        "--reserved-cpu=500m",
        "--reserved-memory=1Gi",
        "--init-path=/usr/bin/tini",
        "--lease-duration-seconds=120",
        "--no-container-metrics",
        "--list-seconds=10.5",
        "--metrics-address=$(POD_IP):19464",
    ):
        assert wanted in arguments
    assert arguments[-1] == "--workers=4"
    assert {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"} in rendered.container("DaemonSet")["env"]
    assert rendered.one("ConfigMap", "tallyman-extra")["data"] == {"chart": "tallyman"}
    assert rendered.one("ConfigMap", "tallyman-extra-text")


def test_the_policy_is_the_file_that_the_agent_reads() -> None:
    data = scenario("everything").one("ConfigMap", "tm-agent-policy")["data"]
    rules = yaml.safe_load(data["policy.yaml"])["rules"]
    assert [rule["namespaces"] for rule in rules] == [["infra"], ["*"]]
    assert yaml.safe_load(render().one("ConfigMap", "tallyman-agent-policy")["data"]["policy.yaml"]) == {"rules": []}
    own = render({"agent": {"policy": {"existingConfigMap": "policy"}}})
    assert "tallyman-agent-policy" not in {one["metadata"]["name"] for one in own.of("ConfigMap")}


def test_each_registry_s_configuration_lies_where_containerd_looks() -> None:
    rendered = scenario("everything")
    data = rendered.one("ConfigMap", "tm-agent-registries")["data"]
    volumes = rendered.one("DaemonSet")["spec"]["template"]["spec"]["volumes"]
    [items] = [volume["configMap"]["items"] for volume in volumes if volume["name"] == "registries"]
    files = {item["path"]: data[item["key"]] for item in items}
    assert set(files) == {"docker.io/hosts.toml", "registry.example.com:5000/hosts.toml"}
    assert 'host."https://mirror.example.com"' in files["docker.io/hosts.toml"]


def test_a_changed_policy_replaces_no_agent_and_changed_registries_do() -> None:
    policy = {"agent": {"policy": {"rules": [{"namespaces": ["*"], "allow": {"hostNetwork": True}}]}}}
    registries = {"agent": {"registry": {"hosts": {"docker.io": 'server = "https://registry-1.docker.io"'}}}}
    other = {"agent": {"registry": {"hosts": {"docker.io": 'server = "https://mirror.example.com"'}}}}
    assert _template(render(policy)) == _template(render())
    assert _template(render(registries)) != _template(render(other))


def _template(rendered: Rendered) -> Any:
    return rendered.one("DaemonSet")["spec"]["template"]


def test_the_webhook_is_asked_for_containers_alone_and_its_absence_stops_nobody() -> None:
    rendered = render()
    [webhook] = rendered.one("ValidatingWebhookConfiguration")["webhooks"]
    assert webhook["failurePolicy"] == "Ignore"
    [rule] = webhook["rules"]
    assert (rule["apiGroups"], rule["resources"], rule["operations"]) == (
        ["tallyman.dev"],
        ["containers"],
        ["CREATE", "UPDATE"],
    )
    service = webhook["clientConfig"]["service"]
    assert (service["name"], service["namespace"]) == ("tallyman-webhook", NAMESPACE)
    assert rendered.one("Service", service["name"])["spec"]["ports"][0]["port"] == service["port"]
    assert "caBundle" not in webhook["clientConfig"]


@pytest.mark.parametrize("name", ["standalone", "no-webhook"])
def test_without_a_manager_or_by_a_value_there_is_no_webhook(name: str) -> None:
    rendered = scenario(name)
    assert rendered.of("ValidatingWebhookConfiguration") == rendered.of("Service") == []
    if rendered.of("Deployment"):
        assert not [one for one in rendered.container("Deployment")["args"] if one.startswith("--webhook")]


def test_cert_manager_makes_what_the_manager_serves() -> None:
    rendered = scenario("cert-manager")
    configuration = rendered.one("ValidatingWebhookConfiguration")
    assert configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] == f"{NAMESPACE}/tallyman-webhook"
    certificate = rendered.one("Certificate", "tallyman-webhook")["spec"]
    [volume] = [one for one in rendered.one("Deployment")["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    assert volume["secret"]["secretName"] == certificate["secretName"]
    assert f"tallyman-webhook.{NAMESPACE}.svc" in certificate["dnsNames"]
    assert rendered.one("Issuer", certificate["issuerRef"]["name"])
    assert scenario("own-issuer").of("Issuer") == []
    assert scenario("own-issuer").one("Certificate")["spec"]["issuerRef"]["kind"] == "ClusterIssuer"


@pytest.mark.parametrize(
    ("replicas", "budget", "warned"),
    [
        (1, {"minAvailable": 1}, True),
        (2, {"minAvailable": 1}, False),
        (2, {"minAvailable": "2"}, True),
        (1, {"minAvailable": "50%"}, False),
        (1, {"minAvailable": "", "maxUnavailable": 1}, False),
    ],
)
def test_a_budget_that_lets_no_manager_go_is_warned_of(replicas: int, budget: dict[str, Any], warned: bool) -> None:
    values = {"manager": {"replicas": replicas, "podDisruptionBudget": {"enabled": True, **budget}}}
    assert ("can't be drained" in render(values).notes) == warned


def test_several_managers_are_spread() -> None:
    assert "topologySpreadConstraints" not in render().one("Deployment")["spec"]["template"]["spec"]
    [spread] = scenario("replicas").one("Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert scenario("replicas").one("PodDisruptionBudget")["spec"]["minAvailable"] == 1


@pytest.mark.parametrize(("name", "kind"), [("monitoring", "PodMonitor"), ("service-monitor", "ServiceMonitor")])
def test_monitors_find_agent_and_manager_and_keep_our_labels(name: str, kind: str) -> None:
    rendered = scenario(name)
    for monitor in rendered.of(kind):
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        [endpoint] = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
        assert (endpoint["port"], endpoint["honorLabels"]) == ("metrics", True)
        given = [(one.get("targetLabel"), one.get("replacement")) for one in endpoint["relabelings"]]
        assert given[:2] == [("job", monitor["metadata"]["name"]), ("node", None)]
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    assert {one["metadata"]["name"] for one in rendered.of(kind)} == {"tallyman-agent", "tallyman-manager"}
    for container in ("DaemonSet", "Deployment"):
        assert "metrics" in {port["name"] for port in rendered.container(container)["ports"]}


def test_alerts_are_labelled_linked_and_left_out_by_value(watched: Path) -> None:
    values = {
        "prometheusRule": {
            "enabled": True,
            "labels": {"release": "prometheus"},
            "ruleLabels": {"team": "platform", "severity": "none"},
            "disabled": ["Noise", "More"],
            "runbookURL": "https://runbooks.example.com/",
        }
    }
    rule = render(values, watched).one("PrometheusRule")
    [group] = rule["spec"]["groups"]
    recorded, alert = group["rules"]
    assert recorded == ALERTS["groups"][0]["rules"][0]  # type: ignore[index] # a literal of this module
    assert alert["labels"] == {"severity": "critical", "team": "platform"}
    assert alert["annotations"] == {
        "summary": "{{ $labels.node }} has no agent.",
        "runbook_url": "https://runbooks.example.com/AgentDown.md",
    }
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_alerts_are_as_they_are_in_their_file_by_default(watched: Path) -> None:
    rule = render({"prometheusRule": {"enabled": True}}, watched).one("PrometheusRule")
    expected = json.loads(json.dumps(ALERTS["groups"]))
    for group in expected:
        for one in group["rules"]:
            if "alert" in one:
                one.setdefault("labels", {})
    assert rule["spec"]["groups"] == expected


def test_without_managers_there_are_no_alerts_about_them() -> None:
    def groups(**manager: object) -> list[str]:
        values = {"prometheusRule": {"enabled": True}, "manager": manager}
        return [group["name"] for group in render(values).one("PrometheusRule")["spec"]["groups"]]

    every = groups(enabled=True)
    assert "tallyman.manager" in every
    assert groups(enabled=False) == groups(replicas=0) == [name for name in every if name != "tallyman.manager"]


def test_every_alert_leads_to_a_runbook_that_there_is() -> None:
    url = "https://example.com/runbooks"
    rendered = render({"prometheusRule": {"enabled": True, "runbookURL": url}})
    for group in rendered.one("PrometheusRule")["spec"]["groups"]:
        for rule in group["rules"]:
            link = rule["annotations"]["runbook_url"]
            assert (RUNBOOKS / link.removeprefix(f"{url}/")).is_file(), link


def test_the_project_s_dashboards_come_out_as_they_are() -> None:
    boards = {
        name: json.loads(text)
        for one in scenario("monitoring").of("ConfigMap")
        for name, text in one["data"].items()
        if name.endswith(".json")
    }
    assert boards == {path.name: json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*.json")}


def test_each_dashboard_is_a_config_map_for_grafana_s_sidecar(watched: Path) -> None:
    values = {"dashboards": {"enabled": True, "label": "board", "labelValue": "yes", "namespace": "grafana"}}
    board = render(values, watched).one("ConfigMap", "tallyman-dashboard-fleet")
    assert json.loads(board["data"]["Fleet.json"]) == {"uid": "fleet", "title": "{{node}}"}
    assert board["metadata"]["labels"]["board"] == "yes"
    assert board["metadata"]["namespace"] == "grafana"


def test_without_files_there_is_nothing_to_watch_with(tmp_path: Path) -> None:
    chart = tmp_path / "tallyman"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("files"))
    rendered = render({"prometheusRule": {"enabled": True}, "dashboards": {"enabled": True}}, chart)
    assert rendered.one("PrometheusRule")["spec"]["groups"] == []


def test_policies_let_in_what_is_asked_alone() -> None:
    rendered = scenario("service-monitor")
    manager, agent = (rendered.one("NetworkPolicy", f"tallyman-{name}")["spec"] for name in ("manager", "agent"))
    assert [rule["ports"][0]["port"] for rule in manager["ingress"]] == ["metrics", "webhook"]
    assert [rule["ports"][0]["port"] for rule in agent["ingress"]] == ["metrics"]
    assert manager["ingress"][1]["from"] == [{"ipBlock": {"cidr": "10.0.0.0/24"}}]
