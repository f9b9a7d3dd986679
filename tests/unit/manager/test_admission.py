"""The door at the API server: what it lets in, what it refuses in which words, and what it never holds up."""

from collections.abc import Mapping
from typing import Any

import pytest

from controller.agent.declared import parse_object
from controller.api.reasons import Reason
from controller.api.validation import Validated
from controller.manager import admission
from controller.manager.admission import Malformed, Verdict
from tests.bad_containers import BAD_CONTAINERS, BadContainer
from tests.unit.manager.reviews import FINALIZER, GOOD, UID, container, review

BAD = {**GOOD, "hostname": "a.b"}
BAD_SAYS = "spec.hostname: must be letters, digits and `-`, with no `-` at either end and no dots; got 'a.b'"
BOUND = {**GOOD, "nodeName": "node-a"}
STAYS = "spec.nodeName: must stay 'node-a': a container can't be moved; set it back, or delete the object and create it anew"
RELEASED = {
    "state": "Pending",
    "conditions": [{"type": "Ready", "status": "False", "reason": "Rescheduled", "message": "node-a is gone"}],
}
Object = Mapping[str, Any]


def judged(new: Object | None, old: Object | None = None, **request: Any) -> Verdict:
    return admission.judge(admission.read(review(new, old, **request)))


@pytest.mark.feature("D3")
@pytest.mark.parametrize("case", BAD_CONTAINERS, ids=lambda case: case.id)
def test_every_mistake_is_refused_in_the_words_of_the_agent(case: BadContainer) -> None:
    body = container(case.spec)
    agents = parse_object(body, "node-a")

    verdict = judged(body)

    assert verdict.message == Validated(None, agents.errors).message
    assert case.field in verdict.message
    assert case.says in verdict.message
    assert verdict.errors == agents.errors
    assert verdict.reason is agents.error_reason


REFUSED: dict[str, tuple[Object, Object | None, str]] = {
    "a new object with a mistake": (container(BAD), None, BAD_SAYS),
    "a new object with an image that can't be one": (
        container({"image": "Shop/Web"}),
        None,
        "spec.image: image 'Shop/Web': the repository must be in lower case",
    ),
    "a new object that depends on itself": (
        container({**GOOD, "dependsOn": [{"name": "web"}]}),
        None,
        "spec.dependsOn[0].name: must not be the container itself",
    ),
    "an object without a spec": (
        {"metadata": {"name": "web"}},
        None,
        "spec.image: is required",
    ),
    "a good object that is made a bad one": (container(BAD), container(), BAD_SAYS),
    "a bad object with another mistake": (
        container({**BAD, "tty": "yes"}),
        container(BAD),
        f"spec.tty: must be true or false; got 'yes'; {BAD_SAYS}",
    ),
    "a bad object whose mistake is replaced by another": (
        container({**GOOD, "hostname": "c.d"}),
        container(BAD),
        BAD_SAYS.replace("a.b", "c.d"),
    ),
    "an object that is moved by hand": (container({**GOOD, "nodeName": "node-b"}), container(BOUND), STAYS),
    "an object that loses its node": (container(), container(BOUND), STAYS),
    "a bad object that is moved by hand": (
        container({**BAD, "nodeName": "node-b"}),
        container({**BAD, "nodeName": "node-a"}),
        STAYS,
    ),
    "a bad object that loses its node": (container(BAD), container({**BAD, "nodeName": "node-a"}), STAYS),
    "an object that was moved while nobody checked, and is moved on": (
        container({**GOOD, "nodeName": "node-c"}),
        container({**GOOD, "nodeName": "node-b"}, status={"state": "Running", "nodeName": "node-a"}),
        STAYS,
    ),
    "an object that is moved while its status names its node": (
        container({**GOOD, "nodeName": "node-b"}),
        container(BOUND, status={"nodeName": "node-a", **RELEASED}),
        STAYS,
    ),
    "an object that is moved before its agent has said anything": (
        container({**GOOD, "nodeName": "node-b"}),
        container(BOUND, status={}),
        STAYS,
    ),
}


@pytest.mark.feature("D3")
@pytest.mark.parametrize(("new", "old", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused(new: Object, old: Object | None, says: str) -> None:
    verdict = judged(new, old)

    assert verdict.message == says
    assert not verdict.warnings


def test_a_moved_object_is_refused_for_the_reason_of_the_agent() -> None:
    verdict = judged(container({**GOOD, "nodeName": "node-b"}), container(BOUND))
    agents = parse_object(container({**GOOD, "nodeName": "node-b"}), "node-a")

    assert verdict.reason is Reason.NODE_CHANGED is agents.error_reason
    assert verdict.errors == agents.errors


GRANTED: dict[str, tuple[Object | None, Object | None, dict[str, Any]]] = {
    "a good object": (container(), None, {}),
    "an object whose name is still to be made": (
        {**container(), "metadata": {"generateName": "web-", "namespace": "shop"}},
        None,
        {"name": ""},
    ),
    "an object that its user has bound": (container(BOUND), None, {}),
    "an object that is bound": (container(BOUND), container(), {}),
    "an object that is changed on its node": (container({**BOUND, "tty": True}), container(BOUND), {}),
    "an object that the manager moves off a node that is gone": (
        container({**GOOD, "nodeName": "node-b"}),
        container(BOUND, status=RELEASED),
        {},
    ),
    "an object that was moved while nobody checked, and goes back": (
        container(BOUND),
        container({**GOOD, "nodeName": "node-b"}, status={"state": "Running", "nodeName": "node-a"}),
        {},
    ),
    "a mistake that is corrected": (container(), container(BAD), {}),
    "labels of a bad object": (container(BAD, labels={"a": "b"}), container(BAD), {}),
    "our finalizer on a bad object": (container(BAD, finalizers=[FINALIZER]), container(BAD), {}),
    "our finalizer off a bad object": (container(BAD), container(BAD, finalizers=[FINALIZER]), {}),
    "the status of a bad object": (
        container(BAD, status={"state": "Pending"}),
        container(BAD),
        {"subResource": "status"},
    ),
    "the status alone, sent as if it were the object": (
        container(BAD, status={"state": "Pending"}),
        container(BAD),
        {},
    ),
    "our finalizer off a bad object that is being deleted": (
        container(BAD, deletionTimestamp="2026-01-01T00:00:00Z"),
        container(BAD, finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z"),
        {},
    ),
    "our finalizer off an object that is being deleted, with whatever else": (
        container({**BAD, "nodeName": "node-b"}, deletionTimestamp="2026-01-01T00:00:00Z"),
        container(BOUND, finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z"),
        {},
    ),
    "a deletion": (None, container(BAD), {"operation": "DELETE"}),
    "a connection": (None, None, {"operation": "CONNECT", "object": {"kind": "Options"}}),
}


@pytest.mark.feature("D3")
@pytest.mark.parametrize(("new", "old", "request_"), GRANTED.values(), ids=GRANTED.keys())
def test_it_is_granted_without_a_word(new: Object | None, old: Object | None, request_: dict[str, Any]) -> None:
    assert judged(new, old, **request_) == Verdict()


@pytest.mark.feature("D3")
@pytest.mark.parametrize(
    "change",
    [{"nodeName": "node-a"}, {"desiredState": "Stopped"}, {"image": "busybox:1.37", "command": ["sleep", "1"]}],
    ids=["it is bound", "it is stopped", "it is changed elsewhere"],
)
def test_a_bad_object_can_be_changed_and_is_told_what_is_still_wrong(change: dict[str, Any]) -> None:
    verdict = judged(container({**BAD, **change}), container(BAD))

    assert not verdict.errors
    assert verdict.warnings == (f"is refused by its agent until it is corrected: {BAD_SAYS}",)


@pytest.mark.parametrize(
    ("label", "warned"),
    [("node-a", False), (None, False), ("node-b", True)],
    ids=["the same node", "none yet", "another node"],
)
def test_a_label_that_does_not_fit_the_node_is_told(label: str | None, warned: bool) -> None:
    labels = {} if label is None else {"tallyman.dev/node": label}
    says = "metadata.labels[tallyman.dev/node]: names 'node-b', and spec.nodeName 'node-a', which decides"

    assert judged(container(BOUND, labels=labels)).warnings == ((says,) if warned else ())
    assert judged(container(BOUND, labels=labels), container(BOUND)).warnings == ((says,) if warned else ())


def test_the_answer_lets_in() -> None:
    request = admission.read(review(container()))

    assert admission.answer(request, Verdict(warnings=("spec.image: x",))) == {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {"uid": UID, "allowed": True, "warnings": ["spec.image: x"]},
    }


def test_the_answer_refuses_as_the_api_server_would() -> None:
    request = admission.read(review(container({**BAD, "tty": "yes"})))

    response = admission.answer(request, admission.judge(request))["response"]

    assert response == {
        "uid": UID,
        "allowed": False,
        "status": {
            "code": 422,
            "reason": "Invalid",
            "message": f"spec.tty: must be true or false; got 'yes'; {BAD_SAYS}",
            "details": {
                "group": "tallyman.dev",
                "kind": "Container",
                "name": "web",
                "causes": [
                    {"reason": "FieldValueInvalid", "field": "spec.tty", "message": "must be true or false; got 'yes'"},
                    {"reason": "FieldValueInvalid", "field": "spec.hostname", "message": BAD_SAYS.split(": ", 1)[1]},
                ],
            },
        },
    }


def test_an_object_with_very_many_mistakes_is_answered_shortly() -> None:
    spec = {**GOOD, "env": [{"name": ""} for _ in range(1000)]}
    request = admission.read(review(container(spec)))

    status = admission.answer(request, admission.judge(request))["response"]["status"]

    assert len(status["details"]["causes"]) == 50
    assert status["message"].endswith("; and 992 more")


MALFORMED: dict[str, tuple[object, str]] = {
    "a list": ([], "the body must be an object, got a list"),
    "nothing": (None, "the body must be an object, got none"),
    "another kind": (
        {"apiVersion": "v1", "kind": "Pod"},
        "expected an AdmissionReview of admission.k8s.io/v1, got 'Pod' of 'v1'",
    ),
    "a review of the version before": (
        {**review(container()), "apiVersion": "admission.k8s.io/v1beta1"},
        "expected an AdmissionReview of admission.k8s.io/v1, got 'AdmissionReview' of 'admission.k8s.io/v1beta1'",
    ),
    "a review without a request": (
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"},
        "request must be an object, got none",
    ),
    "a review of a Pod": (
        review({}, kind={"group": "", "version": "v1", "kind": "Pod"}),
        "checks Containers of tallyman.dev only, got 'Pod' of ''",
    ),
    "a review of another group's Container": (
        review({}, kind={"group": "example.com", "version": "v1", "kind": "Container"}),
        "checks Containers of tallyman.dev only, got 'Container' of 'example.com'",
    ),
    "a review without a uid": (review(container(), uid=""), "request.uid must be text and not empty"),
    "a review whose uid is a number": (review(container(), uid=7), "request.uid must be text and not empty"),
    "a creation of nothing": (review(None), "request.object must be an object, got none"),
    "an update of nothing": (
        review(container(), operation="UPDATE"),
        "request.oldObject must be an object, got none",
    ),
    "an object that is a text": (review(container(), object="web"), "request.object must be an object, got 'web'"),
    "a spec that is a list": (
        review({**container(), "spec": ["image"]}),
        "request.object.spec must be an object, got a list",
    ),
    "metadata that is a text": (
        review({**container(), "metadata": "web"}),
        "request.object.metadata must be an object, got 'web'",
    ),
    "labels that are a list": (
        review(container(labels=["a"])),
        "request.object.metadata.labels must be an object, got a list",
    ),
}


@pytest.mark.feature("D3")
@pytest.mark.parametrize(("body", "says"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_review_is_said_to_be_none(body: object, says: str) -> None:
    with pytest.raises(Malformed) as caught:
        admission.read(body)

    assert str(caught.value) == says
