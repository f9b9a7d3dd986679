"""What the chart's accounts may do in the API: rules that hold for every scenario, whatever is added to the roles."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import NAMESPACE, SCENARIOS, Manifest, Rendered, render, scenario

pytestmark = pytest.mark.feature("K3")
AGGREGATION = "rbac.authorization.k8s.io/aggregate-to-"
ESCALATING = {"escalate", "bind", "impersonate"}
NOT_OURS = {"pods", "nodes", "pods/exec", "serviceaccounts", "serviceaccounts/token", "configmaps"}
READING = {"get", "list", "watch"}
DOCS = Path(__file__).parents[2] / "docs"
WEBHOOK = "tallyman-webhook"
FOR_THE_WEBHOOK = {
    (NAMESPACE, "", "secrets", "", "create"),
    (NAMESPACE, "", "secrets", WEBHOOK, "get"),
    (NAMESPACE, "", "secrets", WEBHOOK, "patch"),
    ("", "admissionregistration.k8s.io", "validatingwebhookconfigurations", WEBHOOK, "get"),
    ("", "admissionregistration.k8s.io", "validatingwebhookconfigurations", WEBHOOK, "patch"),
}
"""What docs/admission.md says of a CA of the manager's own."""
Granted = set[tuple[str, str, str, str, str]]
"""Namespace (empty for all), group, resource, name (empty for all), verb."""
each_scenario = pytest.mark.parametrize("name", SCENARIOS)


def _rules(rendered: Rendered) -> Iterator[tuple[Manifest, dict[str, Any]]]:
    """Every rule of every role."""
    for role in (*rendered.of("ClusterRole"), *rendered.of("Role")):
        for rule in role["rules"]:
            yield role, rule


def _of(rendered: Rendered, component: str, kind: str) -> list[dict[str, Any]]:
    """The rules of a component's role."""
    return list(rendered.one(kind, f"tallyman-{component}")["rules"])


def _verbs(rules: list[dict[str, Any]], resource: str) -> set[str]:
    return {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}


def _granted(roles: Iterable[Manifest]) -> Granted:
    """What roles allow, one permission each."""
    return {
        (role["metadata"].get("namespace", ""), group, resource, name, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
        for verb in rule["verbs"]
    }


def _roles(rendered: Rendered, component: str) -> list[Manifest]:
    """The roles of a component."""
    return [rendered.one(kind, f"tallyman-{component}") for kind in ("ClusterRole", "Role")]


def _listed(page: str) -> list[Manifest]:
    """The roles that a page lists."""
    blocks = [block.partition("```")[0] for block in (DOCS / page).read_text().split("```yaml\n")[1:]]
    [roles] = [block for block in blocks if "kind: ClusterRole\n" in block]
    return list(yaml.safe_load_all(roles))


@pytest.mark.parametrize("component", ["agent", "manager"])
def test_the_roles_are_those_that_the_pages_list(component: str) -> None:
    without = render({"webhook": {"enabled": False}})
    assert _granted(_roles(without, component)) == _granted(_listed(f"{component}.md"))


def test_a_webhook_with_a_ca_of_its_own_takes_more_of_the_manager_alone() -> None:
    manager, agent = (_granted(_roles(render(), component)) for component in ("manager", "agent"))
    assert manager - _granted(_listed("manager.md")) == FOR_THE_WEBHOOK
    assert agent == _granted(_listed("agent.md"))
    assert _granted(_roles(scenario("cert-manager"), "manager")) == _granted(_listed("manager.md"))


@each_scenario
def test_nothing_is_granted_by_a_wildcard(name: str) -> None:
    for _, rule in _rules(scenario(name)):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]


@each_scenario
def test_nobody_can_give_himself_more(name: str) -> None:
    for _, rule in _rules(scenario(name)):
        assert not ESCALATING & set(rule["verbs"])
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
        assert not NOT_OURS & set(rule["resources"])


@each_scenario
def test_secrets_are_read_by_name_in_the_release_s_namespace_only(name: str) -> None:
    for role, rule in _rules(scenario(name)):
        if "secrets" in rule["resources"]:
            assert role["kind"] == "Role"
            assert role["metadata"]["namespace"] == NAMESPACE
            assert rule["verbs"] == ["create"] or (rule["resourceNames"] == ["tallyman-webhook"])


@each_scenario
def test_what_checks_requests_is_changed_by_name_only(name: str) -> None:
    for _, rule in _rules(scenario(name)):
        if "validatingwebhookconfigurations" in rule["resources"]:
            assert len(rule["resourceNames"]) == 1
            assert set(rule["verbs"]) <= {"get", "patch"}


@each_scenario
def test_leases_are_held_in_the_release_s_namespace_only(name: str) -> None:
    for role, rule in _rules(scenario(name)):
        assert "leases" not in rule["resources"] or role["kind"] == "Role"


@each_scenario
def test_every_binding_is_to_an_account_of_the_release(name: str) -> None:
    rendered = scenario(name)
    roles = {(role["kind"], role["metadata"]["name"]) for role, _ in _rules(rendered)}
    for binding in (*rendered.of("ClusterRoleBinding"), *rendered.of("RoleBinding")):
        [subject] = binding["subjects"]
        assert (subject["kind"], subject["namespace"]) == ("ServiceAccount", NAMESPACE)
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles


def test_the_agent_makes_no_container_and_the_manager_deletes_none() -> None:
    rendered = render()
    agent, manager = _of(rendered, "agent", "ClusterRole"), _of(rendered, "manager", "ClusterRole")
    assert _verbs(agent, "containers") == {*READING, "patch", "delete"}
    assert _verbs(manager, "containers") == {*READING, "patch"}
    assert _verbs(agent, "containers/status") == _verbs(manager, "containers/status") == {"patch"}
    assert _verbs(agent, "events") == _verbs(manager, "events") == {"create", "patch"}


def test_people_have_no_role_by_default() -> None:
    rendered = render()
    bound = {
        binding["roleRef"]["name"] for kind in ("ClusterRoleBinding", "RoleBinding") for binding in rendered.of(kind)
    }
    for name in ("view", "edit", "admin"):
        role = rendered.one("ClusterRole", f"tallyman-{name}")
        assert f"tallyman-{name}" not in bound
        assert not [label for label in role["metadata"]["labels"] if label.startswith(AGGREGATION)]


@pytest.mark.parametrize(
    ("role", "given_to"),
    [("view", {"view", "edit", "admin"}), ("edit", {"edit", "admin"}), ("admin", {"admin"})],
)
def test_each_role_is_aggregated_by_a_value_of_its_own(role: str, given_to: set[str]) -> None:
    rendered = render({"rbac": {"userRoles": {"aggregate": {role: True}}}})
    for name in ("view", "edit", "admin"):
        labels = rendered.one("ClusterRole", f"tallyman-{name}")["metadata"]["labels"]
        found = {label.removeprefix(AGGREGATION) for label in labels if label.startswith(AGGREGATION)}
        assert found == (given_to if name == role else set())


def test_the_roles_of_people_write_no_status() -> None:
    for role in render().of("ClusterRole"):
        if role["metadata"]["labels"]["app.kubernetes.io/component"] == "roles":
            for rule in role["rules"]:
                if any(resource.endswith("/status") for resource in rule["resources"]):
                    assert set(rule["verbs"]) <= READING


def test_the_view_role_only_reads() -> None:
    for rule in render().one("ClusterRole", "tallyman-view")["rules"]:
        assert set(rule["verbs"]) <= READING


def test_with_cert_manager_the_manager_has_nothing_to_do_with_certificates() -> None:
    rendered = scenario("cert-manager")
    rules = _of(rendered, "manager", "ClusterRole") + _of(rendered, "manager", "Role")
    assert not [rule for rule in rules if {"secrets", "validatingwebhookconfigurations"} & set(rule["resources"])]
