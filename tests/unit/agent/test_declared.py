"""What the API server declares: parsed once, and never replaced by something older."""

from typing import Any

import pytest

from controller.agent.declared import DeclaredStore, belongs, parse_object
from controller.api.container import FINALIZER, NODE_LABEL, ImagePullPolicy
from controller.api.reasons import Reason
from tests.unit.agent.objects import FOREIGN, KEY, NODE, OTHER_UID, UID, body


@pytest.fixture
def store() -> DeclaredStore:
    return DeclaredStore(NODE)


def test_a_new_object_is_taken_in(store: DeclaredStore) -> None:
    taken = store.put(body())
    assert taken is not None
    assert taken.key == KEY
    assert store.get(KEY) is taken
    assert list(store) == [taken]


@pytest.mark.parametrize(
    ("second", "is_taken"),
    [
        (body(version="101"), True),
        (body(version="100"), False),
        (body(version="99"), False),
        (body(version="1000"), True),
        (body(uid=OTHER_UID, version="50"), True),
        (body(version="not-a-number"), True),
    ],
    ids=["later", "the same", "earlier", "later by one digit", "another object", "of an odd server"],
)
def test_what_is_older_is_left_out(store: DeclaredStore, second: dict[str, Any], is_taken: bool) -> None:
    store.put(body())
    assert (store.put(second) is not None) is is_taken
    known = store.get(KEY)
    assert known is not None
    assert (known.resource_version == second["metadata"]["resourceVersion"]) is (
        is_taken or second["metadata"]["resourceVersion"] == "100"
    )


def test_an_unchanged_spec_is_not_parsed_again(store: DeclaredStore) -> None:
    first = store.put(body())
    second = store.put(
        body(version="101", deleting=True, finalizers=(FOREIGN,), status={"state": "Running", "containerID": "x"})
    )
    assert first is not None
    assert second is not None
    assert second.spec is first.spec
    assert second.deleting
    assert second.finalizers == (FOREIGN,)
    assert not second.ours
    assert second.status.container_id == "x"
    assert second.resource_version == "101"


def test_a_changed_spec_is_parsed(store: DeclaredStore) -> None:
    first = store.put(body())
    second = store.put(body(version="101", generation=2, args=["x"]))
    assert first is not None
    assert second is not None
    assert second.spec_hash != first.spec_hash


def test_another_object_of_the_name_is_parsed_whatever_its_generation(store: DeclaredStore) -> None:
    first = store.put(body())
    second = store.put(body(uid=OTHER_UID, args=["x"]))
    assert first is not None
    assert second is not None
    assert second.uid == OTHER_UID
    assert second.spec_hash != first.spec_hash


def test_an_object_is_dropped_by_its_uid(store: DeclaredStore) -> None:
    store.put(body())
    store.drop(KEY, OTHER_UID)
    assert store.get(KEY) is not None
    store.drop(KEY, UID)
    assert store.get(KEY) is None
    store.drop(KEY)


def test_it_may_be_changed_while_it_is_walked(store: DeclaredStore) -> None:
    store.put(body())
    for one in store:
        store.drop(one.key)
    assert list(store) == []


@pytest.mark.feature("D2")
@pytest.mark.parametrize(
    ("spec", "reason", "field"),
    [
        ({"workingDir": "x"}, Reason.INVALID_SPEC, "spec.workingDir"),
        ({"nodeName": "node-b"}, Reason.NODE_CHANGED, "spec.nodeName"),
        ({"image": "Web:1"}, Reason.INVALID_IMAGE_NAME, "spec.image"),
        ({"image": None}, Reason.INVALID_SPEC, "spec.image"),
    ],
)
def test_an_invalid_spec_names_field_and_reason(spec: dict[str, Any], reason: Reason, field: str) -> None:
    found = parse_object(body(**spec), NODE)
    assert found.spec is None
    assert found.error_reason is reason
    assert [error.field for error in found.errors] == [field]
    assert (found.spec_hash, found.resources, found.image_wanted) == ("", "", "")
    assert found.pull_policy is ImagePullPolicy.NEVER


def test_an_object_may_name_no_node() -> None:
    assert parse_object(body(nodeName=None), NODE).spec is not None


@pytest.mark.parametrize("missing", ["spec", "status"])
def test_half_an_object_is_read(missing: str) -> None:
    half = {name: value for name, value in body().items() if name != missing}
    assert parse_object(half, NODE).uid == UID
    assert parse_object({**half, missing: None}, NODE).uid == UID


@pytest.mark.feature("I2")
@pytest.mark.parametrize(
    ("spec", "policy"),
    [
        ({"image": "web"}, ImagePullPolicy.ALWAYS),
        ({"image": "web:latest"}, ImagePullPolicy.ALWAYS),
        ({"image": "web:1"}, ImagePullPolicy.IF_NOT_PRESENT),
        ({"image": "web:1", "imagePullPolicy": "Never"}, ImagePullPolicy.NEVER),
    ],
)
def test_the_policy_in_force(spec: dict[str, Any], policy: ImagePullPolicy) -> None:
    found = parse_object(body(**spec), NODE)
    assert found.pull_policy is policy
    assert found.image_wanted.startswith(f"{policy} docker.io/library/web:")


def test_in_place_fields_leave_the_hash_and_resources_have_their_own() -> None:
    plain, limited = parse_object(body(), NODE), parse_object(body(resources={"limits": {"cpu": "1"}}), NODE)
    assert plain.spec_hash == limited.spec_hash
    assert plain.resources != limited.resources


def test_our_finalizer_is_told_from_others() -> None:
    assert parse_object(body(finalizers=(FOREIGN, FINALIZER)), NODE).ours
    assert not parse_object(body(finalizers=(FOREIGN,)), NODE).ours
    assert not parse_object(body(finalizers=()), NODE).ours


@pytest.mark.feature("K1", "K2")
@pytest.mark.parametrize(
    ("named", "label", "told", "is_ours"),
    [
        pytest.param(NODE, NODE, None, True, id="bound to us"),
        pytest.param(NODE, None, None, True, id="bound to us by name alone"),
        pytest.param(None, NODE, None, True, id="bound to us by label alone"),
        pytest.param(NODE, NODE, NODE, True, id="ours for long"),
        pytest.param(None, None, NODE, True, id="ours, and unbound by hand"),
        pytest.param("node-b", NODE, NODE, True, id="ours, with another name by hand"),
        pytest.param("node-b", "node-b", NODE, True, id="ours, bound to another node by hand"),
        pytest.param("node-b", NODE, None, True, id="our label and another name, to say so"),
        pytest.param("node-b", "node-b", None, False, id="reset and bound anew"),
        pytest.param("node-b", "node-b", "node-b", False, id="another node's"),
        pytest.param(NODE, NODE, "node-b", False, id="another node's, bound to us by hand"),
        pytest.param("node-b", NODE, "node-b", False, id="another node's, with our label"),
        pytest.param(None, None, None, False, id="nobody's"),
    ],
)
def test_whose_an_object_is(named: str | None, label: str | None, told: str | None, is_ours: bool) -> None:
    labels = {NODE_LABEL: label} if label else {}
    made = {"metadata": {"labels": labels}, "spec": {"nodeName": named}, "status": {"nodeName": told}}
    assert belongs(made, NODE) is is_ours
