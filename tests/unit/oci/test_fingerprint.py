"""What calls for a new container, and which fields are named."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.api.container import ContainerSpec
from controller.oci.fingerprint import IN_PLACE, MAX_BYTES, changed_fields, decode, encode, fingerprint, spec_hash

_BASE: dict[str, Any] = {"image": "web:1", "command": ["/srv/web"], "sysctls": {"a.b": "1", "c.d": "2"}}


def made(**fields: Any) -> ContainerSpec:
    return ContainerSpec.model_validate({**_BASE, **fields})


@pytest.mark.feature("D5")
@pytest.mark.parametrize(
    ("fields", "changed"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"image": "web:2"}, ["image"], id="another image"),
        pytest.param({"image": "docker.io/library/web:1"}, [], id="the same image by its full name"),
        pytest.param({"args": ["x"]}, ["args"], id="a field that was absent"),
        pytest.param({"command": None}, ["command"], id="a field that is absent now"),
        pytest.param({"env": [{"name": "A", "value": "1"}], "tty": True}, ["env", "tty"], id="two fields, in order"),
        pytest.param({"securityContext": {"user": "app"}}, ["securityContext.user"], id="a field of a section"),
        pytest.param({"network": {"mode": "host"}}, ["network.mode"], id="the network's mode"),
        pytest.param({"sysctls": {"c.d": "2", "a.b": "1"}}, [], id="the order of a map"),
        pytest.param({"securityContext": {"privileged": False}, "init": False}, [], id="a default that is written out"),
        pytest.param({"resources": {"limits": {"cpu": "1"}}}, [], id="resources"),
        pytest.param({"desiredState": "Stopped"}, [], id="the desired state"),
        pytest.param({"terminationGracePeriodSeconds": 99}, [], id="the grace period"),
        pytest.param({"stopSignal": "SIGINT"}, [], id="the stop signal"),
        pytest.param({"imagePullPolicy": "Never"}, [], id="the pull policy"),
        pytest.param({"nodeName": "node-a"}, [], id="the node"),
        pytest.param({"nodeSelector": {"disk": "ssd"}}, [], id="the labels that a node must have"),
        pytest.param({"tolerations": [{"operator": "Exists"}]}, [], id="the taints that are tolerated"),
        pytest.param({"reschedule": "WhenNodeGone"}, [], id="whether it moves when its node is gone"),
        pytest.param({"logging": {"driver": "none"}}, ["logging.driver"], id="the logging driver"),
        pytest.param({"logging": {"maxSize": "1Mi", "maxFiles": 9}}, [], id="how much output is kept"),
    ],
)
def test_changes(fields: dict[str, Any], changed: list[str]) -> None:
    before, after = made(), made(**fields)

    assert changed_fields(fingerprint(before), fingerprint(after)) == changed
    assert (spec_hash(before) == spec_hash(after)) is (not changed)


def test_a_label_holds_it_and_gives_it_back() -> None:
    fields = fingerprint(made(tty=True, securityContext={"user": "app"}))

    assert decode(encode(fields)) == fields
    assert list(fields) == ["command", "image", "securityContext.user", "sysctls", "tty"]


def test_the_largest_fingerprint_fits_into_a_label() -> None:
    names = [name for name in ContainerSpec.model_fields if name not in IN_PLACE]
    inner = [f"securityContext.{name}" for name in range(40)]
    assert len(encode(dict.fromkeys([*names, *inner], "0" * 8))) < MAX_BYTES


@pytest.mark.parametrize("label", ["", "image", "=x", "image=,x", ",,"])
def test_a_broken_label_shows_up_as_changed(label: str) -> None:
    assert "image" in changed_fields(decode(label), fingerprint(made()))


_in_place = st.fixed_dictionaries(
    {},
    optional={
        "desiredState": st.sampled_from(["Running", "Paused", "Stopped"]),
        "terminationGracePeriodSeconds": st.integers(0, 86400),
        "stopSignal": st.sampled_from(["SIGTERM", "9"]),
        "imagePullPolicy": st.sampled_from(["Always", "Never"]),
        "nodeName": st.just("node-b"),
        "resources": st.fixed_dictionaries({"limits": st.fixed_dictionaries({"pids": st.integers(1, 100)})}),
    },
)


@given(fields=_in_place, order=st.permutations(sorted(_BASE["sysctls"].items())))
def test_the_hash_knows_neither_the_order_of_maps_nor_what_changes_in_place(
    fields: dict[str, Any], order: list[tuple[str, str]]
) -> None:
    assert spec_hash(made(**fields, sysctls=dict(order))) == spec_hash(made())


@given(st.text(max_size=60))
def test_no_label_makes_the_comparison_fail(label: str) -> None:
    changed_fields(decode(label), fingerprint(made()))
