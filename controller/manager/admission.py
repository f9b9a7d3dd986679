"""The door at the API server: an AdmissionReview (v1) comes in, and the answer goes out. Pure.

A Container is refused for what the agent would refuse it for, in the same words; the check is the agent's own. An update is
refused only for what it makes wrong: whatever was stored while nobody checked can still be bound, edited step by step, and deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.api.container import GROUP, KIND, NODE_LABEL
from controller.api.fields import FieldError, shown
from controller.api.reasons import Reason
from controller.api.validation import read_status
from controller.manager.advice import advice
from controller.manager.records import is_released
from controller.oci.acceptance import Checked, check, moved

API_VERSION: Final = "admission.k8s.io/v1"
_REVIEW: Final = "AdmissionReview"
_MOST_CAUSES: Final = 50
_MOST_WARNINGS: Final = 10
_LONGEST_WARNING: Final = 256
"""Kubernetes cuts a longer one when there are many."""
Json = Mapping[str, Any]


class Malformed(ValueError):
    """It is no review of a Container. The message is one sentence for whoever configured the webhook."""


@dataclass(frozen=True)
class Request:
    """What is to be judged."""

    uid: str
    operation: str
    subresource: str
    namespace: str
    name: str
    new: Json
    old: Json


@dataclass(frozen=True)
class Verdict:
    """What is said of a request; it is refused when there are errors."""

    errors: tuple[FieldError, ...] = ()
    reason: Reason | None = None
    """The reason that the agent would give for the refusal."""
    warnings: tuple[str, ...] = ()
    message: str = ""


def read(body: object) -> Request:
    """The request in a review as the API server sends it.

    Raises:
        Malformed: it is no such thing.
    """
    review = _mapping(body, "the body")
    version = (review.get("apiVersion"), review.get("kind"))
    if version != (API_VERSION, _REVIEW):
        raise Malformed(f"expected an {_REVIEW} of {API_VERSION}, got {_told(version[1])} of {_told(version[0])}")
    request = _mapping(review.get("request"), "request")
    kind = _mapping(request.get("kind"), "request.kind")
    if (kind.get("group"), kind.get("kind")) != (GROUP, KIND):
        raise Malformed(f"checks {KIND}s of {GROUP} only, got {_told(kind.get('kind'))} of {_told(kind.get('group'))}")
    operation = _text(request, "operation")
    return Request(
        uid=_text(request, "uid"),
        operation=operation,
        subresource=str(request.get("subResource") or ""),
        namespace=str(request.get("namespace") or ""),
        name=str(request.get("name") or ""),
        new=_object(request, "object", needed=operation in {"CREATE", "UPDATE"}),
        old=_object(request, "oldObject", needed=operation == "UPDATE"),
    )


def judge(request: Request) -> Verdict:
    """Whether the request is granted. What does not touch the spec always is, and so is all that happens to a deleted object."""
    created = request.operation == "CREATE"
    if (
        request.subresource
        or not (created or request.operation == "UPDATE")
        or _metadata(request.new, "deletionTimestamp")
    ):
        return Verdict()
    if not created and _spec(request.new) == _spec(request.old):
        return Verdict(warnings=_misplaced(request))
    name = str(_metadata(request.new, "name") or request.name)
    stays = _moved_from(request)
    checked = check(_spec(request.new), name=name, node=stays)
    known = () if created else check(_spec(request.old), name=name, node=None).errors
    if stays is not None and all(error in known for error in checked.errors):
        # NB: that the object is a bad one already is no leave to move it.
        checked = moved(stays)
    if any(error not in known for error in checked.errors):
        return Verdict(checked.errors, checked.reason, message=checked.message)
    return Verdict(warnings=_warnings(request, checked))


def answer(request: Request, verdict: Verdict) -> dict[str, Any]:
    """The review that tells the API server."""
    response: dict[str, Any] = {"uid": request.uid, "allowed": not verdict.errors}
    if verdict.errors:
        response["status"] = _status(request, verdict)
    if verdict.warnings:
        response["warnings"] = list(verdict.warnings)
    return {"apiVersion": API_VERSION, "kind": _REVIEW, "response": response}


def _status(request: Request, verdict: Verdict) -> dict[str, Any]:
    """As the API server itself words an invalid object: kubectl then shows each field on a line of its own."""
    causes = [
        {"reason": "FieldValueInvalid", "field": error.field, "message": error.message}
        for error in verdict.errors[:_MOST_CAUSES]
    ]
    return {
        "code": 422,
        "reason": "Invalid",
        "message": verdict.message,
        "details": {"group": GROUP, "kind": KIND, "name": request.name, "causes": causes},
    }


def _warnings(request: Request, checked: Checked) -> tuple[str, ...]:
    found = [f"is refused by its agent until it is corrected: {error}" for error in checked.errors]
    if checked.spec is not None and checked.reference is not None:
        found += advice(checked.spec, checked.reference)
    return (*_misplaced(request), *(line[:_LONGEST_WARNING] for line in found[:_MOST_WARNINGS]))


def _misplaced(request: Request) -> tuple[str, ...]:
    """The label by which agents select, where it does not fit the node that the spec names."""
    label = (_metadata(request.new, "labels") or {}).get(NODE_LABEL)
    node = _spec(request.new).get("nodeName")
    if label is None or node is None or label == node:
        return ()
    return (f"metadata.labels[{NODE_LABEL}]: names {shown(label)}, and spec.nodeName {shown(node)}, which decides",)


def _moved_from(request: Request) -> str | None:
    """The node that the object must stay on and is taken off, or None when all is well.

    One that was moved while nobody checked may go back to the node that its status names: there it is, and its agent waits for that.
    One whose node is gone is moved by the manager. It then first takes everything back that the status says of the old node.
    """
    node, wanted = _spec(request.old).get("nodeName"), _spec(request.new).get("nodeName")
    if not isinstance(node, str) or wanted == node:
        return None
    status = read_status(request.old.get("status") or {})
    stays = status.node_name or node
    released = is_released(status.node_name, (condition.reason for condition in status.conditions))
    return None if released or wanted == stays else stays


def _told(value: object) -> str:
    return "nothing" if value is None else shown(value)


def _spec(body: Json) -> Json:
    spec: Json = body.get("spec") or {}
    return spec


def _metadata(body: Json, field: str) -> Any:
    return (body.get("metadata") or {}).get(field)


def _object(request: Json, field: str, *, needed: bool) -> Json:
    """The object; its parts that are looked into are objects too."""
    if request.get(field) is None and not needed:
        return {}
    body = _mapping(request.get(field), f"request.{field}")
    for part in ("metadata", "spec", "status"):
        _mapping(body.get(part) or {}, f"request.{field}.{part}")
    _mapping(_metadata(body, "labels") or {}, f"request.{field}.metadata.labels")
    return body


def _mapping(value: object, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise Malformed(f"{name} must be an object, got {shown(value) if value is not None else 'none'}")
    return value


def _text(request: Json, field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str) or not value:
        raise Malformed(f"request.{field} must be text and not empty")
    return value
