"""What a node's policy allows: rule by rule, path trick by path trick."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.container import ContainerSpec
from controller.api.policy import NOTHING, InvalidPolicy, Policy, is_beneath, read, violations
from controller.api.validation import validate

pytestmark = pytest.mark.feature("P6")
IMAGE = {"image": "localhost:5000/hello:latest"}


def spec(**fields: Any) -> ContainerSpec:
    checked = validate({**IMAGE, **fields})
    assert checked.spec is not None, checked.message
    return checked.spec


def secured(**context: Any) -> dict[str, Any]:
    return {"securityContext": context}


def mounted(path: str, **mount: Any) -> dict[str, Any]:
    return {"mounts": [{"mountPath": "/data", "hostPath": {"path": path}, **mount}]}


def allowing(*namespaces: str, **allow: Any) -> Policy:
    return read({"rules": [{"namespaces": list(namespaces or ("shop",)), "allow": allow}]})


DANGEROUS: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "privileged": (
        secured(privileged=True),
        "spec.securityContext.privileged",
        {"privileged": True},
        "`privileged: true`",
    ),
    "the node's network": ({"network": {"mode": "host"}}, "spec.network.mode", {"hostNetwork": True}, "hostNetwork"),
    "a path": (
        mounted("/srv/web"),
        "spec.mounts[0].hostPath.path",
        {"hostPaths": [{"path": "/srv"}]},
        "`hostPaths: [{path: '/srv/web'}]`",
    ),
    "a path to read": (
        mounted("/srv/web", readOnly=True),
        "spec.mounts[0].hostPath.path",
        {"hostPaths": [{"path": "/srv", "readOnly": True}]},
        "`hostPaths: [{path: '/srv/web', readOnly: true}]`",
    ),
    "a device": (
        {"devices": [{"hostPath": "/dev/fuse"}]},
        "spec.devices[0].hostPath",
        {"devices": ["/dev/fuse"]},
        "`devices: ['/dev/fuse']`",
    ),
    "a device in a directory": (
        {"devices": [{"hostPath": "/dev/snd/timer"}]},
        "spec.devices[0].hostPath",
        {"devices": ["/dev/snd"]},
        "devices",
    ),
    "a capability": (
        secured(capabilities={"add": ["KILL", "cap_net_admin"]}),
        "spec.securityContext.capabilities.add[1]",
        {"capabilities": ["NET_ADMIN"]},
        "`capabilities: [NET_ADMIN]`",
    ),
    "any capability": (
        secured(capabilities={"add": ["SYS_TIME"]}),
        "spec.securityContext.capabilities.add[0]",
        {"capabilities": ["ALL"]},
        "SYS_TIME",
    ),
    "every capability": (
        secured(capabilities={"add": ["ALL"]}),
        "spec.securityContext.capabilities.add[0]",
        {"capabilities": ["cap_all"]},
        "`capabilities: [ALL]`",
    ),
    "no system call filter": (
        secured(seccompProfile={"type": "Unconfined"}),
        "spec.securityContext.seccompProfile.type",
        {"seccompUnconfined": True},
        "seccompUnconfined",
    ),
    "escalation": (
        secured(allowPrivilegeEscalation=True),
        "spec.securityContext.allowPrivilegeEscalation",
        {"allowPrivilegeEscalation": True},
        "allowPrivilegeEscalation",
    ),
    "mounts both ways": (
        mounted("/srv", mountPropagation="Bidirectional") | secured(privileged=True),
        "spec.mounts[0].mountPropagation",
        {"privileged": True, "hostPaths": [{"path": "/"}], "bidirectionalMounts": True},
        "bidirectionalMounts",
    ),
}
dangerous = pytest.mark.parametrize(("fields", "field", "allow", "told"), DANGEROUS.values(), ids=DANGEROUS)


@dangerous
def test_without_a_policy_it_is_refused_by_field_and_key(
    fields: dict[str, Any], field: str, allow: dict[str, Any], told: str
) -> None:
    refused = {error.field: error.message for error in violations(spec(**fields), "shop", NOTHING)}

    assert told in refused[field]
    assert "namespace shop" in refused[field]


@dangerous
def test_a_rule_allows_it_where_the_rule_says(
    fields: dict[str, Any], field: str, allow: dict[str, Any], told: str
) -> None:
    assert violations(spec(**fields), "shop", allowing("shop", **allow)) == ()
    assert violations(spec(**fields), "any", allowing("*", **allow)) == ()
    assert violations(spec(**fields), "shops", allowing("shop", **allow)) != ()


HARMLESS = [
    {},
    secured(runAsUser=0, readOnlyRootFilesystem=True, capabilities={"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}),
    secured(allowPrivilegeEscalation=False, seccompProfile={"type": "RuntimeDefault"}),
    secured(seccompProfile={"type": "Localhost", "localhostProfile": "web.json"}),
    {"network": {"mode": "none"}, "sysctls": {"net.core.somaxconn": "1024"}},
]


@pytest.mark.parametrize("fields", HARMLESS, ids=str)
def test_what_stays_in_the_container_needs_no_rule(fields: dict[str, Any]) -> None:
    assert violations(spec(**fields), "shop", NOTHING) == ()


def test_privileged_brings_what_it_is_made_of_and_no_more() -> None:
    policy = allowing(privileged=True)
    whole = secured(privileged=True, capabilities={"add": ["ALL"]}, seccompProfile={"type": "Unconfined"})

    assert violations(spec(**whole, devices=[{"hostPath": "/dev/sda"}]), "shop", policy) == ()
    left = violations(spec(**whole, **mounted("/srv"), network={"mode": "host"}), "shop", policy)
    assert [error.field for error in left] == ["spec.network.mode", "spec.mounts[0].hostPath.path"]


def test_rules_add_up_in_any_order() -> None:
    rules = [
        {"namespaces": ["*"], "allow": {"hostPaths": [{"path": "/srv", "readOnly": True}]}},
        {"namespaces": ["shop", "till"], "allow": {"hostPaths": [{"path": "/srv/shop"}]}},
    ]
    wanted = spec(**mounted("/srv/shop/data"))

    for ordered in (rules, rules[::-1]):
        policy = read({"rules": ordered})
        assert violations(wanted, "till", policy) == ()
        (refused,) = violations(wanted, "other", policy)
        assert refused.message.endswith("; readOnly: true is allowed")


BENEATH = [
    ("/srv", "/srv", True),
    ("/srv/", "/srv", True),
    ("/srv/x", "/srv", True),
    ("//srv//x/.", "/srv/", True),
    ("/srv/x/y", "/srv/x", True),
    ("/anything", "/", True),
    ("/", "/", True),
    ("/srvx", "/srv", False),
    ("/srv-x/y", "/srv", False),
    ("/sr", "/srv", False),
    ("/", "/srv", False),
    ("/SRV/x", "/srv", False),
    ("/srv/../etc", "/srv", False),
    ("/srv/x/..", "/srv", False),
    ("/srv/..", "/", False),
    ("/etc", "/srv/..", False),
    ("srv/x", "/srv", False),
    ("", "/", False),
    ("/srv/x", "", False),
    ("/srv\u2215x", "/srv", False),
    ("/srv\uff0fx", "/srv", False),
    ("/srv\u200b/x", "/srv", False),
    ("/caf\u00e9/x", "/cafe\u0301", False),
    ("/caf\u00e9/x", "/caf\u00e9", True),
    ("/srv /x", "/srv", False),
    ("/srv\n/x", "/srv", False),
    ("/srv/...", "/srv", True),
    ("/srv/..x", "/srv", True),
    ("/srv/\u2025/etc", "/srv", True),
    ("/srv/%2e%2e/etc", "/srv", True),
    ("/srv/\\..\\etc", "/srv", True),
]


@pytest.mark.parametrize(("path", "prefix", "beneath"), BENEATH)
def test_paths_are_compared_by_their_components(path: str, prefix: str, *, beneath: bool) -> None:
    assert is_beneath(path, prefix) is beneath


parts = st.lists(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1), max_size=5)


@given(parts, parts)
def test_beneath_is_what_begins_with_the_same_components(one: list[str], other: list[str]) -> None:
    path, prefix = "/" + "/".join(one), "/" + "/".join(other)
    plain = [[part for part in these if part != "."] for these in (one, other)]

    expected = ".." not in one + other and plain[0][: len(plain[1])] == plain[1]
    assert is_beneath(path, prefix) is expected


@given(parts, parts)
def test_a_longer_name_is_never_beneath(prefix: list[str], more: list[str]) -> None:
    parent = "/" + "/".join([*prefix, "srv"])

    assert not is_beneath(parent + "x", parent)
    assert not is_beneath("/".join([parent + "x", *more]), parent)


BROKEN: dict[str, tuple[object, str]] = {
    "a list": ([], "must be an object with the field `rules`"),
    "text": ("rules", "must be an object"),
    "a misspelt field": ({"rule": []}, "rule: is not a field that there is"),
    "a misspelt allowance": (
        {"rules": [{"namespaces": ["a"], "allow": {"hostPath": []}}]},
        "rules[0].allow.hostPath: is not a field that there is",
    ),
    "no namespaces": ({"rules": [{"allow": {}}]}, "rules[0].namespaces: is required"),
    "an empty list of namespaces": ({"rules": [{"namespaces": [], "allow": {}}]}, "must not be empty"),
    "a pattern": ({"rules": [{"namespaces": ["team-*"], "allow": {}}]}, "must be the name of a namespace, or `*`"),
    "a relative path": (
        {"rules": [{"namespaces": ["a"], "allow": {"hostPaths": [{"path": "srv"}]}}]},
        "rules[0].allow.hostPaths[0].path: must be an absolute path",
    ),
    "a path that climbs up": (
        {"rules": [{"namespaces": ["a"], "allow": {"hostPaths": [{"path": "/srv/../etc"}]}}]},
        "without `..`",
    ),
    "a flag in quotes": (
        {"rules": [{"namespaces": ["a"], "allow": {"privileged": "true"}}]},
        "rules[0].allow.privileged: must be true or false",
    ),
    "no such capability": (
        {"rules": [{"namespaces": ["a"], "allow": {"capabilities": ["NET_ADMINN"]}}]},
        "is not a Linux capability",
    ),
}


@pytest.mark.parametrize(("document", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_field_and_rule(document: object, told: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        read(document)

    assert told in str(refused.value)


@pytest.mark.parametrize("document", [None, {}, {"rules": None}, {"rules": []}])
def test_an_empty_file_allows_nothing(document: object) -> None:
    assert read(document) == NOTHING


def test_a_message_shows_hostile_paths_in_one_short_line() -> None:
    (refused,) = violations(spec(**mounted("/srv/\n`x`" + "y" * 3000)), "shop", NOTHING)

    assert refused.message.isprintable()
    assert len(refused.message) < 500
