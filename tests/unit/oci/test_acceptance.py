"""The check behind both doors: which rule is told when several are broken, and for what reason."""

from typing import Any

import pytest

from controller.api.reasons import Reason
from controller.oci.acceptance import check
from tests.bad_containers import BASE

STAYS = "spec.nodeName: must stay 'node-a': a container can't be moved; set it back, or delete the object and create it anew"
CASES: dict[str, tuple[dict[str, Any], str | None, Reason, str]] = {
    "a rule of the spec": ({"tty": "yes"}, None, Reason.INVALID_SPEC, "spec.tty: must be true or false; got 'yes'"),
    "another node": ({"nodeName": "node-b"}, "node-a", Reason.NODE_CHANGED, STAYS),
    "another node, and a rule of the spec": (
        {"nodeName": "node-b", "tty": 1},
        "node-a",
        Reason.INVALID_SPEC,
        "spec.tty: must be true or false; got 1",
    ),
    "itself": (
        {"dependsOn": [{"name": "db"}, {"name": "web"}]},
        None,
        Reason.INVALID_SPEC,
        "spec.dependsOn[1].name: must not be the container itself",
    ),
    "an image that can't be one": (
        {"image": "Shop/Web"},
        None,
        Reason.INVALID_IMAGE_NAME,
        "spec.image: image 'Shop/Web': the repository must be in lower case",
    ),
    "all of it at once": (
        {"image": "Shop", "dependsOn": [{"name": "web"}], "autoRemove": True, "restartPolicy": {"name": "Always"}},
        None,
        Reason.INVALID_SPEC,
        (
            "spec.autoRemove: excludes restart policy Always; set restartPolicy.name to Never;"
            " spec.dependsOn[0].name: must not be the container itself;"
            " spec.image: image 'Shop': the repository must be in lower case"
        ),
    ),
    "an image of another type, and dependencies that are none": (
        {"image": 7, "dependsOn": ["web", None]},
        None,
        Reason.INVALID_SPEC,
        (
            "spec.image: must be text: write it in quotes; got 7; spec.dependsOn[0]: must be an object (names and their values); got 'web';"
            " spec.dependsOn[1]: must be an object (names and their values); got an object"
        ),
    ),
}


@pytest.mark.feature("D2", "D3")
@pytest.mark.parametrize(("change", "node", "reason", "says"), CASES.values(), ids=CASES.keys())
def test_what_is_wrong_is_told(change: dict[str, Any], node: str | None, reason: Reason, says: str) -> None:
    checked = check({**BASE, **change}, name="web", node=node)

    assert checked.spec is None
    assert (checked.reason, checked.message) == (reason, says)


@pytest.mark.parametrize(
    ("named", "node"),
    [(None, None), (None, "node-a"), ("node-a", "node-a"), ("node-a", None)],
    ids=["no node", "a node by its label only", "its node", "a node of the user's choice"],
)
def test_a_good_spec_may_be_acted_on(named: str | None, node: str | None) -> None:
    checked = check({**BASE, "nodeName": named}, name="web", node=node)

    assert checked.message == ""
    assert checked.spec is not None
    assert checked.reference is not None
    assert checked.reference.name == "localhost:5000/hello:latest"
